# SPDX-License-Identifier: GPL-2.0-only
"""The parts of tests/bench/run: what is measured, how, when, and the tables."""
