# SPDX-License-Identifier: GPL-2.0-only
#
# The front door: `make help` lists what there is. Each target is one program
# below scripts/ or tests/, which can be run by hand as well and says itself
# what failed and where its log is.
#
#   make deps dist      what an operator needs: packages, then the hypervisor
#   make check          what a change must pass
#
# Set on the command line: FLAVOURS="4.17 4.17-debug", SCENARIO=name,
# ACCEL=icount|mt, ARGS="UPDATES=20" (parameters of the scenario), JOBS=n,
# XEN_SRC=dir.

.DEFAULT_GOAL := help

include Config.mk

# Debian's own interpreter: the one that sees Debian's python3-* packages.
PYTHON   ?= /usr/bin/python3
FLAVOURS ?= 4.17 4.17-shifted
SCENARIO ?= dom0-idle
ACCEL    ?= icount
ARGS     ?=

export JOBS XEN_SRC

.NOTPARALLEL:

.PHONY: help
help: ## this list
	@sed -n 's/^\([a-z0-9-]*\):.*## /  make \1\t/p' $(MAKEFILE_LIST) | expand -t 20

.PHONY: deps
deps: ## install the Debian packages listed in scripts/packages.txt
	@$(PYTHON) scripts/deps

.PHONY: fetch
fetch: ## fetch, verify and unpack the pinned Xen source to build/src
	@$(PYTHON) scripts/get-xen 4.17

.PHONY: dist
dist: ## build the hypervisors (FLAVOURS) into dist/FLAVOUR/boot
	@$(PYTHON) scripts/build-xen $(FLAVOURS)

.PHONY: tools
tools: ## build xl and its libraries into dist/4.17/usr
	@$(PYTHON) scripts/build-tools 4.17

# What QEMU emulates keeps PVH and HVM guests healthy with these only (docs/lab.md).
.PHONY: demo
demo: FLAVOURS = 4.17-lab 4.17-shifted-lab
demo: deps dist ## boot a Xen host with guests of each kind in QEMU, update it, print a table
	@$(PYTHON) tests/lab/run --accel $(ACCEL) demo

.PHONY: lab
lab: dist ## run scenarios of the lab (SCENARIO, ACCEL, ARGS)
	@$(PYTHON) tests/lab/run --accel $(ACCEL) $(SCENARIO) $(ARGS)

.PHONY: unit
unit: ## unit tests of the codec, on this machine
	@$(MAKE) --no-print-directory -C tests/unit check

.PHONY: check
check: ## every test that a change must pass (up to half an hour cold)
	@$(PYTHON) scripts/check

.PHONY: check-all
check-all: ## check, and what takes hours: the whole matrix, fuzzing
	@$(PYTHON) scripts/check --all

# What QEMU emulates keeps PVH and HVM guests healthy with the lab's only (docs/lab.md).
.PHONY: bench
bench: FLAVOURS = 4.17 4.17-lab
bench: dist ## how long guests stand still, in virtual ms, next to a reboot
	@$(PYTHON) tests/bench/run

.PHONY: clean
clean: ## remove build, dist and out; the download cache stays
	rm -rf build dist out
