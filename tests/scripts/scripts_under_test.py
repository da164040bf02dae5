# SPDX-License-Identifier: GPL-2.0-only
"""Makes scripts/ importable for these tests.

Importing this puts scripts/ on the module path; load("build-xen") gives a
program there, whose name has no .py, as a module. A program that is missing is
an ImportError, which fails the test.
"""
import importlib.machinery
import importlib.util
import pathlib
import sys

TOP = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(TOP / "scripts"))
sys.dont_write_bytecode = True


def load(name):
    loader = importlib.machinery.SourceFileLoader(
        name.replace("-", "_"), str(TOP / "scripts" / name))
    spec = importlib.util.spec_from_loader(loader.name, loader)
    module = importlib.util.module_from_spec(spec)
    loader.exec_module(module)
    return module
