# SPDX-License-Identifier: GPL-2.0-only
"""A host that is an installed Debian: it boots from its disk, and is driven as by a user.

Happy path, with the disk of lablib/debian.py:

    with lab.host(make=DebianHost) as host:
        host.boot()                        # GRUB, Xen, systemd; logs in on the console
        host.must("xl list")               # by ssh
        host.restart()                     # systemctl reboot
        host.console("xl list")            # on the serial console

Scripts go by ssh, each by a connection of its own; the key was entered on the serial
console, which is Xen's log as well.  Nothing of the lab's own is in the image.  `xen`
of the base class is a hypervisor to be installed by the scenario, not what is booted.

What can fail: GRUB or systemd do not get to a login prompt, the console takes no
command, dom0 does not answer by ssh: LabError with what was waited for.
"""

import threading
import time

from . import debian, devices
from .host import Host, say
from .place import LabError
from .ssh import Ssh

SSHD = 22


class Typist:
    """The other end of the serial line: types, and lets QEMU write the log."""

    def __init__(self, sock):
        self.sock = sock
        threading.Thread(target=self._drain, daemon=True).start()

    def _drain(self):
        # QEMU stops when nobody reads.
        try:
            while self.sock.recv(65536):
                pass
        except OSError:
            pass

    def pump(self):
        return False

    def type(self, text):
        self.sock.sendall(text.encode())


class DebianHost(Host):
    """A Host whose software is on its disk."""

    def __init__(self, name, xen, accel="icount", **kw):
        kw.update(channel="hvc0", reboot=True, devices=[
            *debian.attached(debian.disk()), *devices.nic("e1000", 0, SSHD),
            *kw.get("devices", ())])
        super().__init__(name, xen, accel, **kw)
        self.ssh = None
        self.commands = 0

    def _software(self):
        return []

    def _talk(self, sock):
        return Typist(sock)

    def boot(self, limit=300):
        """Starts the machine, logs in on its console, lets ssh in."""
        self.start()
        self._login(limit)
        self.ssh = Ssh(self.dir, devices.forwarded(self, SSHD), self.check)
        self.console("mkdir -p .ssh /run/lab")
        self.console(f"echo {self.ssh.key} >.ssh/authorized_keys")
        self.must("true")
        return self

    def restart(self, limit=300):
        """Reboots from within, and logs in again."""
        self.mark()
        # The connection may be gone before it has an answer.
        self.run("systemctl reboot")
        self.wait_for(r"Xen version \d", limit, "Xen to boot again")
        self._login(limit)
        self.console("mkdir -p /run/lab")
        return self

    def _login(self, limit):
        begin = time.monotonic()
        self.wait_for(r"dom0 login: ", limit, "a login prompt")
        say(f"{self.name}: Debian is up after {time.monotonic() - begin:.0f} s")
        self.agent.type("root\n")
        self.wait_for(r"Password: ", 30)
        self.agent.type(debian.PASSWORD + "\n")
        self.wait_for(r"root@dom0:", 60, "a shell on the serial console")

    def console(self, command, limit=60):
        """Types a command on the serial console; returns its exit code.

        What is typed comes back as well, so it must not look like the answer.
        """
        self.commands += 1
        self.mark()
        self.agent.type(f"{command}; echo rc{self.commands}=$?\n")
        return int(self.wait_for(rf"rc{self.commands}=(\d+)", limit,
                                 f"the console to run '{command[:60]}'").group(1))

    def run(self, script, limit=120):
        """Runs a shell script in dom0 by ssh; returns (exit code, output)."""
        return self.ssh.run(script, limit * self.slow)

    def copy(self, source, dest, limit=120):
        """Copies a file or a directory to dom0 by ssh."""
        self.ssh.copy(source, dest, limit * self.slow)
