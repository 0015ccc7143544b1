# Everything goes through run.py, which works without make too.
PYTHON ?= python3
VENV_PYTHON = .venv/bin/python
VENV_BROWSER = .venv-browser
TRAIN_PYTHON ?= python3.12
DATA ?= ../shared/data
ARCH ?= arm64

stage = --stage $(or $(STAGE),$(error which stage? make $(1) STAGE=dev)) $(if $(REGION),--region $(REGION))

.DEFAULT_GOAL := help
.PHONY: help run test browser demo doctor deploy remove lint package container bench bench-onnx bench-dashboard train lock mcp-clients infrastructure venv venv-browser

help:  ## list these targets
	@sed -n 's/^\([a-z-]*\):.*  ## /\1	/p' Makefile | expand -t 12

run:  ## start OpenManager on this machine (PORT, OPENMANAGER_DATA); Ctrl-C stops it
	@exec $(PYTHON) run.py up

test:  ## run the tests
	@exec $(PYTHON) run.py test

browser: venv-browser  ## run the dashboard's tests in Debian's chromium, in an environment of its own (.venv-browser)
	$(VENV_BROWSER)/bin/python -m pytest tests/browser

demo:  ## replay recorded servers into what runs (ours, or make demo FILES="...")
	@exec $(PYTHON) run.py demo $(FILES)

doctor:  ## say what is wrong with what runs here, or with a deployment (STAGE, REGION)
	@exec $(PYTHON) run.py doctor $(if $(STAGE),--stage $(STAGE)) $(if $(REGION),--region $(REGION))

deploy:  ## deploy to AWS and see that it works (STAGE, REGION, ARCH, SETTINGS, MAIL, DRY_RUN=1)
	@exec $(PYTHON) run.py deploy $(call stage,deploy) $(if $(ARCH),--arch $(ARCH)) $(if $(SETTINGS),--settings $(SETTINGS)) \
		$(if $(MAIL),--mail $(MAIL)) $(if $(DRY_RUN),--dry-run)

remove:  ## remove a deployment from AWS; settings and data stay (STAGE, REGION)
	@exec $(PYTHON) run.py remove $(call stage,remove)

lint: venv  ## check style and types
	$(VENV_PYTHON) -m ruff check .
	$(VENV_PYTHON) -m ruff format --check .
	$(VENV_PYTHON) -m mypy layers/core/python/openmanager infra functions

package: venv  ## build layers and functions for Lambda into build/ (ARCH=arm64, x86_64 or all; needs a Python 3.13)
	$(VENV_PYTHON) -m infra.packaging --arch $(ARCH)

container: venv  ## lay out build/container, from which Docker or Podman builds one image of all functions (Python 3.11)
	$(VENV_PYTHON) -m infra.packaging.container

bench: venv  ## measure what the budgets are about
	$(VENV_PYTHON) -m tests.bench

bench-onnx:  ## the models beside ONNX Runtime, in an environment of its own (.venv-bench)
	@$(PYTHON) run.py --venv .venv-bench install
	@.venv-bench/bin/python -m pip install -q -r tests/bench/requirements.txt
	.venv-bench/bin/python -m tests.bench inference

bench-dashboard: venv-browser  ## measure the dashboard in Debian's chromium (.venv-browser)
	$(VENV_BROWSER)/bin/python -m tests.bench dashboard

train:  ## train the models anew (TRAIN_PYTHON, DATA; TensorFlow comes into a .venv-train of its own)
	@test -x .venv-train/bin/python || $(TRAIN_PYTHON) -m venv .venv-train
	.venv-train/bin/python -m pip install -q -r models/training/requirements.lock
	.venv-train/bin/python -m models.training --data $(DATA)

mcp-clients:  ## fetch what the tests try our MCP server with: clients for node, and the older SDK (.venv-mcp-clients)
	npm ci --prefix tests/mcp_clients --no-audit --no-fund
	$(PYTHON) -m venv .venv-mcp-clients
	.venv-mcp-clients/bin/python -m pip install -q --require-hashes -r tests/mcp_clients/requirements.txt

infrastructure:  ## fetch what the tests pack and check a deployment with: osls, cfn-lint, an AWS emulator (.venv-infrastructure)
	npm ci --prefix tests/infrastructure --no-audit --no-fund --ignore-scripts
	$(PYTHON) -m venv .venv-infrastructure
	.venv-infrastructure/bin/python -m pip install -q --require-hashes -r tests/infrastructure/requirements.txt

lock: venv  ## resolve requirements.lock from pyproject.toml, and what some tests need besides
	UV_PYTHON_DOWNLOADS=never $(VENV_PYTHON) -m uv pip compile --universal --python-version 3.11 \
		--generate-hashes --no-emit-index-url --no-header --group dev pyproject.toml -o requirements.lock
	UV_PYTHON_DOWNLOADS=never $(VENV_PYTHON) -m uv pip compile --universal --python-version 3.11 \
		--generate-hashes --no-emit-index-url --no-header -c requirements.lock tests/browser/requirements.in \
		-o tests/browser/requirements.txt
	UV_PYTHON_DOWNLOADS=never $(VENV_PYTHON) -m uv pip compile --universal --python-version 3.11 \
		--generate-hashes --no-emit-index-url --no-header -c requirements.lock tests/infrastructure/requirements.in \
		-o tests/infrastructure/requirements.txt

venv:
	@$(PYTHON) run.py install

venv-browser:
	@$(PYTHON) run.py --venv $(VENV_BROWSER) install
	@$(VENV_BROWSER)/bin/python -m pip install -q --require-hashes -r tests/browser/requirements.txt
