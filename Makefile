# Every command sets up what it needs. PYTHON chooses the interpreter: make test PYTHON=python3.12
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
AUDIT := .audit
CLUSTER := .cluster
LINES := 2.11 3.0 3.1 3.2 3.3 3.4

# What an installer cannot check is not installed: each pin has hashes, and so has all that builds the project itself.
pip = $(1)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/uv.txt
uv = $(1)/uv pip install --quiet --python $(1)/python --build-constraints requirements/build.txt
pins = $(call uv,$(1)) --require-hashes -r $(2)
project = $(call uv,$(1)) --no-deps -e .
alive = sh scripts/alive.sh

.DEFAULT_GOAL := help
.PHONY: help demo demo-money test test-system check matrix kill-matrix cluster mutants schedules bench docs sandbox dist test-dist release-check pins audit clean

help: ## Show the commands
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1|\2/p' $(MAKEFILE_LIST) | column -t -s '|'

demo: $(VENV)/ready ## Buy from the sandbox on a real Airflow, and watch it, in one or two minutes (KEEP=1 leaves it running)
	@$(BIN)/python -m scripts.demo $(if $(KEEP),--keep)

demo-money: $(VENV)/ready ## Plan, limit, approve and reconcile purchases on a real Airflow, and check each step, in two minutes (KEEP=1 leaves it running)
	@$(BIN)/python -m scripts.demo_money $(if $(KEEP),--keep)

test: $(VENV)/ready ## Run the tests on all cores, in random order, and measure branch coverage (ARGS="tests/api -n 0" runs some)
	@$(BIN)/python -m pytest -m "not system" -n auto --dist worksteal $(or $(ARGS),--cov --cov-report=term)

test-system: $(VENV)/ready $(CLUSTER)/ready ## Run the tests that start real Airflow components, and kill them
	@sh scripts/cluster_programs.sh || true
	@$(BIN)/python -m pytest -m system -p no:randomly $(ARGS)

check: $(VENV)/checkable ## Lint, types, layers, spelling, fresh reference pages, docs build
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-logo
	@$(BIN)/codespell airflow_provider_tcbilling deploy docs example_dags scripts tests verification *.md Makefile
	@$(BIN)/check-jsonschema --builtin-schema vendor.compose-spec --quiet deploy/compose/compose.yaml
	@$(BIN)/python docs/_ext/render_reference.py --check
	@$(BIN)/sphinx-build -q -W --keep-going -b html docs docs/_build/html

matrix: $(LINES:%=.matrix/%/ready) ## Test on every supported line of Airflow
	@sh scripts/matrix.sh $(LINES)

kill-matrix: $(VENV)/ready .matrix/3.4/ready .matrix/3.2/ready .matrix/2.11/ready ## Kill a real Airflow wherever it hurts, for hours, and count the orders (ARGS="--subset 20")
	@$(BIN)/python -m verification.kill_matrix $(ARGS)
	@$(BIN)/python docs/_ext/render_reference.py
	@$(if $(ARGS),true,$(BIN)/python -m verification.schedules)

cluster: $(CLUSTER)/ready ## Kill the machines of an Airflow on PostgreSQL, Redis and Celery, for hours, and count the orders (ARGS="--short")
	@sh scripts/cluster_programs.sh
	@$(CLUSTER)/bin/python -m verification.cluster $(ARGS)
	@$(CLUSTER)/bin/python docs/_ext/render_reference.py

mutants: $(VENV)/ready ## Break every guard of a purchase once, and see its test fail (ARGS="--only Purchase --jobs 2")
	@$(BIN)/python -m verification.mutants $(ARGS)

schedules: $(VENV)/ready ## Run 70,000 random schedules and 100,000 random answers, records and connections (ARGS="--of renewals --replay 7" repeats one)
	@$(BIN)/python -m verification.schedules $(ARGS)

bench: $(VENV)/benchable ## Measure, with baselines in the same run, and write docs/explanation/performance.md, in 90 minutes (ARGS="--only fleet")
	@$(BIN)/python -m verification.bench --publish $(ARGS)
	@$(BIN)/python docs/_ext/render_reference.py

docs: $(VENV)/checkable ## Build the documentation into docs/_build/html
	@$(BIN)/python docs/_ext/render_reference.py
	@$(BIN)/sphinx-build -q -W -b html docs docs/_build/html
	@echo "docs/_build/html/index.html"

sandbox: $(VENV)/ready ## Run the sandbox alone
	@$(BIN)/python -m airflow_provider_tcbilling.sandbox $(ARGS)

dist: $(VENV)/ready ## Build the distributions, and check what is in them
	@rm -rf dist
	@$(BIN)/uv build --quiet --build-constraints requirements/build.txt
	@$(BIN)/python scripts/check_dist.py

test-dist: dist ## Build the distributions, and run the tests of the sdist against the wheel
	@sh scripts/test_dist.sh $(BIN)/uv $(ARGS)

release-check: $(VENV)/ready ## Check that a tag, the package and the changelog name one version (TAG=v0.2.0)
	@$(BIN)/python -m scripts.release_check $(TAG)

pins: $(VENV)/ready ## Write requirements/*.txt from requirements/*.in (ARGS="--upgrade-package requests" renews one)
	@sh scripts/pins.sh $(BIN)/uv $(ARGS)

audit: $(VENV)/ready $(AUDIT)/ready ## Check the pins: hashes, withdrawn releases, newer ones, known vulnerabilities
	@$(BIN)/python scripts/audit.py $(ARGS)

clean: ## Remove everything that the commands made
	@rm -rf $(VENV) $(AUDIT) $(CLUSTER) .matrix .demo .bench .coverage* build dist docs/_build

$(VENV)/ready: requirements/uv.txt requirements/build.txt requirements/airflow-3.3.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10) and "Python 3.10 to 3.13 is needed; say make PYTHON=python3.12 ...")'
	@echo "The first time, Airflow 3.3 is installed into $(VENV). That takes one to five minutes, mostly for the download."
	@test -x $(BIN)/uv || $(alive) "making $(VENV)" $(PYTHON) -m venv --clear $(VENV)
	@$(alive) "installing uv" $(call pip,$(BIN))
	@$(alive) "installing Airflow 3.3 and its dependencies" $(call pins,$(BIN),requirements/airflow-3.3.txt)
	@$(alive) "installing this provider" $(call project,$(BIN))
	@touch $@

$(VENV)/checkable: $(VENV)/ready requirements/check.txt
	@$(BIN)/python -c 'import sys; sys.exit(sys.version_info < (3, 11) and "make check needs Python 3.11 or newer")'
	@$(call pins,$(BIN),requirements/check.txt)
	@touch $@

$(VENV)/benchable: $(VENV)/ready requirements/bench.txt
	@$(BIN)/python -c 'import sys; sys.exit(sys.version_info < (3, 11) and "make bench needs Python 3.11 or newer")'
	@$(call pins,$(BIN),requirements/bench.txt)
	@touch $@

$(CLUSTER)/ready: requirements/uv.txt requirements/build.txt requirements/airflow-3.3.txt requirements/cluster.txt pyproject.toml
	@echo "Setting up $(CLUSTER) with Airflow 3.3 and its Celery executor (once) ..."
	@$(PYTHON) -m venv --clear $(CLUSTER)
	@$(call pip,$(CLUSTER)/bin)
	@$(alive) "installing Airflow 3.3" $(call pins,$(CLUSTER)/bin,requirements/airflow-3.3.txt)
	@$(alive) "installing the Celery executor" $(call pins,$(CLUSTER)/bin,requirements/cluster.txt)
	@$(call project,$(CLUSTER)/bin)
	@touch $@

$(AUDIT)/ready: requirements/uv.txt requirements/audit.txt
	@$(PYTHON) -m venv --clear $(AUDIT)
	@$(call pip,$(AUDIT)/bin)
	@$(call pins,$(AUDIT)/bin,requirements/audit.txt)
	@touch $@

.matrix/%/ready: requirements/uv.txt requirements/build.txt requirements/airflow-%.txt pyproject.toml
	@echo "Setting up $(@D) with Airflow $* (once) ..."
	@$(PYTHON) -m venv --clear $(@D)
	@$(call pip,$(@D)/bin)
	@$(call pins,$(@D)/bin,requirements/airflow-$*.txt)
	@$(call project,$(@D)/bin)
	@touch $@
