# Every target sets itself up: Python >= 3.11 and make are all a machine needs.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: demo test check faults-table bench bench-check lock clean

demo: $(READY)
	$(BIN)/vochi-integrations demo

# Those that measure have the machine for themselves; the others begin with the folders whose tests take longest.
test: $(READY)
	$(BIN)/python -m pytest -m "not alone" --numprocesses 3 --dist loadfile --no-loadscope-reorder
	$(BIN)/python -m pytest -m alone

check: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

faults-table: $(READY)
	rm -f docs/faults.md
	$(BIN)/python -m pytest tests/faults --fault-table docs/faults.md

bench: $(READY)
	$(BIN)/python -m bench --write

bench-check: $(READY)
	$(BIN)/python -m bench --check

$(READY): setup.py constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --no-compile --constraint constraints.txt --editable '.[dev]'
	touch $@

lock:
	$(BIN)/pip-compile --quiet --strip-extras --all-extras --no-emit-index-url --no-emit-find-links --no-emit-trusted-host --output-file constraints.txt setup.py

clean:
	rm -rf $(VENV) build *.egg-info .mypy_cache .pytest_cache .ruff_cache
