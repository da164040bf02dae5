#!/bin/busybox sh
# SPDX-License-Identifier: GPL-2.0-only
#
# storm <name> <number> <seed> <disk>: makes a PV guest, changes it in many ways and
# destroys it, again and again, until /run/lab/storm.stop is there; scenario pv-storm.
#
# Happy path: a line "ok <operation>" for each operation in /run/lab/storm.<name>, and
# "end" at last, with no guest left.  The seed chooses what comes next, not how long it
# takes.  The number is that of the guest's address, 10.9.0.1<number> on the bridge
# xenbr0, where dom0 is 10.9.0.1.  /run/lab/storm.cfg has its configuration without
# the name.
#
# What can fail: an operation.  "FAIL <operation>: <what it said>" is written, and it
# goes on with a new guest; whoever started it judges.

name=$1 card=$2 seed=$3 disk=$4
log=/run/lab/storm.$name
cfg=/run/lab/storm.$name.cfg
number=0

# random <n>: sets r to one of 0 ... n - 1.
random() {
    seed=$(((seed * 1103515245 + 12345) % 2147483648))
    r=$(((seed / 65536) % $1))
}

# op <operation> <command...>: runs and notes it.
op() {
    what=$1
    shift
    # Here and not in obeys, which runs in a subshell.
    number=$((number + 1))
    if said=$("$@" 2>&1 3>&-); then
        echo "ok $what" >>$log
    else
        echo "FAIL $what: exit code $?: $(echo "$said" | tail -n 3 | tr '\n' ' ')" \
            >>$log
        return 1
    fi
}

# obeys <script>: the guest runs it.
obeys() {
    echo "$1" | inguest $name $number 120
}

gone() {
    i=0
    while xl domid $name >/dev/null 2>&1; do
        i=$((i + 1))
        [ $i -gt 1200 ] && return 1
        usleep 50000
    done
}

change() {
    random 8
    case $r in
    0) random 3; op mem-set xl mem-set $name $((128 + 16 * r)) ;;
    1) op vcpu-set-1 xl vcpu-set $name 1 &&
       op obeys obeys "i=0; while grep -q 1 /sys/devices/system/cpu/cpu1/online; do \
           usleep 20000; i=\$((i+1)); [ \$i -gt 500 ] && exit 1; done" &&
       op vcpu-set-2 xl vcpu-set $name 2 &&
       op obeys obeys "i=0; until echo 1 >/sys/devices/system/cpu/cpu1/online; do \
           usleep 20000; i=\$((i+1)); [ \$i -gt 500 ] && exit 1; done" ;;
    2) op block-attach xl block-attach $name "format=raw,vdev=xvdb,access=rw,\
backendtype=phy,script=/bin/hotplug,target=$disk" &&
       op disk obeys "i=0; until dd if=/dev/xvdb of=/dev/null bs=64k count=8; do \
           usleep 20000; i=\$((i+1)); [ \$i -gt 500 ] && exit 1; done" &&
       op block-detach xl block-detach $name xvdb ;;
    3) op pause xl pause $name && op unpause xl unpause $name ;;
    4) op save xl save $name /run/lab/storm.$name.save &&
       op restore xl restore /run/lab/storm.$name.save
       kept=$?
       rm -f /run/lab/storm.$name.save
       return $kept ;;
    5) op vcpu-pin xl vcpu-pin $name all 0-1 &&
       op sched xl sched-credit2 -d $name -w 300 ;;
    6) op obeys obeys "true" ;;
    7) op net-attach xl network-attach $name bridge=xenbr0 script=/bin/hotplug &&
       op net obeys "i=0; until ip addr add 10.9.0.1$card/24 dev eth0 &&
           ip link set eth0 up; do \
           usleep 20000; i=\$((i+1)); [ \$i -gt 500 ] && exit 1; done; \
           i=0; until ping -c 1 -W 1 10.9.0.1 >/dev/null; do \
           i=\$((i+1)); [ \$i -gt 20 ] && exit 1; done" &&
       op net-detach xl network-detach $name 0 ;;
    esac
}

: >$log
until [ -e /run/lab/storm.stop ]; do
    { echo "name = \"$name\""; cat /run/lab/storm.cfg
      echo "extra = \"console=hvc0 rdinit=/init lab.guest=$name quiet\""; } >$cfg
    random 4
    case $r in
    # Destroyed before it ever ran, or while it boots.
    0) op create-paused xl create -p $cfg ;;
    1) op create xl create $cfg ;;
    *)
        op create xl create $cfg && op boots obeys true &&
        {
            random 4
            todo=$((r + 1))
            while [ $todo -gt 0 ] && [ ! -e /run/lab/storm.stop ]; do
                change && op lives obeys true || break
                todo=$((todo - 1))
            done
        }
        ;;
    esac
    op destroy xl destroy $name
    op gone gone
done
echo end >>$log
