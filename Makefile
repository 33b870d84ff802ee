# Every command makes what it needs: `make demo` and `make test` work in a fresh clone with Python 3.11 or later, pip and make.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin

.PHONY: help demo test check check-flask bench bench-peers stress soak servers clean
.DEFAULT_GOAL := help

help: ## Show these commands
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 16

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Chest needs Python 3.11 or later: make PYTHON=/path/to/python3.11"; exit 1; }
	$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); $(PYTHON) -m pip install --user virtualenv && $(PYTHON) -m virtualenv $(VENV); }
	$(BIN)/python -m pip install --quiet --upgrade pip

COMPILED := $(wildcard chest/speedups/*.[ch]) chest/speedups/build_hook.py

$(VENV)/demo.stamp: pyproject.toml $(COMPILED) | $(BIN)/python
	$(BIN)/python -m pip install --quiet --editable '.[demo]'
	@touch $@

# A uWSGI in which threads do not run, for the tests: apart, because its files have the names of the newer one's.
$(VENV)/uwsgi-2.0.26: | $(BIN)/python
	$(BIN)/python -m pip install --quiet --no-deps --prefer-binary --target $@ pyuwsgi==2.0.26 || echo "no uWSGI 2.0.26 for this Python: its tests are skipped"

$(VENV)/dev.stamp: pyproject.toml $(COMPILED) | $(BIN)/python $(VENV)/uwsgi-2.0.26
	$(BIN)/python -m pip install --quiet --editable '.[demo]' --group test --group bench --group lint
	@touch $@

demo: $(VENV)/demo.stamp ## Serve a small shop, send it requests, kill a worker, and show that every answer has its record
	$(BIN)/chest demo

test: $(VENV)/dev.stamp ## Run the tests
	$(BIN)/python -m pytest

check: $(VENV)/dev.stamp ## What CI runs: format, lint, types, import floors, tests, older releases of Flask
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m pytest
	$(BIN)/python tests/flask_versions.py

check-flask: $(VENV)/dev.stamp ## The tests of flask_chest with the oldest Flask that it promises, and one between
	$(BIN)/python tests/flask_versions.py

bench: $(VENV)/dev.stamp ## Measure, and print a table
	$(BIN)/python -m benchmarks

bench-peers: $(VENV)/dev.stamp ## Measure beside OpenTelemetry, structlog, beeline, Sentry and Flask-Chest, each in an environment of its own
	$(BIN)/python -m benchmarks peers flask_peers

stress: $(VENV)/dev.stamp ## Kill, fork and interrupt for a minute, and count what came through
	$(BIN)/python -m benchmarks.stress

soak: $(VENV)/dev.stamp ## For ten minutes (SECONDS=600), a store that goes up and down: memory, disk, and what arrives
	$(BIN)/python -m benchmarks.soak --seconds $(or $(SECONDS),600) $(if $(SAVE),--save)

servers: ## Debian, as root: install the servers and tools that the tests use
	sh tests/install_servers.sh

clean: ## Remove the environment and what the tools left
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis build dist
