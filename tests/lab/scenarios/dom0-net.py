# SPDX-License-Identifier: GPL-2.0-only
"""Network: TCP streams to the outside of QEMU, no byte lost, connections kept.

Over a card with a level-triggered interrupt and one with MSI-X.  NICS is a list with
commas of the kinds to use.
"""

from lablib import devices
from lablib.echo import Echo
from lablib.update import sequence


def run(lab):
    kinds = lab.param("NICS", "e1000,e1000e").split(",")
    rate = 256 if lab.accel == "mt" else 64
    args = [a for n, kind in enumerate(kinds) for a in devices.nic(kind, n)]
    with Echo() as echo:
        def setup(host):
            found = devices.configure_nics(host, range(len(kinds)))
            names = "|".join(name for name, _ in found.values())
            for line in devices.interrupts(host, names):
                lab.say(line.strip())
            return [("net", f"-a {address} -p {echo.port} -i {name} -r {rate}",
                     f"net-{kinds[n]}")
                    for n, (name, address) in found.items()]

        sequence(lab, [("heartbeat", "{tsc}")], setup=setup, devices=args,
                 machine=lab.param("MACHINE", "pc"))
        lab.check(echo.accepted == len(kinds), "every connection was kept",
                  f"{echo.accepted} connections over {len(kinds)} cards")
