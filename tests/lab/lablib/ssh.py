# SPDX-License-Identifier: GPL-2.0-only
"""ssh to dom0, by the OpenSSH client of this machine.

Happy path:

    ssh = Ssh(directory, port, check)
    ssh.key                               # the public one, for authorized_keys
    rc, out = ssh.run("uname -a", 60)
    ssh.copy("dist/4.17/boot/xen", "/boot/xen-new", 60)
    with ssh.session() as s:              # one connection, one shell
        s.ask("once")
        ...
        s.ask("again")
        s.verdict()                       # None, or what was lost meanwhile

The key pair is made anew for each directory.  `check` is called while waiting, and
raises if the machine is dead.

What can fail: no ssh or ssh-keygen here, an answer that does not come in time:
LabError.  That dom0 refuses shows in the exit code, 255.
"""

import contextlib
import re
import shlex
import subprocess
import tempfile
import threading
import time

from .place import LabError

# It counts what it says, so that nothing can be lost or said twice unseen: a tick now and
# then, and an answer to each line.  bash's read ends with more than 128 if it was the time.
COUNTER = ("n=0; while :; do if IFS= read -r -t 0.3 line; "
           "then echo \"$$ $((++n)) answer $line\"; "
           "else [ $? -gt 128 ] || exit 0; echo \"$$ $((++n)) tick\"; fi; done")


class Ssh:
    """Connections to one sshd on a port of this machine."""

    def __init__(self, directory, port, check):
        self.check = check
        self.dir = directory
        key = directory / "key"
        for old in (key, directory / "key.pub", directory / "known_hosts"):
            old.unlink(missing_ok=True)
        try:
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "lab",
                            "-f", key], check=True)
        except (OSError, subprocess.CalledProcessError) as e:
            raise LabError(f"ssh-keygen (package openssh-client): {e}") from e
        self.key = (directory / "key.pub").read_text().strip()
        options = {"BatchMode": "yes", "IdentitiesOnly": "yes", "LogLevel": "ERROR",
                   "StrictHostKeyChecking": "accept-new",
                   "UserKnownHostsFile": directory / "known_hosts"}
        self.command = ["ssh", "-F", "none", "-i", str(key), "-p", str(port),
                        *(f"-o{name}={value}" for name, value in options.items()),
                        "root@127.0.0.1"]

    def run(self, script, limit, stdin=None):
        """Runs a shell script; returns (exit code, output).  `limit`: wall seconds."""
        end = time.monotonic() + limit
        with tempfile.TemporaryFile(dir=self.dir) as out, subprocess.Popen(
                [*self.command, script], stdout=out, stderr=subprocess.STDOUT,
                stdin=stdin or subprocess.DEVNULL) as proc:
            try:
                while proc.poll() is None:
                    self.check()
                    if time.monotonic() > end:
                        raise LabError(f"within {limit:.0f} s this has not finished by "
                                       f"ssh: {script.strip()[:200]}")
                    time.sleep(0.1)
            finally:
                proc.kill()
            out.seek(0)
            return proc.returncode, out.read().decode(errors="replace")

    def copy(self, source, dest, limit):
        """Copies a file, or a directory with what is in it, to dom0."""
        what = "." if source.is_dir() else source.name
        where = source if source.is_dir() else source.parent
        with subprocess.Popen(["tar", "-C", where, "-c", "--owner=0", "--group=0", what],
                              stdout=subprocess.PIPE) as tar:
            unpack = f"mkdir -p {shlex.quote(dest)} && tar -C {shlex.quote(dest)} -x" \
                if source.is_dir() else f"tar -xO >{shlex.quote(dest)}"
            rc, out = self.run(unpack, limit, stdin=tar.stdout)
        if rc or tar.returncode:
            raise LabError(f"{source} could not be copied to dom0: {out}")

    def session(self):
        return Session(self)


class Session:
    """One connection whose remote shell counts, ticking, until it is closed."""

    def __init__(self, ssh):
        self.ssh = ssh
        self.lines = []
        self.asked = 0
        self.proc = subprocess.Popen(
            [*ssh.command, f"exec bash -c {shlex.quote(COUNTER)}"], text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.proc.kill()
        self.proc.wait()
        self.reader.join()
        self.proc.stdout.close()
        with contextlib.suppress(OSError):
            self.proc.stdin.close()

    def _read(self):
        for line in self.proc.stdout:
            self.lines.append(line.rstrip())

    def _until(self, what, found, limit):
        end = time.monotonic() + limit
        while not (result := found()):
            self.ssh.check()
            if self.proc.poll() is not None or time.monotonic() > end:
                raise LabError(f"the ssh session, exit code {self.proc.returncode}, waited "
                               f"for {what}; the last it said: {self.lines[-3:]}")
            time.sleep(0.1)
        return result

    def ask(self, limit):
        """Says something, waits for the answer; returns how far the shell has counted."""
        self.asked += 1
        word = f"word{self.asked}"
        try:
            self.proc.stdin.write(word + "\n")
            self.proc.stdin.flush()
        except OSError as e:
            raise LabError(f"the ssh session takes no input: {e}; the last it said: "
                           f"{self.lines[-3:]}") from e
        line = self._until(word, lambda: next(
            (x for x in self.lines if x.endswith(f" answer {word}")), None), limit)
        return int(line.split()[1])

    def ticked(self, limit):
        """Waits until it counts on, unasked."""
        have = len(self.lines)
        self._until("a tick", lambda: len(self.lines) > have, limit)

    def verdict(self):
        """What is wrong with all it has said, or None."""
        said = [re.fullmatch(r"(\d+) (\d+) (?:tick|answer word\d+)", x) for x in self.lines]
        if not said or not all(said):
            return f"it says: {self.lines[:3]} ... {self.lines[-3:]}"
        if len({m[1] for m in said}) > 1:
            return "more than one shell has answered"
        if [int(m[2]) for m in said] != list(range(1, len(said) + 1)):
            return f"its count has a gap: {self.lines[-5:]}"
        return f"it has ended: {self.proc.returncode}" if self.proc.poll() is not None \
            else None

    def close(self, limit):
        """Ends it from here; returns ssh's exit code."""
        self.proc.stdin.close()
        try:
            return self.proc.wait(limit)
        except subprocess.TimeoutExpired as e:
            raise LabError(f"the ssh session does not end within {limit} s") from e
