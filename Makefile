# make demo | test | coverage | check | bench | torture | serve | clean; PYTHON names the interpreter that makes .venv.

PYTHON ?= python3
VENV = .venv
ifeq ($(OS),Windows_NT)
BIN = $(VENV)/Scripts
else
BIN = $(VENV)/bin
endif

.PHONY: demo test coverage check bench torture serve clean

demo: $(VENV)/.package
	$(BIN)/python examples/demo.py

test: $(VENV)/.installed
	$(BIN)/python -m pytest -n auto

coverage: $(VENV)/.installed
	$(BIN)/python -m pytest -n auto --cov --cov-report=term:skip-covered

check: $(VENV)/.installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

bench: $(VENV)/.installed
	$(BIN)/python -m benchmarks.exchange
	$(BIN)/python benchmarks/post.py

torture: $(VENV)/.installed
	$(BIN)/python -m benchmarks.torture --json torture.json

serve: $(VENV)/.package
	$(BIN)/python server.py

$(VENV)/.package: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --editable .
	touch $@

$(VENV)/.installed: $(VENV)/.package
	$(BIN)/python -m pip install --quiet --editable ".[test,check,gui]"
	touch $@

clean:
	rm -rf $(VENV) build *.egg-info .coverage* .hypothesis .mypy_cache .pytest_cache .ruff_cache
