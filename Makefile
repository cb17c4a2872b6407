# Set-up is part of every goal: `make demo` and `make test` are all a fresh machine needs.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/ready
# workers of the tests, one torch thread each
WORKERS ?= 2

.PHONY: demo test test-fast fuzz lint data clean

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt torch==2.13.0
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps azula==0.11.1
	touch $(READY)

demo: $(READY)
	@rm -rf demo && mkdir -p demo
	$(BIN)/reverie train digits --out demo/digits
	$(BIN)/reverie sample demo/digits -n 100 --out demo/samples
	$(BIN)/reverie evaluate demo/digits --extractor pixels --ladder --out demo/figures.json
	@echo
	@echo "The grid is demo/samples/grid.png. More:  $(BIN)/reverie sample demo/digits --label 7"

data: $(READY)
	-$(BIN)/reverie data get fashion_mnist
	-$(BIN)/reverie data get efficientnet_lite0
	-$(BIN)/reverie data get scikit_image
	-$(BIN)/reverie data get emoji
	-$(BIN)/reverie data get minilm

test: lint data
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(WORKERS) --dist worksteal --durations=15

test-fast: $(READY)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(WORKERS) --dist worksteal -m "not slow"

# a minute of damaged files for each format that is read; SECONDS=600 for longer, FORMAT=npz for one
fuzz: $(READY)
	OMP_NUM_THREADS=1 $(BIN)/python tests/fuzz.py $(FORMAT) --seconds $(or $(SECONDS),60)

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

clean:
	rm -rf $(VENV) demo
