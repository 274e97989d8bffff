# Every target does its own set-up: a virtual environment in the clone, from the exact lock.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: help setup demo demo-train demo-seeds doctor verify test test-slurm lint docs numerics bench bench-gpu faults faults-quick faults-large fuzz validate lock reference
.DEFAULT_GOAL := help

help:
	@echo "make demo    from the clone to results/demo/report.html (classical methods, one minute)"
	@echo "make demo-train   the same with a network that is trained on phantoms (some minutes)"
	@echo "make test    all tests, including those on a SLURM cluster if one can be started"
	@echo "make test-slurm   only the tests on a SLURM cluster, which they start (root)"
	@echo "make lint    style and workflow checks"
	@echo "make docs    the documentation, as build/docs/index.html"
	@echo "make numerics   list modules that changed without a new version of their stage or a reason"
	@echo "make demo-seeds   demo-train with three seeds, and how far the network leads in each"
	@echo "make doctor  on a login node: suggest a SLURM profile for the cluster"
	@echo "make verify  read all results and list what is missing or damaged (RESULTS=folder)"
	@echo "make bench   speed and memory, ratios to public peers: make bench BENCH=quick (15 minutes)"
	@echo "make bench-gpu   speed on a GPU node, compared with the CPU's results (10 minutes)"
	@echo "make faults  kills, full disks, damaged files and changed inputs at every stage (hours)"
	@echo "make faults-quick   a sample of these tests (less than 10 minutes)"
	@echo "make faults-large   2 Gvoxel through RLN, killed three times, compared byte for byte (an hour)"
	@echo "make fuzz    mutated inputs, configs and intermediate files (FUZZ=\"--seconds 1800\")"
	@echo "make validate  test the estimates of camera, iterations, PSF and method on simulated data (VALIDATE=camera, VALIDATE=\"universal --help\")"
	@echo "make setup   only the environment (LOCK=gpu: for GPU nodes)"
	@echo "make lock    renew the lock files (needs uv)"
	@echo "make reference   renew config/README.md, the reference of the config"

# Stamps hold the lock's hash in their name, so that a changed lock is installed.
HASH = $(firstword $(shell cksum < envs/$(1).lock.txt))
# cpu, or gpu for GPU nodes. An existing environment keeps its type.
LOCK ?= $(if $(wildcard $(VENV)/.gpu-*),gpu,cpu)
RUN_STAMP := $(VENV)/.$(LOCK)-$(call HASH,$(LOCK))
DEV_STAMP := $(VENV)/.dev-$(call HASH,dev)
BENCH_STAMP := $(VENV)/.bench-$(call HASH,bench)
DOCS_STAMP := $(VENV)/.docs-$(call HASH,docs)

define install
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) || \
	  { echo "python3 -m venv failed; on Debian: apt install python3-venv"; exit 1; }
	@echo "installing envs/$(1).lock.txt into $(VENV) …"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -r envs/$(1).lock.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --editable .
	@touch $@
endef

# The development lock holds everything of the run-time one.
$(DEV_STAMP):
	$(call install,dev)
	@touch $(RUN_STAMP)

# The public peers come on top of the development lock, and so does Sphinx.
$(BENCH_STAMP):
	$(call install,bench)
	@touch $(DEV_STAMP) $(RUN_STAMP)

$(DOCS_STAMP):
	$(call install,docs)
	@touch $(DEV_STAMP) $(RUN_STAMP)

$(RUN_STAMP):
	$(call install,$(LOCK))

setup: $(RUN_STAMP)

demo: setup
	$(BIN)/snakemake --profile profiles/demo
	@echo "The report: results/demo/report.html"

TRAIN := --profile profiles/demo --configfile config/demo_train.yaml

demo-train: setup
	$(BIN)/snakemake $(TRAIN)
	@echo "The report: results/demo_train/report.html"

# The same with three seeds, with other phantoms and another training each.
demo-seeds: setup
	for seed in 1 2 3; do \
	  $(BIN)/snakemake $(TRAIN) --directory seeds/$$seed --config seed=$$seed || exit 1; done
	$(BIN)/python scripts/compare_seeds.py seeds/*/results/demo_train/tables/metrics.csv

# DOCTOR="--write mine" writes profiles/mine/config.yaml, DOCTOR=--try runs tiny jobs, too.
doctor: setup
	PYTHONPATH=scripts $(BIN)/python -m decon3d doctor $(DOCTOR)

RESULTS ?= results
verify: setup
	$(BIN)/python scripts/verify.py $(RESULTS)

test: $(DEV_STAMP)
	$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder $(PYTEST)
	@if command -v sbatch >/dev/null && [ "$$(id -u)" = 0 ]; then $(MAKE) test-slurm; else \
	  echo "Left out: the tests on a SLURM cluster (make test-slurm), which need root and sbatch."; fi

# Starts a SLURM cluster from Debian's packages (slurmctld, slurmd, slurm-client, munge) as root, and
# ends it. If something is missing, it says so.
test-slurm: $(DEV_STAMP)
	$(BIN)/python -m pytest tests/slurm

lint: $(DEV_STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	@! git grep -n 'fmt: [s]kip' -- '*.py' || { echo "Let ruff format these lines."; exit 1; }
	$(BIN)/snakefmt --check Snakefile workflow
	$(BIN)/snakemake --lint
	$(BIN)/mypy scripts/decon3d
	@# No test runs these commands: here, names and arguments are checked.
	for folder in bench validation; do \
	  MYPYPATH=tests:tests/bench $(BIN)/mypy --explicit-package-bases --check-untyped-defs \
	    --allow-untyped-defs --follow-imports silent \
	    --disable-error-code arg-type --disable-error-code misc --disable-error-code index \
	    --disable-error-code list-item --disable-error-code operator tests/$$folder || exit 1; done
	PYTHONPATH=scripts $(BIN)/lint-imports --no-cache
	$(BIN)/python tests/numerics/run.py

# Every warning is an error: links, references and the notebook are checked. Needs no network.
docs: $(DOCS_STAMP)
	$(BIN)/sphinx-build -W --keep-going -n -q -d build/doctrees docs build/docs
	@! grep -rE '(src|href)="https?://[^"]+\.(js|css|woff2?)"' build/docs --include='*.html' || \
	  { echo "These pages load files from the network."; exit 1; }
	@echo "The documentation: build/docs/index.html"

# NUMERICS=--record after a stage's version was raised; NUMERICS='--same "why results stay"'.
numerics: $(DEV_STAMP)
	$(BIN)/python tests/numerics/run.py $(NUMERICS)

# BENCH=optics for one area; BENCH=quick for a table in 15 minutes on two idle cores. Ratios that are
# more than 10 % worse than in tests/bench/recorded.yaml are named; BENCH="quick --record" renews it.
bench: $(BENCH_STAMP)
	$(BIN)/python tests/bench/run.py $(BENCH)

# On a GPU node, set up with LOCK=gpu. BENCH=--stand-in tests the script on the CPU.
bench-gpu: $(RUN_STAMP)
	$(BIN)/python tests/bench/gpu.py $(BENCH)

# After a stop it resumes; build/faults contains what is finished. FAULTS="--only 'chain . ingest'
# --seeds 1" for some of the cells, FAULTS=--redo for those that ended badly.
faults: $(DEV_STAMP)
	$(BIN)/python tests/faults/run.py $(FAULTS)

faults-quick: $(DEV_STAMP)
	$(BIN)/python tests/faults/run.py --quick $(FAULTS)

# FAULTS="--gvoxel 0.05 --engine tensorflow" for a smaller one; with --folder FOLDER, it resumes.
faults-large: $(DEV_STAMP)
	$(BIN)/python tests/faults/large_volume.py $(FAULTS)

# FUZZ="--seed 7 --seconds 1800"; one minute otherwise.
fuzz: $(DEV_STAMP)
	$(BIN)/python tests/fuzz/run.py $(FUZZ)

# VALIDATE="camera psf_fit" for some of them, VALIDATE=--quick for a few minutes of each,
# VALIDATE="universal --help" for the options of one.
validate: $(DEV_STAMP)
	$(BIN)/python tests/validation/run.py $(VALIDATE)

lock:
	$(PYTHON) envs/lock.py

reference: $(DEV_STAMP)
	PYTHONPATH=scripts $(BIN)/python -m decon3d.config_reference
