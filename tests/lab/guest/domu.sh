#!/bin/busybox sh
# SPDX-License-Identifier: GPL-2.0-only
#
# domu: what /init of a guest of the lab becomes (kernel option lab.guest=NAME).
#
# Happy path: drivers for its devices, then it obeys dom0 for ever: xl shutdown and
# reboot, and commands.  One comes as "N <base64 of a script>" in data/cmd of its
# xenstore directory, and "N <exit code> <base64 of the output>" goes back to
# data/out (inguest.sh is the other end).  A number that was obeyed is not obeyed
# again.  More output than xenstore takes is cut, and says so.
#
# What can fail: xenstore; reported on the guest's console, and tried again.

say() { echo "GUEST: $*" >/dev/console; }

# What the kernel calls when dom0 tells it to.  busybox's own would ask init.
for what in poweroff reboot; do
    mkdir -p /sbin
    rm -f /sbin/$what
    printf '#!/bin/busybox sh\nexec /bin/%s -f\n' $what >/sbin/$what
    chmod +x /sbin/$what
done
modprobe -q -a xen-blkfront xen-netfront
mkdir -p /run/lab/cmd

# What dom0 has put into data/cmd, unless that has been done.
obey() {
    line=$(xenstore read data/cmd 2>/dev/null)
    n=${line%% *}
    if [ -z "$n" ] || [ "$n" = "$(cat /run/lab/cmd/last 2>/dev/null)" ]; then
        return
    fi
    echo "${line#* }" | base64 -d >/run/lab/cmd/$n
    sh /run/lab/cmd/$n >/run/lab/cmd/out 2>&1 </dev/null
    rc=$?
    # xenstored's quota for what a guest writes is 2048 characters.
    if [ "$(wc -c </run/lab/cmd/out)" -gt 1450 ]; then
        { head -c 900 /run/lab/cmd/out; echo; echo "... (cut) ..."
          tail -c 500 /run/lab/cmd/out; } >/run/lab/cmd/short
        mv /run/lab/cmd/short /run/lab/cmd/out
    fi
    until xenstore write data/out \
        "$n $rc $(base64 -w 0 /run/lab/cmd/out)"; do
        say "xenstore takes no answer"
        sleep 1
    done
    echo "$n" >/run/lab/cmd/last
}

say "ready"
while :; do
    # An idle guest has nothing to do: the first event comes at once, others when
    # there may be a command.
    xenstore watch data/cmd | while read -r _; do
        obey
    done
    say "the watch on commands ended, starting it again"
    sleep 1
done
