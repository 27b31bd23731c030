# `make` alone lists what there is. ARGS is handed on: make run ARGS="--engine memory", make test ARGS="-k store".
SHELL := bash
.DEFAULT_GOAL := help
BIN := .venv/bin
ARGS ?=
# Ruff and mypy read from pyproject.toml what to look at.
SCRIPTS := .ci/run $(wildcard deploy/*.sh deploy/demo/*.sh)

.PHONY: help run clean-demo test check format proto lock bench venv clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "make %-11s %s\n", $$1, $$2}' Makefile

run: ## set up everything and run the demo; Ctrl-C stops it
	@deploy/run.sh $(ARGS)

clean-demo: ## remove the containers, networks, volumes and images that the demo left
	@deploy/demo/clean.sh

test: venv ## set up everything, check the code, run all tests
	@deploy/tests.sh
	@$(MAKE) --no-print-directory check
	$(BIN)/python -m pytest --numprocesses 2 --dist loadgroup $(ARGS)

check: venv ## format, lint, types, import contracts, shell scripts
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy
	$(BIN)/lint-imports
	@if command -v shellcheck >/dev/null; then echo shellcheck && shellcheck -x $(SCRIPTS); \
		else echo 'shellcheck is not installed: the shell scripts are not checked'; fi

format: venv ## format the code and mend what can be mended
	$(BIN)/ruff format
	$(BIN)/ruff check --fix

proto: venv ## generate the Python code of proto/ anew
	deploy/proto.sh

lock: venv ## choose and lock the newest versions of all dependencies anew
	deploy/lock.sh

bench: venv ## measure against the bare SDK and Swarm
	@deploy/tests.sh
	$(BIN)/python -m tests.bench $(ARGS)

venv: ## only .venv, with the locked versions
	@deploy/setup.sh

clean: ## remove .venv, caches and builds
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis build dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
