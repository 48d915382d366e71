# Everything below sets up .venv by itself. Wanted on the machine: Python >= 3.11; for the tests on Kafka
# and the benchmarks also Java >= 17 and Maven.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
SET_UP := $(VENV)/.set-up
SHELL := /bin/bash
.DEFAULT_GOAL := test
.PHONY: demo test lint bench gate soak kernel

demo: $(SET_UP)
	@TIMEFORMAT='demo took %0R s'; time $(BIN)/stream-monitor demo

# Two processes, each with a broker of its own, for most tests wait for Kafka. The order stays: the slowest first.
test: $(SET_UP)
	@TIMEFORMAT='test took %0R s'; time $(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

lint: $(SET_UP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# `make bench ONLY=throughput` runs one section; COMPARE=EARLIER.json prints the ratios to an earlier result.
bench: $(SET_UP)
	$(BIN)/python -m benchmarks $(ONLY) $(if $(COMPARE),--compare $(COMPARE))

# The optional compiled kernel, built and held against the same loops in Python. Wants Rust.
kernel: $(SET_UP)
	$(BIN)/pip install --quiet --disable-pip-version-check ./native
	$(BIN)/python -m pytest tests/test_codec_native.py tests/test_summary_native.py tests/test_runtime_decoding.py \
		tests/test_codec_labels.py tests/test_join_encoding.py tests/test_join_joiner.py

# Fails when a stage has come to cost 1.6 times what it did. Takes a few seconds.
gate: $(SET_UP)
	$(BIN)/python -m benchmarks.gate

# `make soak MINUTES=5` is a short one.
MINUTES ?= 60
soak: $(SET_UP)
	$(BIN)/python -m benchmarks.soak --minutes $(MINUTES)

$(SET_UP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; v = sys.version_info; v >= (3, 11) or sys.exit(f"needs Python >= 3.11, got {v[0]}.{v[1]}; set PYTHON=")'
	@TIMEFORMAT='set-up took %0R s'; time { $(PYTHON) -m venv $(VENV) && \
		$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[dev]' --constraint constraints.txt; }
	@touch $@
