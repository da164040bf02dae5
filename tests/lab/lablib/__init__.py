# SPDX-License-Identifier: GPL-2.0-only
"""The lab's own modules: packages, images, QEMU, the command channel, hosts."""
