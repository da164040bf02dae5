# SPDX-License-Identifier: GPL-2.0-only
"""The parts of scripts/graft; docs/grafts.md describes what a graft is."""
