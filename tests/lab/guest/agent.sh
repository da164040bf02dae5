#!/bin/busybox sh
# SPDX-License-Identifier: GPL-2.0-only
#
# agent <tty>: runs the driver's commands in dom0 (lablib/agent.py is the other
# end).  Lines from the driver, N being a number the driver never uses again:
#
#   new N            forget what was put under N
#   put N <base64>   add to the script N
#   run N <md5>      run the script
#   ping N
#
# and back, each starting with "@" so that it is found among console messages:
#
#   @ok N            the script arrived whole and is running
#   @o N <base64>    a piece of its output
#   @rc N <code> <md5 of the output>
#   @bad N           the script is not what the driver sent: send it again
#   @pong N
#
# A script runs once: "run" for one that is done sends its result again.  So a
# line that got lost on the way costs time, never a wrong answer.  Output goes
# to a file and is sent when the script has ended; what a script leaves running
# in the background must not hold the channel.

tty=$1
dir=/run/lab/agent
mkdir -p $dir
stty -F "$tty" raw -echo || exit 1
# The Xen console has no speed and refuses to be given one.
stty -F "$tty" 115200 2>/dev/null
exec 3<>"$tty" || exit 1

sum() { md5sum <"$1" | cut -d' ' -f1; }

result() {
    base64 -w 720 <$dir/out.$1 | sed "s/^/@o $1 /" >&3
    echo "@rc $1 $(cat $dir/rc.$1) $(sum $dir/out.$1)" >&3
}

# "LAB: ready" came before the port was open; what arrived meanwhile is lost.
echo "@pong 0" >&3
while read -r word n rest <&3; do
    case $n in '' | *[!0-9]*) continue ;; esac
    case $word in
    ping) echo "@pong $n" >&3 ;;
    new) : >$dir/b64.$n ;;
    put) echo "$rest" >>$dir/b64.$n ;;
    run)
        if [ -e $dir/rc.$n ]; then
            echo "@ok $n" >&3
            result $n
            continue
        fi
        base64 -d <$dir/b64.$n >$dir/cmd.$n 2>/dev/null
        if [ "$(sum $dir/cmd.$n)" != "$rest" ]; then
            echo "@bad $n" >&3
            continue
        fi
        echo "@ok $n" >&3
        sh $dir/cmd.$n >$dir/out.$n 2>&1 </dev/null 3>&-
        echo $? >$dir/rc.$n
        result $n
        ;;
    esac
done
