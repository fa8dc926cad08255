# Two commands do it all: `make demo` and `make test`. Each sets up .venv by itself; the second time that is quick.
PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip --quiet --disable-pip-version-check

.PHONY: demo test lint pictures docs bench gpu sanitize clean

demo: .venv/.demo
	$(BIN)/puredrop demo

test: .venv/.test lint
	$(BIN)/python -m pytest -n 2 --dist worksteal

lint: .venv/.test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# What the README shows.
pictures: .venv/.demo
	$(BIN)/puredrop demo --pictures docs
	$(BIN)/puredrop demo --model lstm --pictures docs

# The catalogue of variants and its pictures, made from the code.
docs: .venv/.demo
	$(BIN)/puredrop variants --markdown > docs/variants.md
	$(BIN)/puredrop variants --pictures docs

bench: .venv/.test
	$(BIN)/puredrop bench scaling --json bench/results/cpu.json --picture docs/bench.png
	$(BIN)/puredrop bench kernels --json bench/results/kernels.json
	$(BIN)/puredrop bench tape --json bench/results/tape.json
	$(BIN)/puredrop bench layers --json bench/results/steps.json
	$(BIN)/puredrop bench predict --json bench/results/predict.json
	$(BIN)/puredrop bench load --json bench/results/load.json

# On a machine with a GPU, under eight minutes. Python's own packages, not .venv: such a machine may reach no index.
gpu:
	$(PYTHON) -m bench.gpu

# The CUDA kernels on the CPU under Address-, UndefinedBehaviour- and ThreadSanitizer, and with deliberate bugs in them.
sanitize: .venv/.test
	$(BIN)/python -m puredrop.backends.cuda.host --sanitizer address
	$(BIN)/python -m puredrop.backends.cuda.host --sanitizer thread
	$(BIN)/python -m puredrop.backends.cuda.host --mutants

clean:
	rm -rf .venv report build dist

.venv/bin/python:
	$(PYTHON) -m venv .venv

.venv/.demo: pyproject.toml | .venv/bin/python
	$(PIP) install -e ".[demo]"
	touch $@

# Without a wheel of PyTorch, JAX or Keras for this machine the comparisons with it are skipped, each by name; so without
# CuPy, whose backend is tested on the CPU (docs/backends.md), are its tests.
.venv/.test: pyproject.toml | .venv/bin/python
	$(PIP) install -e ".[test]"
	$(PIP) install -e ".[torch]" || echo "no wheel of PyTorch 2.13.0 here: its rows will be skipped by name"
	$(PIP) install -e ".[libraries]" || echo "no wheels of JAX, Flax, Equinox or Keras here: their rows will be skipped by name"
	$(PIP) install -e ".[kernels]" || echo "no wheels of CuPy and NVRTC here: their tests will be skipped by name"
	touch $@
