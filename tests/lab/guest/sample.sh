#!/bin/busybox sh
# SPDX-License-Identifier: GPL-2.0-only
#
# sample <tag>...: has witnesses say how they are (lablib/witness.py), and prints a
# line for each: its tag and the WITNESS line, then "rc=<exit code>" of one that has
# ended, or "silent=1" of one that does not answer.

cd /run/lab/w || exit 1
for tag; do
    n=$(grep -c ^WITNESS $tag.out)
    kill -USR1 $(cat $tag.pid) 2>/dev/null
    i=0
    until [ $(grep -c ^WITNESS $tag.out) -gt $n ] || [ -e $tag.rc ]; do
        usleep 50000
        i=$((i + 1))
        [ $i -gt 600 ] && break
    done
    if [ $i -gt 600 ]; then
        echo "$tag silent=1"
    else
        echo $tag $(grep ^WITNESS $tag.out | tail -n 1) \
            $([ -e $tag.rc ] && echo rc=$(cat $tag.rc))
    fi
done
