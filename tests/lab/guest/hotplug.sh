#!/bin/busybox sh
# SPDX-License-Identifier: GPL-2.0-only
#
# hotplug add|remove|online|offline ...: what libxl runs in dom0 for a guest's disk
# (script=/bin/hotplug) or network card, as /etc/xen/scripts/block and vif-bridge
# do, which want bash and more.
#
# Happy path: tells the backend which block device it is, or puts the interface into
# its bridge.  Fails if there is no such device; xl then shows what is in
# hotplug-error.

path=$XENBUS_PATH

fail() {
    xenstore write "$path/hotplug-error" "$*"
    xenstore write "$path/hotplug-status" error
    exit 1
}

case $XENBUS_TYPE:$1 in
vbd:add)
    device=$(xenstore read "$path/params")
    [ -b "$device" ] || fail "$device is no block device"
    xenstore write "$path/physical-device" "$(stat -L -c %t:%T "$device")"
    xenstore write "$path/hotplug-status" connected
    ;;
vif:online)
    # The backend makes the interface at its leisure.
    i=0
    until [ -e "/sys/class/net/$vif" ]; do
        i=$((i + 1))
        [ $i -gt 500 ] && fail "no interface $vif"
        usleep 20000
    done
    ip link set "$vif" up || fail "interface $vif stays down"
    brctl addif "$(xenstore read "$path/bridge")" "$vif" || fail "no bridge"
    xenstore write "$path/hotplug-status" connected
    ;;
vif:add)
    # The card that a device model emulates, which has made it already.
    ip link set "$INTERFACE" up || fail "interface $INTERFACE stays down"
    brctl addif "$(xenstore read "$path/bridge")" "$INTERFACE" || fail "no bridge"
    xenstore write "$path/hotplug-status" connected
    ;;
esac
