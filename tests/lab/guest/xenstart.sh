#!/bin/busybox sh
# SPDX-License-Identifier: GPL-2.0-only
#
# xenstart: the toolstack's daemons, for scenarios that use xl.
# Happy path: xenstored answers, dom0 is entered in it, xenconsoled runs.
# Fails with a message when xenstored does not come up within a minute of
# guest time, or xen-init-dom0 refuses.

xenstored --pid-file /run/xen/xenstored.pid || exit 1
i=0
until xenstore read / >/dev/null 2>&1; do
    i=$((i + 1))
    [ $i -gt 600 ] && { echo "xenstart: xenstored does not answer"; exit 1; }
    usleep 100000
done
xen-init-dom0 || exit 1
xenconsoled --pid-file=/run/xen/xenconsoled.pid
