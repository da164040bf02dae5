# SPDX-License-Identifier: GPL-2.0-only
"""Writes the grafts as a series of patches for people who carry patches.

Happy path: grafts/series names the patches in order, one per line:

    TOPIC SUBJECT :: PATTERN ...

A patch holds the grafts of its topic, and the own files whose path a PATTERN
(a regular expression, from the start of the path) matches first.  The text of
its commit message, if it has one, is in grafts/TOPIC.txt.  The series is made
in a scratch git repository that holds only the files of Xen it touches.

What can fail: a topic the series does not name, an own file no patch names, a
pattern that is no regular expression, an output directory that holds other
files or that git would commit: the patches have context lines, which are
Xen's text.  The old series stays in place unless the new one is complete.
"""

import os
import re
import shutil
import stat
import tempfile

from .format import Failure
from .plan import git, read_bytes

_LINE = re.compile(r'([\w.-]+)\s+(\S.*?)(?:\s+::(?:\s+(.*))?)?$')
_PATCH = re.compile(r'\d{4,}-.*\.patch$')


class _Patch:
    def __init__(self, topic, subject, patterns, message):
        self.topic = topic
        self.subject = subject
        self.patterns = patterns
        self.message = message
        self.own_files = []


def read_series(directories):
    """The patches that DIRECTORIES, (path, shown) pairs, name; in order."""
    patches, failures, seen = [], [], {}
    for directory, shown in directories:
        path = os.path.join(directory, 'series')
        try:
            lines = read_bytes(path).decode().split('\n')
        except (OSError, UnicodeDecodeError) as error:
            failures.append('%s/series: cannot read: %s' % (shown, error))
            continue
        for number, line in enumerate(lines, 1):
            where = '%s/series:%d' % (shown, number)
            if not line.strip() or line.lstrip().startswith('#'):
                continue
            found = _LINE.match(line.strip())
            if not found:
                failures.append('%s: cannot read: %s' % (where, line.strip()))
                continue
            topic, subject, words = found.groups()
            if topic in seen:
                failures.append("%s: topic '%s' is already at %s"
                                % (where, topic, seen[topic]))
            seen[topic] = where
            patterns = []
            for word in (words or '').split():
                try:
                    patterns.append(re.compile(word))
                except re.error as error:
                    failures.append("%s: '%s' is no regular expression: %s"
                                    % (where, word, error))
            message = ''
            if os.path.exists(os.path.join(directory, topic + '.txt')):
                message = read_bytes(os.path.join(directory,
                                                  topic + '.txt')).decode()
            patches.append(_Patch(topic, subject, patterns, message))
    if failures:
        raise Failure(failures)
    return patches


def _share(plan, patches):
    """Give every own file to the first patch that names it."""
    failures = []
    topics = {patch.topic for patch in patches}
    for graft in plan.grafts:
        if graft.topic not in topics:
            failures.append(graft.failure("topic '%s' is not in the series"
                                          % graft.topic))
    for name in plan.own_files:
        patch = next((patch for patch in patches for pattern in patch.patterns
                      if pattern.match(name)), None)
        if patch is None:
            failures.append('%s: own file that no patch of the series names'
                            % name)
        else:
            patch.own_files.append(name)
    if failures:
        raise Failure(failures)


def _check_out(plan, out):
    """Refuse to write where something else is, or where git would see it."""
    if os.path.lexists(out):
        others = [name for name in os.listdir(out)
                  if not _PATCH.match(name)] if os.path.isdir(out) else ['']
        if others:
            raise Failure('%s: holds more than patches (%s); use another --out'
                          % (out, others[0] or 'no directory'))
    if (out + os.sep).startswith(plan.xen + os.sep):
        raise Failure('%s: is inside the pristine tree' % out)
    above = out
    while not os.path.isdir(above):
        above = os.path.dirname(above)
    top = git(above, 'rev-parse', '--show-toplevel')
    if top.returncode == 0:
        patch = os.path.join(out, '0001-x.patch')
        if git(above, 'check-ignore', '-q', patch).returncode:
            raise Failure('%s: git does not ignore it, and the patches hold '
                          'lines of Xen that must not be committed' % out)


def _identity(own):
    """(name, e-mail) for the patches' From: lines."""
    ident = git(own, 'var', 'GIT_AUTHOR_IDENT')
    found = re.match(r'(.*) <(.*)> ', os.fsdecode(ident.stdout))
    if ident.returncode or not found:
        raise Failure('git does not know who writes the patches: %s'
                      % os.fsdecode(ident.stderr).strip())
    return found.groups()


class _Scratch:
    """The repository the patches are made in."""

    def __init__(self, path, identity):
        self.path = path
        self.settings = ('-c', 'user.name=' + identity[0],
                         '-c', 'user.email=' + identity[1])
        self.git('init', '-q')

    def git(self, *args):
        done = git(self.path, *(self.settings + args), isolated=True)
        if done.returncode:
            raise Failure('git %s: %s' % (args[0],
                                          os.fsdecode(done.stderr).strip()))
        return done.stdout

    def write(self, name, data, mode):
        path = os.path.join(self.path, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, 'wb') as stream:
            stream.write(data)
        os.chmod(path, 0o755 if mode & stat.S_IXUSR else 0o644)

    def commit(self, message):
        """Commit everything; False if nothing changed."""
        self.git('add', '-A', '-f', '.')
        if not self.git('status', '--porcelain'):
            return False
        self.git('commit', '-q', '--no-verify', '-m', message)
        return True


def export(plan, out):
    """Write the series to OUT; gives (patches written, topics left out).

    A topic is left out if none of its grafts is for this version of Xen.
    """
    out = os.path.realpath(out)
    patches = read_series(plan.directories)
    _share(plan, patches)
    _check_out(plan, out)
    identity = _identity(plan.own)
    os.makedirs(os.path.dirname(out), exist_ok=True)
    with tempfile.TemporaryDirectory(prefix='.graft-export-',
                                     dir=os.path.dirname(out)) as above:
        tree, fresh = os.path.join(above, 'tree'), os.path.join(above, 'out')
        os.mkdir(tree)
        scratch = _Scratch(tree, identity)
        modes = {}
        for name, text in plan.texts.items():
            modes[name] = os.stat(os.path.join(plan.xen, name)).st_mode
            scratch.write(name, text.encode(), modes[name])
        scratch.git('add', '-A', '-f', '.')
        scratch.git('commit', '-q', '--no-verify', '--allow-empty', '-m',
                    'base')
        scratch.git('tag', 'base')
        done, empty = [], []
        for number, patch in enumerate(patches):
            topics = {patch.topic for patch in patches[:number + 1]}
            for name, data in plan.rendered(topics).items():
                scratch.write(name, data, modes[name])
            for name in patch.own_files:
                path = os.path.join(plan.own, name)
                scratch.write(name, read_bytes(path), os.stat(path).st_mode)
            message = patch.subject + '\n\n' + patch.message
            (done if scratch.commit(message.strip() + '\n')
             else empty).append(patch.topic)
        os.mkdir(fresh)
        scratch.git('format-patch', '-q', '--no-signature', '--full-index',
                    '--binary', '--no-renames', '-o', fresh, 'base..HEAD')
        os.makedirs(out, exist_ok=True)
        for name in os.listdir(out):
            os.unlink(os.path.join(out, name))
        for name in sorted(os.listdir(fresh)):
            shutil.move(os.path.join(fresh, name), os.path.join(out, name))
    return done, empty
