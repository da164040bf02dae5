# SPDX-License-Identifier: GPL-2.0-only
"""Guests whose disk and network dom0 serves, and what they do with them.

Happy path, on a host that was given device_args():

    host.boot()
    served = Backends(lab, host, echo, disks=[0, 1])
    g = served.create(0, vcpus=1)
    w = served.witnesses(g, duty=4)
    ...
    served.verdicts()

Each guest has a disk of dom0 (phy:, xen-blkback) and a card on the bridge xenbr0
(xen-netback), of which the machine's own card is a port too.  Its witnesses write and
read the disk and have TCP streams to the outside and to the guest that was created
first; stream() makes more.

What can fail: a device that does not show up or does not answer, LabError; an error in
a kernel log or a connection that was made anew, failed checks of verdicts().
"""

from . import devices, guest

# Errors of a block or network driver, a stall, or a clock that is not trusted.
TROUBLE = (r"I/O error|Buffer I/O|blkfront.*(err|bad)|netfront.*(err|bad)|"
           r"xen-blkback.*(err|fail|bad|inval)|xen_netback.*(err|fail|bad)|"
           r"BUG:|Oops|soft lockup|hung_task|blocked for more|rcu.*stall|"
           r"Clocksource .*unstable|grant.*(still in use|leak)|gntdev.*fail")

# dom0 on the bridge, and the port on which it and the first guest answer.
DOM0, PORT = "10.0.2.15", 7


def device_args(lab, disks, nic):
    """QEMU arguments: NVMe disks of those numbers and a network card."""
    return [a for n in disks
            for a in devices.disk("nvme", lab.dir, n)] + devices.nic(nic, 0)


def address(n):
    return f"10.0.2.{20 + n}"


def bridge(host):
    """The outside's card becomes a port of xenbr0; dom0's address moves."""
    (name, outside), = devices.configure_nics(host, [0]).values()
    host.must(f"brctl addbr xenbr0 && ip addr flush dev {name} && "
              f"brctl addif xenbr0 {name} && "
              f"ip addr add {DOM0}/24 dev xenbr0 && ip link set xenbr0 up")
    return outside


def connect(g, n, outside, modules="xen-netfront"):
    """Gives the card of guest number n its address; waits until the outside answers."""
    g.must(f"modprobe -q -a {modules}; i=0; "
           "until [ -e /sys/class/net/eth0 ]; do usleep 100000; i=$((i+1)); "
           "[ $i -gt 300 ] && exit 1; done; "
           f"ip addr add {address(n)}/24 dev eth0; ip link set eth0 up; "
           "for i in 1 2 3 4 5 6 7 8 9 10; do "
           f"ping -c 1 -W 5 {outside} >/dev/null && exit 0; done; exit 1")


class Backends:
    """dom0 as a server of disks and network.

    `echo` is the Echo outside.  Guest number n has the disk number n, one of
    `disks`.
    """

    def __init__(self, lab, host, echo, disks):
        self.lab, self.host, self.echo = lab, host, echo
        host.must("xenstart && modprobe -a bridge xen-blkback xen-netback")
        self.disks = devices.find_disks(host, disks)
        self.outside = bridge(host)
        self.guests = {}
        self.connections = 0
        # dom0 and the first guest answer as the outside does.
        host.must(f"echoes {PORT} >/dev/null 2>&1 3>&- </dev/null &")

    def config(self, n):
        # type=vif, or QEMU would have a card for an HVM guest, too.
        return (f"disk = ['format=raw,vdev=xvda,access=rw,backendtype=phy,"
                f"script=/bin/hotplug,target={self.disks[n]}']\n"
                f"vif = ['type=vif,bridge=xenbr0,script=/bin/hotplug,"
                f"mac=00:16:3e:00:00:{n:02x}']\n")

    def create(self, n, modules="xen-netfront", **kw):
        """The guest g<n>, at work with those drivers; `kw` are Guest's."""
        g = guest.Guest(self.host, f"g{n}", config=self.config(n), **kw).create()
        connect(g, n, self.outside, modules)
        if not self.guests:
            g.must(f"echoes {PORT} >/dev/null 2>&1 </dev/null &")
        self.guests[n] = g
        return g

    def stream(self, to, port, tag="net"):
        """The witness of a TCP stream, as Lab.witnesses() takes it."""
        self.connections += to == self.outside
        return ("net", f"-a {to} -p {port} -r 32", tag)

    def witnesses(self, g, duty, more=(), disk="/dev/xvda", slice=10):
        """Starts what a guest does: disk, network, and `more`, each `slice` ms."""
        streams = [self.stream(self.outside, self.echo.port)]
        number, first = next(iter(self.guests.items()))
        if g is not first:
            streams.append(self.stream(address(number), PORT, f"net-{first.name}"))
        return self.lab.witnesses(g, [
            ("heartbeat", "{tsc}"), ("disk", f"-f {disk} -q 4 -d {duty}"),
            *streams, *more], slice)

    def verdicts(self):
        """Checks: no kernel logged an error, no connection was lost."""
        lab = self.lab
        for g in self.guests.values():
            said = g.trouble(TROUBLE)
            lab.check(not said, f"{g.name}: nothing in its log", said)
        _, said = self.host.run(f"dmesg | grep -E '{TROUBLE}'")
        lab.check(not said, "nothing in dom0's log", said)
        lab.check(self.echo.accepted == self.connections,
                  "every connection was kept", f"{self.echo.accepted} connections "
                  f"were made, {self.connections} wanted")

    def destroy(self):
        """Ends all guests, and waits until nothing is left of them."""
        for g in self.guests.values():
            self.host.must(f"xl destroy {g.name}")
        self.host.must("for i in $(seq 100); do [ $(xl list | wc -l) = 2 ] && "
                       "exit 0; usleep 100000; done; xl list; exit 1")
        self.lab.check(True, "all guests are destroyed, with nothing left of them")
