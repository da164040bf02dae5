#!/bin/busybox sh
# SPDX-License-Identifier: GPL-2.0-only
#
# inguest <name> <number> <seconds>: runs the script on standard input in a guest
# (see domu.sh), prints its output, ends with its exit code.  The number must not
# have been used with that guest before.  254: no such guest (any more); 255: no
# answer within so many seconds of dom0's time.

id=$(xl domid "$1" 2>/dev/null) || { echo "inguest: no guest $1"; exit 254; }
dir=/local/domain/$id/data
xenstore write $dir/cmd "$2 $(base64 -w 0)" || exit 254
end=$(($(date +%s) + $3))
i=0
while :; do
    line=$(xenstore read $dir/out 2>/dev/null)
    if [ "${line%% *}" = "$2" ]; then
        line=${line#* }
        echo "${line#* }" | base64 -d
        exit "${line%% *}"
    fi
    i=$((i + 1))
    [ $((i % 16)) = 0 ] && ! xenstore read /local/domain/$id/name >/dev/null 2>&1 &&
        { echo "inguest: $1 is gone"; exit 254; }
    [ "$(date +%s)" -gt $end ] && { echo "inguest: $1 does not answer"; exit 255; }
    usleep 50000
done
