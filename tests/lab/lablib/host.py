# SPDX-License-Identifier: GPL-2.0-only
"""One emulated Xen host: started, watched, talked to, stopped.

Happy path:

    with Host("name", xen="dist/4.17/boot/xen", accel="icount") as host:
        host.boot()
        rc, out = host.run("uname -a")

Everything about a run is kept in build/lab/run/NAME (NAME-2 when another run has
that one): serial.log (what Xen and
dom0 print), agent.log (the command channel), qemu.txt (the command line and
what QEMU itself said), and qemu.log if QEMU was asked to log.

What can fail, each a LabError: QEMU ends; Xen or Linux panics (noticed at once,
whatever is being waited for); a message or an answer does not come in time.
Leaving the `with` by an exception prints the last 40 lines of serial.log and
where the whole of it is.
"""

import ctypes
import json
import os
import re
import shlex
import signal
import socket
import subprocess
import time
from pathlib import Path

from . import cpio, qemu
from .agent import Agent
from .place import BUILD, LabError, RunDir, shown

# What no host recovers from.  Guests' own panics go to their consoles, not here.
DEAD = re.compile(r"^.*(Panic on CPU \d|FATAL TRAP|FATAL PAGE FAULT|"
                  r"Kernel panic - not syncing|"
                  r"Domain 0 (crashed|shutdown)).*$", re.M)

XEN_ARGS = ("console=com1 com1=115200 loglvl=all guest_loglvl=all noreboot "
            "conring_size=1M spec-ctrl=eager-fpu=1")

CHANNELS = ("ttyS1", "poll", "hvc0")


class HostDied(LabError):
    """Xen, dom0 or QEMU is gone."""


PR_SET_PDEATHSIG = 1
_prctl = ctypes.CDLL(None).prctl


def die_with_us():
    """In the child, before QEMU: a killed driver leaves no machine behind."""
    _prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def say(text):
    print(f"  {text}", flush=True)



class Host:
    """A machine with Xen and dom0.

    xen        path of the hypervisor (ELF, uncompressed)
    accel      "icount" or "mt" (see lablib/qemu.py)
    append     more options for Xen; the last of an option wins
    dom0_args  more options for Linux
    files      {path in dom0: host path or bytes}
    cpus, mem  CPUs and MiB of the machine; dom0_vcpus, dom0_mem those of dom0
    machine    "pc" or "q35"
    devices    more QEMU arguments, a list
    channel    how commands reach dom0: "ttyS1", "poll" or "hvc0" (see init)
    gdb        a TCP port for QEMU's gdb stub; gdb_wait stops before the start
    qemu_log   items for QEMU's -d
    reboot     let a reset restart the machine instead of ending QEMU
    directory  of the run, if the caller has one; else one is taken by the name
    prefer     "10" for QEMU 10 under icount too (see lablib/qemu.py)
    """

    def __init__(self, name, xen, accel="icount", append="", dom0_args="",
                 files=None, cpus=2, mem=4096, dom0_vcpus=None, dom0_mem=1024,
                 machine="pc", devices=(), channel="ttyS1", gdb=None,
                 gdb_wait=False, qemu_log=None, reboot=False,
                 directory=None, prefer=None):
        if channel not in CHANNELS:
            raise LabError(f"channel {channel}: want one of {CHANNELS}")
        self.name, self.xen, self.accel = name, Path(xen), accel
        if not self.xen.is_file():
            raise LabError(f"no hypervisor at {self.xen}")
        if self.xen.read_bytes()[:4] != b"\x7fELF":
            raise LabError(f"{self.xen} is not an ELF file; QEMU and kexec "
                           "want the uncompressed image")
        self.append, self.dom0_args = append, dom0_args
        self.files = dict(files or {})
        self.cpus, self.mem = cpus, mem
        self.dom0_vcpus = dom0_vcpus or cpus
        self.dom0_mem = dom0_mem
        self.machine, self.devices = machine, list(devices)
        self.channel = channel
        self.gdb, self.gdb_wait, self.qemu_log = gdb, gdb_wait, qemu_log
        self.reboot, self.prefer = reboot, prefer
        # Wall-clock limits are written for an idle machine and mt.
        self.slow = 4 if accel == "icount" else 2
        self._own_dir = None if directory else RunDir(name)
        self.dir = directory or self._own_dir.path
        self.log = self.dir / "serial.log"
        self.proc = self.agent = self.qmp = None
        self.pos = 0
        self._scanned = 0

    # Starting and stopping

    def __enter__(self):
        return self

    def __exit__(self, kind, value, trace):
        self.stop()
        if kind and not issubclass(kind, KeyboardInterrupt):
            self.show_end()

    def _initrd(self):
        base = BUILD / "dom0.cpio.gz"
        if not base.exists():
            raise LabError(f"{base} is missing: run tests/lab/image")
        if not self.files:
            return base
        extra = cpio.Archive()
        for dest, src in self.files.items():
            if isinstance(src, bytes):
                extra.data(dest, src)
            elif Path(src).is_file():
                extra.file(dest, src)
            else:
                raise LabError(f"{src}, wanted as {dest}, does not exist")
        out = self.dir / "initrd.gz"
        out.write_bytes(base.read_bytes() + extra.gz())
        return out

    def xen_cmdline(self):
        """What Xen is started with."""
        return " ".join(filter(None, [
            XEN_ARGS, f"dom0_mem={self.dom0_mem}M",
            f"dom0_max_vcpus={self.dom0_vcpus}", self.append]))

    def _software(self):
        """QEMU arguments: what is booted."""
        linux = (f"{BUILD / 'vmlinuz'} console=hvc0 rdinit=/init "
                 f"lab.channel={self.channel} {self.dom0_args}").strip()
        return ["-kernel", str(self.xen), "-append", self.xen_cmdline(),
                "-initrd", f"{linux.replace(',', ',,')},"
                           f"{str(self._initrd()).replace(',', ',,')}"]

    def _talk(self, sock):
        """What talks to dom0 over that socket."""
        return Agent(sock, open(self.dir / "agent.log", "wb"), self.check)

    def start(self):
        """Starts QEMU; returns at once."""
        self.dir.mkdir(parents=True, exist_ok=True)
        emulator = qemu.choose(self.accel, self.prefer)
        software = self._software()
        self.log.write_bytes(b"")
        self.pos = self._scanned = 0
        ours, theirs = socket.socketpair()
        qmp_ours, qmp_theirs = socket.socketpair()
        agent_chr = f"socket,id=agent,fd={theirs.fileno()}"
        argv = emulator.argv() + [
            "-machine", self.machine, "-smp", str(self.cpus),
            "-m", str(self.mem), "-nodefaults", "-display", "none",
            "-vga", "std",
            "-chardev", f"socket,id=qmp,fd={qmp_theirs.fileno()}",
            "-mon", "chardev=qmp,mode=control"]
        if self.channel == "hvc0":
            argv += ["-chardev", f"{agent_chr},logfile={self.log}",
                     "-serial", "chardev:agent"]
        else:
            argv += ["-serial", f"file:{self.log}", "-chardev", agent_chr,
                     "-serial", "chardev:agent"]
        if not self.reboot:
            argv += ["-no-reboot"]
        if self.gdb:
            argv += ["-gdb", f"tcp:127.0.0.1:{self.gdb}"]
            if self.gdb_wait:
                argv += ["-S"]
        if self.qemu_log:
            argv += ["-d", self.qemu_log, "-D", str(self.dir / "qemu.log")]
        argv += self.devices + software
        said = open(self.dir / "qemu.txt", "wb")
        said.write((shlex.join(argv) + "\n").encode())
        said.flush()
        with said:
            self.proc = subprocess.Popen(
                argv, stdin=subprocess.DEVNULL, stdout=said, stderr=said,
                env={**os.environ, **emulator.env}, preexec_fn=die_with_us,
                pass_fds=(theirs.fileno(), qmp_theirs.fileno()))
        theirs.close()
        qmp_theirs.close()
        self.agent = self._talk(ours)
        self.qmp = qmp_ours.makefile("rwb", buffering=0)
        self._qmp_sock = qmp_ours
        qmp_ours.settimeout(60)
        say(f"{self.name}: QEMU {emulator.version} {self.accel}, {self.cpus} "
            f"CPUs, {self.mem} MiB, log {shown(self.log)}")
        return self

    def boot(self, limit=150):
        """Starts the machine and waits until dom0 takes commands."""
        if not self.proc:
            self.start()
        begin = time.monotonic()
        self.wait_for(r"LAB: ready", limit, "dom0 to boot")
        self.agent.hello(limit * self.slow)
        up = re.search(r"LAB: ready: .*\bup ([\d.]+) s", self.serial())
        say(f"{self.name}: dom0 is up after {time.monotonic() - begin:.0f} s, "
            f"by its own clock {up.group(1) if up else '?'} s")
        return self

    def stop(self):
        """Ends QEMU, if it runs; the directory is free for others then."""
        self._end()
        if self._own_dir:
            self._own_dir.release()

    def _end(self):
        if not self.proc:
            return
        if self.proc.poll() is None:
            self.proc.terminate()
            try:
                self.proc.wait(10)
            except subprocess.TimeoutExpired:
                self.proc.kill()
                self.proc.wait()
        self.proc = None

    # Watching

    def serial(self):
        """All of serial.log so far, as text."""
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def check(self):
        """Raises HostDied if Xen, dom0 or QEMU is gone."""
        size = self.log.stat().st_size if self.log.exists() else 0
        if size != self._scanned:
            # A line may have been half written when it was last looked at.
            start = max(0, self._scanned - 200)
            with open(self.log, "rb") as f:
                f.seek(start)
                text = f.read().decode(errors="replace")
            self._scanned = size
            m = DEAD.search(text)
            if m:
                time.sleep(1)
                raise HostDied(f"{self.name}: {m.group(0).strip()}")
        if self.proc is None or self.proc.poll() is not None:
            code = self.proc.returncode if self.proc else "not started"
            said = (self.dir / "qemu.txt").read_text(errors="replace")
            raise HostDied(f"{self.name}: QEMU ended ({code}): "
                           + " ".join(line for line in said.splitlines()[1:]
                                      if ": warning: " not in line))

    def wait_for(self, pattern, limit, what=None):
        """Waits for a regular expression in serial.log.

        Looks from behind the last match on, so that waiting twice for the same
        message waits for two of them.  Returns the match.  `limit` is in
        seconds, stretched by `slow`.
        """
        what = what or f"'{pattern}'"
        begin = time.monotonic()
        end = begin + limit * self.slow
        told = begin
        rx = re.compile(pattern)
        while True:
            with open(self.log, "rb") as f:
                text = f.read()[self.pos:].decode("latin-1")
            m = rx.search(text)
            if m:
                self.pos += m.end()
                return m
            self.check()
            self.agent.pump()
            now = time.monotonic()
            if now > end:
                raise LabError(f"{self.name}: waited {now - begin:.0f} s in "
                               f"vain for {what}")
            if now - told > 30:
                told = now
                say(f"{self.name}: still waiting for {what} "
                    f"({now - begin:.0f} s)")
            time.sleep(0.1)

    def mark(self):
        """wait_for() looks only at what is printed from now on."""
        self.pos = self.log.stat().st_size

    def show_end(self, lines=40):
        """Prints the end of the serial log and where it is."""
        print(f"---- last {lines} lines of {shown(self.log)}")
        # The serial port ends its lines with more than one character.
        text = [line for line in self.serial().splitlines() if line]
        for line in text[-lines:]:
            print("  | " + line.rstrip())
        print(f"---- whole log: {shown(self.log)}", flush=True)

    # Talking

    def run(self, script, limit=120):
        """Runs a shell script in dom0; returns (exit code, output)."""
        return self.agent.run(script, limit * self.slow)

    def must(self, script, limit=120):
        """Runs a shell script that has to succeed; returns its output."""
        rc, out = self.run(script, limit)
        if rc:
            raise LabError(f"{self.name}: '{script.strip()[:200]}' ended with "
                           f"{rc}:\n{out.strip()[-2000:]}")
        return out

    def monitor(self, command, **arguments):
        """One QMP command; returns its answer."""
        if not getattr(self, "_qmp_ready", False):
            self._qmp_line()
            self._qmp_ready = True
            self.monitor("qmp_capabilities")
        text = {"execute": command}
        if arguments:
            text["arguments"] = arguments
        self._qmp_sock.sendall((json.dumps(text) + "\n").encode())
        while True:
            answer = self._qmp_line()
            if "return" in answer:
                return answer["return"]
            if "error" in answer:
                raise LabError(f"QMP {command}: {answer['error']['desc']}")

    def _qmp_line(self):
        line = self.qmp.readline()
        if not line:
            raise HostDied(f"{self.name}: QEMU's monitor is gone")
        return json.loads(line)
