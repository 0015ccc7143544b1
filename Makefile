# Everything goes through run.py, which works without make too.
PYTHON ?= python3
VENV_PYTHON = .venv/bin/python
TRAIN_PYTHON ?= python3.12
DATA ?= ../shared/data

.DEFAULT_GOAL := help
.PHONY: help run test demo lint bench bench-onnx train lock venv

help:  ## list these targets
	@sed -n 's/^\([a-z-]*\):.*  ## /\1	/p' Makefile | expand -t 12

run:  ## start OpenManager on this machine (PORT, OPENMANAGER_DATA); Ctrl-C stops it
	@exec $(PYTHON) run.py up

test:  ## run the tests
	@exec $(PYTHON) run.py test

demo:  ## replay recorded servers into what runs (ours, or make demo FILES="...")
	@exec $(PYTHON) run.py demo $(FILES)

lint: venv  ## check style and types
	$(VENV_PYTHON) -m ruff check .
	$(VENV_PYTHON) -m ruff format --check .
	$(VENV_PYTHON) -m mypy layers/core/python/openmanager infra functions

bench: venv  ## measure what the budgets are about
	$(VENV_PYTHON) -m tests.bench

bench-onnx:  ## the models beside ONNX Runtime, in an environment of its own (.venv-bench)
	@$(PYTHON) run.py --venv .venv-bench install
	@.venv-bench/bin/python -m pip install -q -r tests/bench/requirements.txt
	.venv-bench/bin/python -m tests.bench inference

train:  ## train the models anew (TRAIN_PYTHON, DATA; TensorFlow comes into a .venv-train of its own)
	@test -x .venv-train/bin/python || $(TRAIN_PYTHON) -m venv .venv-train
	.venv-train/bin/python -m pip install -q -r models/training/requirements.lock
	.venv-train/bin/python -m models.training --data $(DATA)

lock: venv  ## resolve requirements.lock from pyproject.toml
	UV_PYTHON_DOWNLOADS=never $(VENV_PYTHON) -m uv pip compile --universal --python-version 3.11 \
		--generate-hashes --no-emit-index-url --no-header --group dev pyproject.toml -o requirements.lock

venv:
	@$(PYTHON) run.py install
