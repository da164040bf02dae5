# SPDX-License-Identifier: GPL-2.0-only
"""PV guests at work: disks and network by dom0's backends, across the update.

Two guests, of 1 and 4 vCPUs (VCPUS, with commas).  Each writes and reads checksummed
data on a disk of its own (phy: on an NVMe disk of dom0) and has TCP streams to the
outside, to dom0 and to the first guest, over netfront, netback and a bridge.  dom0 has
witnesses too.  After each update every byte has to be right and every connection kept;
in the end no kernel may have logged an error, and the guests can be destroyed, under
whichever Xen.  TO: flavours that take turns as the new Xen.
"""

from lablib import devices, guest, kernels
from lablib.echo import Echo
from lablib.place import LabError
from lablib.update import Updates, install, next_xens
from lablib.witness import Together

# Errors of a block or network driver, a stall, or a clock that is not trusted.
TROUBLE = (r"I/O error|Buffer I/O|blkfront.*(err|bad)|netfront.*(err|bad)|"
           r"xen-blkback.*(err|fail|bad|inval)|xen_netback.*(err|fail|bad)|"
           r"BUG:|Oops|soft lockup|hung_task|blocked for more|rcu.*stall|"
           r"Clocksource .*unstable|grant.*(still in use|leak)|gntdev.*fail")


# dom0 on the bridge, and the port on which it and the first guest answer.
DOM0, PORT = "10.0.2.15", 7


def address(n):
    return f"10.0.2.{20 + n}"


def config(n, disk):
    return (f"disk = ['format=raw,vdev=xvda,access=rw,backendtype=phy,"
            f"script=/bin/hotplug,target={disk}']\n"
            f"vif = ['bridge=xenbr0,script=/bin/hotplug,"
            f"mac=00:16:3e:00:00:{n:02x}']\n")


def bridge(host):
    """The outside's card becomes a port of xenbr0; dom0's address moves."""
    (name, outside), = devices.configure_nics(host, [0]).values()
    host.must(f"brctl addbr xenbr0 && ip addr flush dev {name} && "
              f"brctl addif xenbr0 {name} && "
              f"ip addr add {DOM0}/24 dev xenbr0 && ip link set xenbr0 up")
    return outside


def network(g, n, outside):
    g.must("modprobe -q xen-netfront; i=0; "
           "until [ -e /sys/class/net/eth0 ]; do usleep 100000; i=$((i+1)); "
           "[ $i -gt 300 ] && exit 1; done; "
           f"ip addr add {address(n)}/24 dev eth0; ip link set eth0 up; "
           "for i in 1 2 3 4 5 6 7 8 9 10; do "
           f"ping -c 1 -W 5 {outside} >/dev/null && exit 0; done; exit 1")


def run(lab, suites=("",), vcpus="1,4", count=5):
    """`suites` are the Debian releases whose kernels the guests take in turn, "" for
    dom0's own.
    """
    count = lab.param("UPDATES", count)
    vcpus = [int(n) for n in lab.param("VCPUS", vcpus).split(",")]
    images = next_xens(lab, count)
    other = {s: kernels.other(s, lab.dir) for s in suites if s}
    files = guest.files(other.values())
    paths = install(files, images)
    duty = 6 if lab.accel == "mt" else 4
    args = [a for n in range(len(vcpus))
            for a in devices.disk("nvme", lab.dir, n)] + devices.nic("e1000e", 0)
    with Echo() as echo, lab.host(append="liveupdate=64M", files=files,
                                  devices=args) as host:
        host.boot()
        host.must("xenstart && modprobe -a bridge xen-blkback xen-netback")
        disks = devices.find_disks(host, range(len(vcpus)))
        outside = bridge(host)
        # The first guest and dom0 answer as the outside does.
        host.must(f"echoes {PORT} >/dev/null 2>&1 3>&- </dev/null &")
        guests, seen = [], {}
        for n, nr in enumerate(vcpus):
            kernel = other.get(suites[n % len(suites)])
            g = guest.Guest(host, f"g{n}", vcpus=nr, kernel=kernel,
                            memory=256 if kernel else 160,
                            config=config(n, disks[n])).create()
            if kernel:
                runs = g.must("uname -r").strip()
                lab.check(runs == kernel.release,
                          f"{g.name} runs Linux {kernel.release}", runs)
            network(g, n, outside)
            peers = [(outside, echo.port, "net"), (DOM0, PORT, "net-dom0")]
            if guests:
                peers.append((address(0), PORT, f"net-{guests[0].name}"))
            else:
                g.must(f"echoes {PORT} >/dev/null 2>&1 </dev/null &")
            seen[f"{g.name} "] = lab.witnesses(g, [
                ("heartbeat", "{tsc}"), ("timers", ""),
                ("disk", f"-f /dev/xvda -q 4 -d {duty}"),
                ("memory", f"-m 8 -d {duty}"), ("churn", f"-n 16 -d {duty}"),
                *[("net", f"-a {a} -p {p} -r 32", tag) for a, p, tag in peers]])
            guests.append(g)
        w = lab.witnesses(host, [("heartbeat", "{tsc}"),
                                 ("memory", f"-m 8 -d {duty}")])
        updates = Updates(lab, host, images, paths, Together({"": w, **seen}))
        if not updates.run(count):
            raise LabError("no update took place")
        updates.finish()
        for g in guests:
            lab.check(not g.trouble(TROUBLE), f"{g.name}: nothing in its log",
                      g.trouble(TROUBLE))
        _, said = host.run(f"dmesg | grep -E '{TROUBLE}'")
        lab.check(not said, "nothing in dom0's log", said)
        lab.check(echo.accepted == len(vcpus), "every connection was kept",
                  f"{echo.accepted} connections of {len(vcpus)} guests")
        for g in guests:
            host.must(f"xl destroy {g.name}")
        host.must("for i in $(seq 100); do [ $(xl list | wc -l) = 2 ] && exit 0; "
                  "usleep 100000; done; xl list; exit 1")
        lab.check(True, "all guests are destroyed, with nothing left of them")
        lab.epilogue += updates.table()
