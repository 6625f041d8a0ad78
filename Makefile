# SPDX-License-Identifier: GPL-2.0-or-later
# Two commands do all the set-up on a fresh Debian or Ubuntu machine:
#   make demo   a ping over a real bond, traced, in a throwaway virtual machine
#   make test   all checks: lint, types, unit tests, and the tests in the virtual machine

# bcc is a package of the distribution for the distribution's Python, so the environment is made with that.
PYTHON ?= /usr/bin/python3
VENV := .venv
BIN := $(VENV)/bin
TOOLS := python3-bpfcc python3-venv qemu-system-x86 busybox-static kmod tcpdump iproute2 iputils-ping ethtool gcc libc6-dev libteam-utils tshark \
         mmdebstrap man-db mandoc bpftool bpftrace file procps util-linux git

.PHONY: demo test soak test-kernels test-platforms test-fleet test-fresh unit lint setup clean example man bench bench-lab fuzz audit
demo: setup
	$(BIN)/bondtrace lab

# What is told of taps is compared packet by packet on a machine that has both CPUs to itself: its guest has four.
test: lint unit
	$(BIN)/python -m pytest -m lab tests/system/test_truth.py
	$(BIN)/python -m pytest -m lab -n 2 --durations=20 --ignore=tests/system/test_truth.py

# The scenarios on every kernel that bondtrace is held to, a real-time one among them; an hour or two. One alone:
# BONDTRACE_KERNELS=5.10 BONDTRACE_SCENARIOS=flood .venv/bin/python -m pytest tests/system/test_scenarios.py
test-kernels: setup
	BONDTRACE_KERNELS=5.10,6.1,6.12,6.12-rt,6.18,7.3 $(BIN)/python -m pytest -n 2 -m lab \
		tests/system/test_scenarios.py tests/system/test_first_slice.py tests/system/test_filter.py \
		tests/system/test_snaplen.py tests/system/test_truth.py

# Every Debian's compiler with every kernel: loads, filters, and the taps' files; an hour or more. Prints the matrix.
test-platforms: setup
	BONDTRACE_PLATFORMS=all $(BIN)/python -m pytest -m lab tests/system/test_platforms.py

# Ten minutes at a steady rate in the virtual machine; its figures are in docs/reliability.md.
soak: setup
	$(BIN)/python -m pytest -m soak

# The fleet's query by Spark, which gives the table that DuckDB gives: Java and some 300 MB of packages.
test-fleet: setup
	./scripts/install-tools openjdk-17-jre-headless
	$(BIN)/pip install --quiet --disable-pip-version-check -e '.[fleet-spark]'
	$(BIN)/python -m pytest -m fleet

# `make demo`, `make lint unit` and README's steps without PyPI on minimal Debians 12 and 13, in root directories made for
# it: as root, an hour at most.
test-fresh: setup
	$(BIN)/python -m pytest -m fresh

# The page of `report` is tested in a browser. Where there is no such package (Ubuntu's is a snap) those tests are skipped
# and say so.
unit: setup
	-./scripts/install-tools chromium
	$(BIN)/python -m pytest -m "not lab" -n 2

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo --no-cache

# Throughputs on this machine, as root; the tables go into docs/performance.md.
bench: setup
	PYTHONPATH=. $(BIN)/python bench/run.py

# Instructions per packet and losses, in emulated machines: half an hour or more. No root; bpftrace and pwru are peers.
bench-lab: setup
	-./scripts/install-tools bpftrace
	$(BIN)/python bench/lab.py

# Coverage-guided fuzzing of all that reads recordings, for so many seconds; findings are written to fuzz-out.
FUZZ_SECONDS ?= 600
fuzz: setup
	$(BIN)/pip install --quiet --disable-pip-version-check atheris
	mkdir -p fuzz-out
	cd fuzz-out && ../$(BIN)/python ../scripts/fuzz corpus -max_total_time=$(FUZZ_SECONDS)

# Known advisories of what is installed here, by pip-audit (in an environment of its own), which asks PyPI; it fails where
# PyPI's answers cannot be had. The minimum versions are held to tests/data/advisories.json by the tests, without a network.
audit: setup
	$(PYTHON) -m venv $(VENV)/audit
	$(VENV)/audit/bin/pip install --quiet --disable-pip-version-check pip-audit
	$(BIN)/python scripts/audit $(VENV)/audit/bin/pip-audit --path \
		$$($(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')

example: setup
	$(BIN)/bondtrace lab --out /tmp/ping -- bondtrace record --force -o /tmp/ping/ping.arrows --iface bond0
	cp /tmp/ping/ping.arrows examples/ping.arrows

# The manual page, after a change of a command or of docs/cli.md.
man: setup
	$(BIN)/python scripts/make-man

setup: $(VENV)/ready

# numpy is asked for by version: the distribution's is too old for the other packages.
$(VENV)/ready: setup.cfg Makefile tests/constraints.txt
	./scripts/install-tools $(TOOLS)
	$(PYTHON) -m venv --system-site-packages $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check 'numpy>=2' -e '.[test,lab]' \
		-c tests/constraints.txt
	$(BIN)/python -m compileall -q bondtrace
	touch $@

clean:
	rm -rf $(VENV) build *.egg-info
