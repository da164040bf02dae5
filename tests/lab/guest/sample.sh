#!/bin/busybox sh
# SPDX-License-Identifier: GPL-2.0-only
#
# sample <tag>...: has witnesses say how they are (lablib/witness.py), and prints a
# line for each: its tag and the WITNESS line, then "rc=<exit code>" of one that has
# ended, or "silent=1" of one that does not answer.
#
# All are asked at once, and few programs are run for it: in a guest under emulation
# each costs more than what a witness does.

cd /run/lab/w || exit 1
files= pids=
for tag; do
    files="$files $tag.out"
    pids="$pids $tag.pid"
done
before=$(grep -Hc ^WITNESS $files)

# The tags of those that have neither answered nor ended.
behind() {
    set -- $(grep -Hc ^WITNESS $files)
    for was in $before; do
        [ "$1" = "$was" ] && [ ! -e ${was%.out:*}.rc ] && echo ${was%.out:*}
        shift
    done
}

kill -USR1 $(cat $pids) 2>/dev/null
i=0
while silent=$(behind); [ -n "$silent" ] && [ $i -lt 1200 ]; do
    usleep 50000
    i=$((i + 1))
done
awk '/^WITNESS/ { last[FILENAME] = $0 }
     END { for (i = 1; i < ARGC; i++) print ARGV[i], last[ARGV[i]] }' $files |
while read -r file line; do
    tag=${file%.out}
    case " $(echo $silent) " in
    *" $tag "*) line="silent=1" ;;
    esac
    [ -e $tag.rc ] && line="$line rc=$(cat $tag.rc)"
    echo "$tag $line"
done
