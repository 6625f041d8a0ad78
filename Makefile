# SPDX-License-Identifier: GPL-2.0-or-later
# Two commands do all the set-up on a fresh Debian or Ubuntu machine:
#   make demo   a ping over a real bond, traced, in a throwaway virtual machine
#   make test   all checks: lint, types, unit tests, and the tests in the virtual machine

# bcc is a package of the distribution for the distribution's Python, so the environment is made with the latter.
PYTHON ?= /usr/bin/python3
VENV := .venv
BIN := $(VENV)/bin
TOOLS := python3-bpfcc python3-venv qemu-system-x86 busybox-static kmod tcpdump iproute2 iputils-ping ethtool gcc libc6-dev libteam-utils tshark \
         mmdebstrap man-db mandoc bpftool bpftrace file procps util-linux git nftables iptables wireguard-tools tmux systemd
# Daemons that scenarios run: unpacked, not installed, as some would start here, or replace this machine's own.
UNPACKED := dnsmasq=dnsmasq-base chronyd=chrony keepalived=keepalived lldpd=lldpd lldpcli=lldpd dhclient=isc-dhcp-client

.PHONY: demo test soak test-stacks test-kernels test-arm64 test-rt test-platforms test-fleet test-fresh deb test-deb rpm unit lint setup clean example man bench bench-fleet bench-lab fuzz audit
demo: setup
	$(BIN)/bondtrace lab

# What is reported of taps is compared packet by packet on a machine that has both CPUs to itself: its guest has four.
test: lint unit
	$(BIN)/python -m pytest -m lab tests/system/test_truth.py
	$(BIN)/python -m pytest -m lab -n 2 --durations=20 --ignore=tests/system/test_truth.py

# The scenarios on every kernel that bondtrace supports, including a real-time one; an hour or two. One alone:
# BONDTRACE_KERNELS=5.10 BONDTRACE_SCENARIOS=flood .venv/bin/python -m pytest tests/system/test_scenarios.py
test-kernels: setup
	BONDTRACE_KERNELS=5.10,6.1,6.12,6.12-rt,6.18,7.3 $(BIN)/python -m pytest -n 2 -m lab \
		tests/system/test_scenarios.py tests/system/test_first_slice.py tests/system/test_filter.py \
		tests/system/test_snaplen.py tests/system/test_truth.py

# What people stack around a bond, and where packets end beyond IP, on the oldest, the current and the newest kernels; an
# hour or more. One scenario alone:
# BONDTRACE_KERNELS=7.3 BONDTRACE_SCENARIOS=vxlan .venv/bin/python -m pytest tests/system/test_stacks.py
test-stacks: setup
	BONDTRACE_KERNELS=5.10,6.1,6.12,7.3 $(BIN)/python -m pytest -n 2 -m lab \
		tests/system/test_stacks.py tests/system/test_sockets.py

# What each tap saw on Debian's arm64 kernels, emulated, with the userlands of their releases; on 6.1 by kprobes, as it
# has no fentry for arm64. An hour or two. The packages for arm64 are unpacked, not installed.
test-arm64: setup
	./scripts/install-tools qemu-system-arm
	BONDTRACE_ARCH=arm64 BONDTRACE_KERNELS=6.1,6.12,7.3 BONDTRACE_SCENARIOS=any,vlan,flood $(BIN)/python -m pytest \
		-m lab tests/system/test_scenarios.py tests/system/test_first_slice.py tests/system/test_truth.py

# What each tap saw on real-time kernels, and where tasks interrupt each other while they receive (since 6.18); an hour.
test-rt: setup
	BONDTRACE_KERNELS=6.18-rt,7.3-rt BONDTRACE_SCENARIOS=any,vlan,rps,flood $(BIN)/python -m pytest -m lab \
		tests/system/test_turns.py tests/system/test_truth.py tests/system/test_scenarios.py

# The compiler of every Debian with every kernel: loading, filters, the taps' files; an hour or more. Prints a matrix.
test-platforms: setup
	BONDTRACE_PLATFORMS=all $(BIN)/python -m pytest -m lab tests/system/test_platforms.py

# Ten minutes at a steady rate in the virtual machine; the figures are in docs/reliability.md.
soak: setup
	$(BIN)/python -m pytest -m soak

# The fleet's query by Spark, which gives the same table as DuckDB: Java and some 300 MB of packages.
test-fleet: setup
	./scripts/install-tools openjdk-17-jre-headless
	$(BIN)/pip install --quiet --disable-pip-version-check -e '.[fleet-spark]'
	$(BIN)/python -m pytest -m fleet

# `make demo`, `make lint unit` and docs/install.md's steps without PyPI on minimal Debian 12 and 13, in root directories
# made for this: as root, at most an hour.
test-fresh: setup
	$(BIN)/python -m pytest -m fresh

# The packages, in dist/. What the .deb is built with is said in debian/control, where it is one package a line.
DEB_TOOLS = build-essential git lintian $(shell sed -n \
	's/debhelper-compat/debhelper/; /^Build-Depends/,/^[A-Z]/s/^ \([a-z0-9-]*\).*/\1/p' debian/control)
RPM_TOOLS := git rpm rpmlint cpio python3-bpfcc python3-click python3-flatbuffers python3-numpy python3-pip \
	python3-setuptools python3-tabulate python3-wheel python3-zstandard
deb:
	./scripts/install-tools $(DEB_TOOLS)
	./scripts/build-deb dist

rpm:
	command -v dnf >/dev/null || ./scripts/install-tools $(RPM_TOOLS)
	./scripts/build-rpm dist

# The .deb built, linted, installed, tried and removed on minimal Debian 12, 13 and sid; the .rpm and the container's
# image built here: as root, half an hour.
test-deb: setup
	./scripts/install-tools buildah $(RPM_TOOLS)
	$(BIN)/python -m pytest -m deb

# The page of `report` is tested in a browser. Where there is no such package (Ubuntu's is a snap) those tests are
# skipped, and say so.
unit: setup
	-./scripts/install-tools chromium
	$(BIN)/python -m pytest -m "not lab" -n 2

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo --no-cache

# Throughput on this machine, as root; writes the tables in docs/performance.md.
bench: setup
	PYTHONPATH=. $(BIN)/python bench/run.py

# The summary of a made dataset of 1,000 hosts, by DuckDB and by Spark; writes the tables in docs/fleet.md: an hour.
bench-fleet: setup
	./scripts/install-tools openjdk-17-jre-headless
	$(BIN)/pip install --quiet --disable-pip-version-check -e '.[fleet-spark]'
	PYTHONPATH=. $(BIN)/python bench/fleet.py

# Instructions per packet and losses, in emulated machines: half an hour or more. No root; bpftrace and pwru are peers.
bench-lab: setup
	-./scripts/install-tools bpftrace
	$(BIN)/python bench/lab.py

# Coverage-guided fuzzing of all that reads recordings, for FUZZ_SECONDS seconds; findings are written to fuzz-out.
FUZZ_SECONDS ?= 600
fuzz: setup
	$(BIN)/pip install --quiet --disable-pip-version-check atheris
	mkdir -p fuzz-out
	cd fuzz-out && ../$(BIN)/python ../scripts/fuzz corpus -max_total_time=$(FUZZ_SECONDS)

# Known advisories about what is installed here, by pip-audit (in its own environment), which asks PyPI; fails where
# PyPI does not answer. The tests check the minimum versions against tests/data/advisories.json, without a network.
audit: setup
	$(PYTHON) -m venv $(VENV)/audit
	$(VENV)/audit/bin/pip install --quiet --disable-pip-version-check pip-audit
	$(BIN)/python scripts/audit $(VENV)/audit/bin/pip-audit --path \
		$$($(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')

example: setup
	$(BIN)/bondtrace lab --out /tmp/ping -- bondtrace record --force -o /tmp/ping/ping.arrows --iface bond0
	cp /tmp/ping/ping.arrows examples/ping.arrows

# The manual page, after a change to a command or to docs/cli.md.
man: setup
	$(BIN)/python scripts/make-man

setup: $(VENV)/ready

# numpy is required by version: the distribution's is too old for the other packages.
$(VENV)/ready: setup.cfg Makefile tests/constraints.txt
	./scripts/install-tools $(TOOLS)
	$(PYTHON) -m venv --system-site-packages $(VENV)
	-./scripts/unpack-tools $(VENV) $(UNPACKED)
	$(BIN)/pip install --quiet --disable-pip-version-check 'numpy>=2' -e '.[test,lab]' \
		-c tests/constraints.txt
	$(BIN)/python -m compileall -q bondtrace
	touch $@

clean:
	rm -rf $(VENV) build dist *.egg-info
