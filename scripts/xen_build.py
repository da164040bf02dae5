# SPDX-License-Identifier: GPL-2.0-only
"""What building the hypervisor and building the tools have in common.

A build is a tree in build/NAME, made by scripts/graft from a pristine one, with a stamp
that says of which, and a log build/NAME.log of every step.

BuildError says what failed, with the end of the log.
"""
import contextlib
import os
import pathlib
import re
import shutil
import subprocess
import time

from xen_source import config_values, get_xen, wait_for

TOP = pathlib.Path(__file__).resolve().parent.parent
BUILD = TOP / "build"


class BuildError(Exception):
    """Something cannot be built; str() says why."""


def say(text):
    print("build-xen: " + text, flush=True)


def jobs():
    """make's -j."""
    return os.environ.get("JOBS") or str(len(os.sched_getaffinity(0)))


@contextlib.contextmanager
def locked_build():
    """One build at a time."""
    BUILD.mkdir(exist_ok=True)
    with open(BUILD / ".lock", "w") as one_build:
        wait_for(one_build, "build/")
        yield


def fresh_tree(name, line, tree):
    """(the pristine tree of that line of Xen, its version as the image tells it).

    Removes build/NAME if it was made from another one.
    """
    source = get_xen(line)
    pin = BUILD / "src" / f"{line}.stamp"
    version = config_values(TOP / "Config.mk")[
        f"XEN_{line.replace('.', '_')}_VERSION"]
    if os.environ.get("XEN_SRC"):
        version, made_from = "local", f"{source}\n"
    else:
        made_from = pin.read_text()
    stamp = BUILD / f"{name}.stamp"
    if tree.exists() and (not stamp.exists() or stamp.read_text() != made_from):
        say(f"{name}: source tree is another one, starting afresh")
        shutil.rmtree(tree)
    stamp.write_text(made_from)
    return source, version


def write_if_changed(path, text):
    if not path.exists() or path.read_text() != text:
        path.write_text(text)


def end_of_log(text, lines=40):
    """The end of a log, indented, and errors that stand further up.

    With several jobs, make goes on printing for a while after the first error.
    """
    log = text.splitlines()
    errors = [line for line in log[:-lines] if re.search(
        r"\berror:|undefined reference|No rule to make|\*\*\* \[", line)]
    shown = (errors[:20] + ["..."] if errors else []) + log[-lines:]
    return "\n".join("    " + line for line in shown)


def run_logged(name, what, command, log, environment, cwd):
    """Run a step, everything it prints into log, a short line now and then."""
    log.write(f"$ {' '.join(map(str, command))}\n".encode())
    log.flush()
    begun = said = time.monotonic()
    objects = 0
    child = subprocess.Popen(command, cwd=cwd, env=environment,
                             stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                             stderr=subprocess.STDOUT)
    for line in child.stdout:
        log.write(line)
        objects += re.match(rb"\s+(CC|AS)\s|gcc .* -c ", line) is not None
        if time.monotonic() - said > 15:
            said = time.monotonic()
            say(f"{name}: {what}: {objects} files, {said - begun:.0f} s")
    log.flush()
    if child.wait():
        raise BuildError(f"{name}: {what} failed, the end of {log.name}:\n"
                         + end_of_log(pathlib.Path(log.name).read_text(
                             errors="replace")))
    return objects


def render(name, source, tree, log, variants=()):
    """Grafts and own files into the tree of a build."""
    command = [TOP / "scripts" / "graft", "apply", "--xen", source, "--out", tree]
    for variant in variants:
        command += ["--variant", variant]
    run_logged(name, "grafting", command, log, None, TOP)
