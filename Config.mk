# SPDX-License-Identifier: GPL-2.0-only
#
# The pins: which upstream source packages are built, down to the last byte.
# Read by the Makefile and by scripts/get-xen, so only plain "NAME := value"
# lines here. XEN_4_17_* is what `get-xen 4.17` looks up.
#
# The .dsc is recorded but not needed: the two tarballs are checked against
# the sums below, which is stronger than any signature on a list of them.

XEN_4_17_RELEASE       := bookworm
XEN_4_17_VERSION       := 4.17.5+72-g01140da4e8-1
XEN_4_17_ORIG_SHA256   := 53922f4d0a02c577f2ea9d63f65989cd88715779eebeed879ca1d314103ee06e
XEN_4_17_DEBIAN_SHA256 := 5bcf3812c64585e270e0b3fa6ee8fd16dff7b9bc0f61375d648c64672484c4d9
XEN_4_17_DSC_SHA256    := f13956b67fb7a65707c2b0620d89b41ee5d203434dd7bb913017356791ee66c1
