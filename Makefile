# bx24app. `make help` lists the targets. Works as an ordinary user and as root; a second run of any target is quick.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.NOTPARALLEL:
.DELETE_ON_ERROR:

PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
ARGS ?=
# Tests mostly wait (for back-off, browsers, other processes), so three runners keep two cores busy. A file's tests stay together.
JOBS ?= 3

.PHONY: help setup demo test test-fast test-day lint bench bench-quick screenshots mutants barriers fuzz chaos wide audit lock clean migrated

help: ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | while IFS=$$'\t' read -r name text; do printf '  make %-12s %s\n' "$$name" "$$text"; done

setup: .venv/.runtime static/vendor/.stamp migrated ## make .venv, the front-end libraries and the database
	@echo "setup: done. Next: make demo"

demo: setup ## run the app beside a sandbox portal and a sandbox PBX; Ctrl-C stops all of it
	@exec $(BIN)/bx24app demo $(ARGS)

test: .venv/.dev node_modules/.dev static/vendor/.stamp ## run the whole test suite (ARGS="-k name" for a part, JOBS=0 for one at a time)
	@$(BIN)/python scripts/needs.py
	@$(BIN)/python -m pytest -n $(JOBS) --dist loadfile $(ARGS)

FAST := tests/domain tests/mango tests/bitrix24/test_error_table.py tests/bitrix24/test_inbound.py tests/infra/test_logs.py tests/test_config.py tests/docs
SLOW := $(addprefix --ignore=tests/mango/test_,client.py dialects.py transport.py)
test-fast: .venv/.dev ## the tests that need no server, browser or sleep: under two minutes
	@$(BIN)/python -m pytest -q -n $(JOBS) $(FAST) $(SLOW) $(ARGS)

DAY ?= 2028-02-29T12:00
DAYS := tests/domain tests/calls tests/mango tests/operations tests/portals tests/settings tests/web tests/cli tests/docs
test-day: .venv/.dev static/vendor/.stamp ## the tests that depend on dates, under another date in Moscow (DAY=2027-12-31T23:59); needs gcc
	@$(BIN)/python -m scripts.with_clock $(DAY) $(BIN)/python -m pytest -q -n $(JOBS) --dist loadfile $(DAYS) $(ARGS)

lint: .venv/.dev ## check style, types and imports between packages
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

bench: .venv/.dev static/vendor/.stamp ## measure every figure against a baseline of the same run
	@$(BIN)/python -m benchmarks $(ARGS)

bench-quick: .venv/.dev static/vendor/.stamp ## the same table roughly, in three minutes; stored under benchmarks/results
	@$(BIN)/python -m benchmarks --quick --keep $(ARGS)

screenshots: .venv/.dev node_modules/.dev static/vendor/.stamp ## a picture of every page in both languages, light, dark and narrow, to var/screenshots
	@$(BIN)/python -m tests.browser.screenshots $(ARGS)

mutants: .venv/.dev ## break the decision in many ways; each must fail a test
	@$(BIN)/python -m tests.stress.mutants $(ARGS)

barriers: .venv/.dev static/vendor/.stamp ## take one piece of the program away at a time; the test that holds it must fail (ARGS="F1 fault-05")
	@$(BIN)/python -m tests.stress.barriers $(ARGS)

fuzz: .venv/.dev static/vendor/.stamp ## send 50,000 bad inputs to everything that answers HTTP (ARGS="--inputs N --seed S")
	@$(BIN)/python -m tests.stress.fuzz $(ARGS)

chaos: .venv/.dev static/vendor/.stamp ## kill, flush, refuse and hang with 200 calls in flight; print what was lost and how long it took (ARGS="--calls N --only NAME")
	@$(BIN)/python -m tests.stress.chaos $(ARGS)

wide: .venv/.dev static/vendor/.stamp ## put four hosts under load, cut the power of two, restart all; print whole calls a second (ARGS="--calls N")
	@$(BIN)/python -m tests.stress.multi_host $(ARGS)

audit: .venv/.dev ## look for known vulnerabilities in our code (bandit), Python packages and front-end packages
	@$(PIP) install -q bandit pip-audit
	@$(BIN)/python -m scripts.audit

lock: .venv/.dev ## rewrite the lock files from pyproject.toml and package.json (ARGS=--upgrade)
	@$(PIP) install -q uv
	@PATH="$$PWD/$(BIN):$$PATH" scripts/lock.sh $(ARGS)
	@npm install --package-lock-only --ignore-scripts

clean: ## remove everything installed and built; data in var/ stays
	@rm -rf .venv node_modules static/vendor .mypy_cache .ruff_cache .pytest_cache .import_linter_cache

migrated: .venv/.runtime
	@$(BIN)/bx24app db upgrade

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
	    echo "setup: Python 3.11 or newer is needed, $(PYTHON) is $$($(PYTHON) --version 2>&1); choose another: make PYTHON=python3.12 $(MAKECMDGOALS)" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
	    echo "setup: Python's venv module is missing: sudo apt-get install -y python3-venv" >&2; exit 1; }
	@$(PYTHON) -m venv --clear .venv

.venv/.runtime: requirements.txt pyproject.toml | .venv/bin/python
	@echo "setup: installing Python packages"
	@$(PIP) install -qq --require-hashes -r requirements.txt
	@$(PIP) install -qq --no-deps --no-build-isolation -e .
	@touch $@

.venv/.dev: requirements-dev.txt .venv/.runtime
	@echo "setup: installing development packages"
	@$(PIP) install -qq --require-hashes -r requirements-dev.txt
	@touch $@

# npm ci empties node_modules/, so node_modules/.dev is missing whenever the front end was installed without the tests' packages.
node_modules/.dev: package.json package-lock.json scripts/vendor.py | .venv/.runtime
	@$(BIN)/python scripts/vendor.py --dev
	@touch static/vendor/.stamp $@

static/vendor/.stamp: package.json package-lock.json scripts/vendor.py | .venv/.runtime
	@if [ -e node_modules/.dev ]; then $(BIN)/python scripts/vendor.py --dev; touch node_modules/.dev; else $(BIN)/python scripts/vendor.py; fi
	@touch $@
