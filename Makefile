# `make demo` and `make test` set themselves up: the first run fills .venv, later ones reuse it.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed

.PHONY: demo docs test test-plain test-compiled test-slow test-faults test-ray faults coverage-compiled lint bench bench-agents gpu gallery clients environments clean wheel-check
demo: $(STAMP)
	$(BIN)/inscape demo

# Two halves side by side, a process each: what is imported and compiled is so once. The second prints when it ends.
test: $(STAMP)
	$(MAKE) --no-print-directory -k -j 2 test-plain test-compiled

# tests of logic run kernels as plain Python: most of such a test would be compiling
test-plain: $(STAMP)
	INSCAPE_KERNELS=plain $(BIN)/python -m pytest -m "not slow and not gpu and not compiled"

test-compiled: $(STAMP)
	@log=$$(mktemp) && trap "rm -f $$log" EXIT; \
		$(BIN)/python -m pytest -m "compiled and not slow and not gpu" > $$log 2>&1; status=$$?; cat $$log; exit $$status

test-slow: $(STAMP)
	$(BIN)/python -m pytest -n 2 -m "slow"

# 300 environments that go wrong late, with agents of every kind: docs/third_party.md
test-faults: $(STAMP)
	INSCAPE_KERNELS=plain $(BIN)/python -m pytest -n 2 -m "slow or not slow" tests/envs/tasks/test_late_faults.py

# experiments on a Ray cluster of two nodes on this machine, one of them killed: docs/experiments.md
test-ray: $(VENV)/.ray
	INSCAPE_KERNELS=plain $(BIN)/python -m pytest -m "slow or not slow" tests/experiments/trials/test_ray.py

$(VENV)/.ray: $(STAMP)
	$(BIN)/python -m pip install -q -c constraints.txt -e '.[ray]'
	$(BIN)/python -m pip check
	touch $@

# what docs/reliability.md counts, in full; the page is written from what was found
faults: $(STAMP)
	$(BIN)/python -m tests.faults; status=$$?; $(BIN)/python -m tests.faults --page; exit $$status

# which kernels the tests of `make test` compile; a cache folder of its own, since what is loaded is not compiled
coverage-compiled: $(STAMP)
	folder=$$(mktemp -d) && trap "rm -rf $$folder" EXIT && INSCAPE_CACHE=$$folder \
		$(BIN)/python -m pytest -p tests.compiled_coverage -m "compiled and not slow and not gpu"

lint: $(STAMP)
	$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy && $(BIN)/lint-imports --no-cache
	INSCAPE_KERNELS=plain $(BIN)/python -m pytest -m "slow or not slow" -k mypy tests/test_user_types.py

# benchmarks/README.md; peers on JAX have an environment of their own
JAX    := $(VENV)/jax
bench: $(VENV)/.bench $(JAX)/.installed
	$(BIN)/python benchmarks/env_speed.py --jax-python $(JAX)/bin/python --seconds 0.3
	$(BIN)/python benchmarks/grid_view_speed.py --navix $(JAX)/bin/python --seconds 1
	$(BIN)/python benchmarks/spread_speed.py --jaxmarl $(JAX)/bin/python --seconds 1
	$(BIN)/python benchmarks/connect_four_speed.py --seconds 1
	$(BIN)/python benchmarks/video_speed.py CartPole --repeats 2
	$(BIN)/python benchmarks/world_speed.py --seconds 0.2 --repeats 3

bench-agents: $(STAMP) $(JAX)/.installed
	$(BIN)/python benchmarks/agent_speed.py --jax-python $(JAX)/bin/python

$(VENV)/.bench: $(STAMP)
	$(BIN)/python -m pip install -q -c constraints.txt -e '.[bench]'
	$(BIN)/python -m pip check
	touch $@

$(JAX)/.installed: benchmarks/peers/requirements.txt
	$(PYTHON) -m venv $(JAX)
	$(JAX)/bin/python -m pip install -q -r $<
	$(JAX)/bin/python -m pip check
	touch $@

# docs/cuda.md: what needs a GPU, in 8 minutes and without a network; WHEELS=DIR installs from a folder of wheels first
GPU_PYTHON ?= $(if $(wildcard $(BIN)/python),$(BIN)/python,$(PYTHON))
gpu:
	$(if $(WHEELS),$(GPU_PYTHON) -m pip install -q --no-index --find-links $(WHEELS) -r requirements-gpu.txt)
	$(GPU_PYTHON) -m benchmarks.gpu --out build/gpu.txt

# docs/worlds.md and its pictures, from the catalogue
gallery: $(STAMP)
	$(BIN)/inscape list worlds --gallery docs/worlds.md

# the documentation's site, to read without a network: build/docs/html/index.html
docs: $(VENV)/.docs
	$(BIN)/python docs/site/build_site.py

$(VENV)/.docs: $(STAMP)
	$(BIN)/python -m pip install -q -c constraints.txt -e '.[docs]'
	$(BIN)/python -m pip check
	touch $@

# docs/clients.md: other people's libraries on our worlds, each in an environment of its own below build/clients
clients: $(STAMP)
	$(BIN)/python benchmarks/clients.py

# docs/environments.md: other people's environments, through the command line
environments: $(VENV)/.environments
	$(BIN)/python benchmarks/environments.py

$(VENV)/.environments: $(STAMP)
	$(BIN)/python -m pip install -q -c constraints.txt -e '.[environments]'
	$(BIN)/python -m pip check
	touch $@

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Inscape needs Python 3.11 or newer; found " + sys.version.split()[0] + ". Try: make PYTHON=python3.11")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@# torch first and pinned, so that no other package pulls a different build of it
	$(BIN)/python -m pip install -q -c constraints.txt torch
	$(BIN)/python -m pip install -q -c constraints.txt -e '.[dev,llm]' --config-settings editable_mode=compat
	$(BIN)/python -m pip check
	touch $(STAMP)

clean:
	rm -rf build *.egg-info .pytest_cache .mypy_cache .ruff_cache

# a wheel, installed alone in a fresh environment, runs the main job
wheel-check: $(STAMP)
	rm -rf build/wheel build/fresh && mkdir -p build/wheel/run
	$(BIN)/python -m pip wheel -q --no-deps -w build/wheel .
	$(PYTHON) -m venv build/fresh
	build/fresh/bin/python -m pip install -q -c constraints.txt torch
	build/fresh/bin/python -m pip install -q -c constraints.txt "$$(ls build/wheel/*.whl)[llm]"
	cd build/wheel/run && ../../fresh/bin/inscape demo
