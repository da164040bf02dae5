# SPDX-License-Identifier: GPL-2.0-only
"""Writes the grafted tree.

Happy path: apply(plan, out) copies the pristine tree to OUT if there is no
OUT yet, then writes the grafted and the own files whose content differs.
OUT/.graft.json lists the files written by this tool, and the tree they came
from; a listed file that is no longer produced gets Xen's content back, or
goes if Xen has no such file.

What can fail: OUT was made from another tree, or by something else; the disk.
An interrupted copy leaves OUT.partial, which the next run replaces.  An
interrupted write leaves whole files only, and a list that covers them.
"""

import json
import os
import shutil
import stat
import subprocess

from .format import Failure
from .plan import read_bytes

RECORD = '.graft.json'


def _copy(xen, out):
    """Make OUT a copy of XEN without its .git."""
    partial = out + '.partial'
    if os.path.lexists(partial):
        shutil.rmtree(partial)
    os.makedirs(partial)
    names = [name for name in sorted(os.listdir(xen)) if name != '.git']
    done = subprocess.run(['cp', '-a', '--reflink=auto', '--'] +
                          [os.path.join(xen, name) for name in names] +
                          [partial], stdin=subprocess.DEVNULL,
                          stderr=subprocess.PIPE, check=False)
    if done.returncode:
        raise Failure('cannot copy %s to %s: %s'
                      % (xen, out, os.fsdecode(done.stderr).strip()))
    for folder, _, files in os.walk(partial):
        for path in [folder] + [os.path.join(folder, name) for name in files]:
            mode = os.lstat(path).st_mode
            if not stat.S_ISLNK(mode) and not mode & stat.S_IWUSR:
                os.chmod(path, stat.S_IMODE(mode) | stat.S_IWUSR)
    os.rename(partial, out)


def _write(path, data, mode):
    """Give PATH the content and the mode; True if it had to be written."""
    if os.path.isfile(path) and not os.path.islink(path) and \
       stat.S_IMODE(os.stat(path).st_mode) == mode and \
       read_bytes(path) == data:
        return False
    os.makedirs(os.path.dirname(path), exist_ok=True)
    fresh = path + '.graft-new'
    with open(fresh, 'wb') as stream:
        stream.write(data)
    os.chmod(fresh, mode)
    os.rename(fresh, path)
    return True


def _record(out, plan, files):
    data = json.dumps({'xen': plan.xen, 'version': plan.full_version,
                       'files': sorted(files)}, indent=1) + '\n'
    _write(os.path.join(out, RECORD), data.encode(), 0o644)


def _owned(out, plan):
    """The files listed in OUT's record, after checking that it is plan's."""
    path = os.path.join(out, RECORD)
    try:
        held = json.loads(read_bytes(path))
        xen, version, files = held['xen'], held['version'], held['files']
        if not all(isinstance(name, str) and name and
                   not os.path.isabs(name) and '..' not in name.split('/')
                   for name in files):
            raise ValueError('a path leads out of the tree')
    except FileNotFoundError:
        raise Failure('%s: exists, but was not made by graft apply (no %s)'
                      % (out, RECORD))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise Failure('%s: cannot read: %s' % (path, error))
    if (xen, version) != (plan.xen, plan.full_version):
        raise Failure('%s: was made from %s (%s), not from %s (%s); remove it '
                      'or use another --out'
                      % (out, xen, version, plan.xen, plan.full_version))
    return set(files)


def _put_back(out, plan, name):
    """Undo what an earlier run did to NAME: 'put back', 'removed' or None."""
    path, origin = os.path.join(out, name), os.path.join(plan.xen, name)
    if os.path.isfile(origin):
        mode = stat.S_IMODE(os.stat(origin).st_mode) | stat.S_IWUSR
        return 'put back' if _write(path, read_bytes(origin), mode) else None
    if not os.path.lexists(path):
        return None
    os.unlink(path)
    folder = os.path.dirname(path)
    while folder != out and not os.listdir(folder):
        os.rmdir(folder)
        folder = os.path.dirname(folder)
    return 'removed'


def apply(plan, out):
    """Make or refresh OUT; gives {'written': n, 'put back': n, 'removed': n}.
    """
    out = os.path.realpath(out)
    for one, two in ((out, plan.xen), (plan.xen, out)):
        if (one + os.sep).startswith(two + os.sep):
            raise Failure('--out %s and --xen %s: one is inside the other'
                          % (out, plan.xen))
    new = {}
    for name, data in plan.rendered().items():
        mode = stat.S_IMODE(os.stat(os.path.join(plan.xen, name)).st_mode)
        new[name] = data, mode | stat.S_IWUSR
    for name in plan.own_files:
        path = os.path.join(plan.own, name)
        mode = os.stat(path).st_mode
        new[name] = read_bytes(path), 0o755 if mode & stat.S_IXUSR else 0o644

    if os.path.isdir(out) and not os.listdir(out):
        os.rmdir(out)
    if os.path.lexists(out):
        before = _owned(out, plan)
    else:
        _copy(plan.xen, out)
        before = set()
    _record(out, plan, before | set(new))
    counts = {'written': 0, 'put back': 0, 'removed': 0}
    for name, (data, mode) in sorted(new.items()):
        counts['written'] += _write(os.path.join(out, name), data, mode)
    for name in sorted(before - set(new)):
        what = _put_back(out, plan, name)
        if what:
            counts[what] += 1
    _record(out, plan, set(new))
    return counts
