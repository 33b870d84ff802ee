# Every command makes what it needs: `make demo` and `make test` work in a fresh clone with Python 3.11 or later, pip and make.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
# Processes that the tests run in, for two cores: most tests wait for a server. What is measured is measured alone (tests/plugins/alone.py).
WORKERS ?= 6
# Without bytecode each of the many processes would compile each module again. So it goes where no source is.
ifdef PYTHONDONTWRITEBYTECODE
unexport PYTHONDONTWRITEBYTECODE
export PYTHONPYCACHEPREFIX := $(abspath $(VENV))/bytecode
endif
IN_PARALLEL = -n $(WORKERS) --dist worksteal
PYTEST = $(BIN)/python -m pytest $(IN_PARALLEL)

.PHONY: help demo model-app test-model-app quick test coverage check check-older check-pythons check-oldest wheel docs bench bench-peers sanitize stress soak fleet field servers clean
.DEFAULT_GOAL := help

help: ## Show these commands
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 16

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Chest needs Python 3.11 or later: make PYTHON=/path/to/python3.11"; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); $(PYTHON) -m virtualenv $(VENV); } || \
		{ rm -rf $(VENV); echo "This Python cannot make an environment. On Debian and Ubuntu: apt install python3-venv"; exit 1; }
	$(BIN)/python -m pip install --quiet --upgrade pip

COMPILED := $(wildcard chest/native/*.[ch] chest/native/*/*.h) chest/native/build_hook.py

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

model-app: $(VENV)/dev.stamp ## Serve the model application with PostgreSQL, Redis, Celery, RQ and Socket.IO, until Ctrl-C
	$(BIN)/python -m tests.adapters.model_app

test-model-app: $(VENV)/dev.stamp ## Run its tests, and look at the record of each kind of request
	$(BIN)/python -m pytest tests/adapters/model_app

quick: export QUICK_TESTS = 1
quick: $(VENV)/dev.stamp ## Run the unit tests with the compiled implementation alone, and few examples where they are made up
	$(PYTEST) -m unit -q

test: $(VENV)/dev.stamp ## Run the tests
	$(PYTEST)

coverage: $(VENV)/dev.stamp ## Which lines of Chest the unit tests run, in Python and in C
	$(BIN)/python -m tests.runs.measured_coverage

check: $(VENV)/dev.stamp ## What CI runs: format, lint, types, import floors, tests with their coverage, older Flask and SQLAlchemy
	@rm -f build/summary
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m tests.runs.measured_coverage
	$(BIN)/python -m tests.runs.checked $(IN_PARALLEL) -m "not unit" --durations=30 --durations-min=3
	$(BIN)/python -m tests.runs.older_versions
	@cat build/summary

check-older: $(VENV)/dev.stamp ## Tests with older releases of Flask, the other frameworks, job queues and SQLAlchemy
	$(BIN)/python -m tests.runs.older_versions

check-pythons: $(VENV)/dev.stamp ## The quick tests on other interpreters (PYTHONS="3.12 3.13", ROOTS=/folder), without the compiled part and with it
	$(BIN)/python -m tests.runs.other_pythons $(or $(PYTHONS),3.12 3.13) $(ROOTS)

check-oldest: $(VENV)/dev.stamp ## The unit tests with the oldest release of each dependency that Chest promises to work with
	$(BIN)/python -m tests.runs.older_versions oldest

wheel: $(VENV)/dev.stamp ## Build what a release uploads, into dist/ (GLIBC=2.17: for older systems than this one), and run the quick tests on the wheel where there is no compiler (TESTS=no: only look into it)
	$(BIN)/python -m pip install --quiet --group release $(if $(GLIBC),--group older-glibc)
	$(BIN)/python -m tests.runs.wheel $(addprefix --glibc ,$(GLIBC)) $(if $(filter no,$(TESTS)),--no-tests)

docs: $(VENV)/dev.stamp ## The site of the documentation, in build/site; any warning, such as of a broken link, is an error
	$(BIN)/python -m pip install --quiet --group docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict --config-file docs/site/mkdocs.yml

bench: $(VENV)/dev.stamp ## Measure, and print a table
	$(BIN)/python -m benchmarks

bench-peers: $(VENV)/dev.stamp ## Measure beside OpenTelemetry, structlog, beeline, Sentry and Flask-Chest, each in an environment of its own
	$(BIN)/python -m benchmarks peers flask_peers

sanitize: $(VENV)/dev.stamp ## The tests of the compiled part with gcc's sanitizers for addresses and undefined behaviour in it
	$(BIN)/python -m tests.native.sanitized

stress: $(VENV)/dev.stamp ## Kill, fork and interrupt for a minute, and count what came through
	$(BIN)/python -m benchmarks.endurance.stress

soak: $(VENV)/dev.stamp ## For ten minutes (SECONDS=600), a store that goes up and down: memory, disk, and what arrives
	$(BIN)/python -m benchmarks.endurance.soak --seconds $(or $(SECONDS),600) $(if $(SAVE),--save)

fleet: $(VENV)/dev.stamp ## For five minutes each (SECONDS=300), 8 hosts (HOSTS, RATE) send to an engine that restarts and is cut off; ENGINE=nats for one
	$(BIN)/python -m benchmarks.endurance.fleet --seconds $(or $(SECONDS),300) --hosts $(or $(HOSTS),8) --rate $(or $(RATE),2000) $(addprefix --engine ,$(ENGINE)) $(if $(SAVE),--save)

field: $(VENV)/dev.stamp ## For ten minutes (SECONDS=600), servers, stores and trouble combined at random; SEED=123 repeats one
	$(BIN)/python -m tests.field --seconds $(or $(SECONDS),600) $(addprefix --seed ,$(SEED))

servers: ## Debian, as root: install the servers and tools that the tests use
	sh tests/install_servers.sh

clean: ## Remove the environment and what the tools left
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis build dist
