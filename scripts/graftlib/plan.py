# SPDX-License-Identifier: GPL-2.0-only
"""Decides what the grafted tree looks like, without writing anything.

Happy path: Plan(...) reads the grafts and the version of the pristine tree,
locates every graft and collects the own files; rendered() gives the new
content of each grafted file.

What can fail: all of it is collected, so that one run names every graft that
does not fit, every pair that overlaps, and every own file that Xen has too.
It is raised as one Failure; nothing has been written by then.
"""

import os
import re
import stat
import subprocess

from . import format as graft_format
from .format import Failure
from .locate import Finder, Missed
from .render import edits_of, join, overlaps
from .text import Text

ROOTS = ('xen', 'tools')


def xen_version(xen):
    """((major, minor), full version as a string) of the tree XEN."""
    path = os.path.join(xen, 'xen', 'Makefile')
    try:
        with open(path, encoding='utf-8', errors='surrogateescape') as stream:
            text = stream.read()
    except OSError as error:
        raise Failure('%s: not a Xen tree: %s' % (xen, error))
    words = []
    for name in ('XEN_VERSION', 'XEN_SUBVERSION', 'XEN_EXTRAVERSION'):
        found = re.search(r'(?m)^(?:export[ \t]+)?%s[ \t]*[:?]?=[ \t]*(.*)$'
                          % name, text)
        words.append(found.group(1).strip() if found else '')
    if not words[0].isdigit() or not words[1].isdigit():
        raise Failure('%s: no XEN_VERSION and XEN_SUBVERSION in it' % path)
    extra = re.match(r'[\w.+-]*', words[2]).group()
    return (int(words[0]), int(words[1])), '%s.%s%s' % (words[0], words[1],
                                                        extra)


def git(where, *args, isolated=False):
    """Run git in WHERE; a CompletedProcess, output not decoded.

    ISOLATED: without the settings of the user and of the machine.
    """
    env = {name: value for name, value in os.environ.items()
           if name not in ('GIT_DIR', 'GIT_WORK_TREE', 'GIT_INDEX_FILE',
                           'GIT_PREFIX')}
    if isolated:
        env.update(GIT_CONFIG_GLOBAL=os.devnull, GIT_CONFIG_NOSYSTEM='1')
    try:
        return subprocess.run(('git',) + args, cwd=where, env=env,
                              stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                              check=False)
    except OSError as error:
        return subprocess.CompletedProcess(args, 127, b'',
                                           str(error).encode())


def own_files(root):
    """Paths below ROOT of the files copied into the tree, sorted.

    The files git does not ignore; where there is no git, all of them.
    """
    listed = git(root, 'ls-files', '-z', '--cached', '--others',
                 '--exclude-standard', '--', *ROOTS)
    if listed.returncode == 0:
        names = [os.fsdecode(name) for name in listed.stdout.split(b'\0')
                 if name]
    else:
        names = []
        for top in ROOTS:
            for folder, folders, files in os.walk(os.path.join(root, top)):
                folders[:] = [name for name in folders
                              if name != '__pycache__']
                names += [os.path.relpath(os.path.join(folder, name), root)
                          for name in files]
    return sorted({name for name in names
                   if os.path.lexists(os.path.join(root, name))})


def read_bytes(path):
    with open(path, 'rb') as stream:
        return stream.read()


class Plan:
    """What the grafts below GRAFTS_DIR and the own files of OWN make of XEN.

    VARIANTS name further graft directories: 'x' is GRAFTS_DIR.x.  All paths
    are directories; messages show graft files relative to OWN where possible.
    """

    def __init__(self, xen, grafts_dir, own, variants=()):
        self.xen = os.path.realpath(xen)
        self.own = os.path.realpath(own)
        self.version, self.full_version = xen_version(self.xen)
        self.directories = [grafts_dir.rstrip('/')]
        self.directories += ['%s.%s' % (self.directories[0], name)
                             for name in variants]
        self.directories = [(directory, self._shown(directory))
                            for directory in self.directories]
        self.grafts = []
        failures = []
        for directory, shown in self.directories:
            try:
                self.grafts += graft_format.read_grafts(directory, shown)
            except Failure as failure:
                failures += failure.lines
        if failures:
            raise Failure(failures)
        self.dropped = [graft for graft in self.grafts
                        if not graft.holds(self.version)]
        self.active = [graft for graft in self.grafts
                       if graft.holds(self.version)]
        self.texts = {}
        self.edits = {}
        self.failures = []
        self.own_files = own_files(self.own)
        self._check_own_files()
        self._locate()
        if self.failures:
            raise Failure(self.failures)

    def _shown(self, directory):
        real = os.path.realpath(directory)
        if real.startswith(self.own + os.sep):
            return os.path.relpath(real, self.own)
        return directory

    def _check_own_files(self):
        for name in self.own_files:
            mode = os.lstat(os.path.join(self.own, name)).st_mode
            if not stat.S_ISREG(mode):
                self.failures.append('%s: own file is not a regular file'
                                     % name)
            if os.path.lexists(os.path.join(self.xen, name)):
                self.failures.append('%s: own file clashes with the file of '
                                     'that name in %s' % (name, self.xen))
                continue
            above = os.path.dirname(name)
            while above and not os.path.lexists(os.path.join(self.xen, above)):
                above = os.path.dirname(above)
            if above and not os.path.isdir(os.path.join(self.xen, above)):
                self.failures.append('%s: own file clashes with %s, which is '
                                     'no directory in %s'
                                     % (name, above, self.xen))

    def _text(self, graft):
        """The pristine file GRAFT applies to."""
        target = graft.target
        if target not in self.texts:
            path = os.path.join(self.xen, target)
            if not os.path.lexists(path):
                raise Missed('%s: no such file in this tree' % target)
            if not os.path.isfile(path) or os.path.islink(path):
                raise Missed('%s: not a regular file in this tree' % target)
            try:
                data = read_bytes(path)
            except OSError as error:
                raise Missed('%s: cannot read: %s' % (target, error))
            self.texts[target] = Text(target, data)
            self.edits[target] = []
        return self.texts[target]

    def _locate(self):
        finders = {}
        for graft in self.active:
            try:
                text = self._text(graft)
                finder = finders.setdefault(graft.target, Finder(text))
                self.edits[graft.target] += edits_of(finder, graft)
            except Missed as missed:
                self.failures.append(graft.failure(str(missed)))
        for target, edits in self.edits.items():
            for one, two in overlaps(edits):
                self.failures.append(one.graft.failure(
                    "overlaps graft '%s' (%s) at %s"
                    % (two.graft.name, two.graft.id,
                       self.texts[target].lines_of([two.start]))))

    def rendered(self, topics=None):
        """{path: bytes} of every grafted file; only with TOPICS, if given."""
        result = {}
        for target, edits in self.edits.items():
            if topics is not None:
                edits = [edit for edit in edits
                         if edit.graft.topic in topics]
            text = self.texts[target]
            if edits:
                result[target] = text.encode(join(text, edits))
        return result
