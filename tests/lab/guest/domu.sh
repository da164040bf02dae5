#!/bin/busybox sh
# SPDX-License-Identifier: GPL-2.0-only
#
# domu: what /init of a guest of the lab becomes (kernel option lab.guest=NAME).
#
# Happy path: drivers for its devices, then it obeys dom0 for ever: a command
# comes as "N <base64 of a script>" in data/cmd of its xenstore directory, and
# "N <exit code> <base64 of the output>" goes back to data/out (inguest.sh is the
# other end).  A number that was obeyed is not obeyed again.  More output than
# xenstore takes is cut, and says so.
#
# What can fail: xenstore; reported on the guest's console, and tried again.

say() { echo "GUEST: $*" >/dev/console; }

modprobe -q -a xen-blkfront xen-netfront
mkdir -p /run/lab/cmd
say "ready"
last=
while :; do
    line=$(xenstore read data/cmd 2>/dev/null)
    n=${line%% *}
    if [ -z "$n" ] || [ "$n" = "$last" ]; then
        usleep 50000
        continue
    fi
    echo "${line#* }" | base64 -d >/run/lab/cmd/$n
    sh /run/lab/cmd/$n >/run/lab/cmd/out 2>&1 </dev/null
    rc=$?
    if [ "$(wc -c </run/lab/cmd/out)" -gt 2700 ]; then
        { head -c 1800 /run/lab/cmd/out; echo; echo "... (cut) ..."
          tail -c 800 /run/lab/cmd/out; } >/run/lab/cmd/short
        mv /run/lab/cmd/short /run/lab/cmd/out
    fi
    until xenstore write data/out \
        "$n $rc $(base64 -w 0 /run/lab/cmd/out)"; do
        say "xenstore takes no answer"
        sleep 1
    done
    last=$n
done
