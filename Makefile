# `make demo` and `make test` set everything up by themselves: python3 -m venv, pip, constraints.txt.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.setup-done

.PHONY: demo test test-all check bench bench-peers docs clean

$(STAMP): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	touch $@

demo: $(STAMP)  ## the main job on the bundled sample
	$(BIN)/jacorpus demo

check: $(STAMP)  ## style, types, import directions
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

test: check  ## everything that must hold, in minutes
	$(BIN)/pytest -q -n 2 -m "not slow and not ray" tests

test-all: check  ## the slow rest too: Ray cluster, kills at random, large inputs
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev,ray,llama]'
	HYPOTHESIS_PROFILE=new $(BIN)/pytest -q tests

bench: $(STAMP)  ## ours beside each rival; saves benchmarks/results/*.json
	$(BIN)/python -m benchmarks.run

bench-peers:  ## the rivals, in an environment of their own
	test -x .venv-peers/bin/python || $(PYTHON) -m venv .venv-peers
	.venv-peers/bin/python -m pip install --quiet --disable-pip-version-check -r benchmarks/peers.txt

docs: $(STAMP)  ## regenerate the pages made from code
	$(BIN)/python docs/generate.py

clean:
	rm -rf out build *.egg-info
