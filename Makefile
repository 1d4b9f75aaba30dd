# Two commands do everything: `make demo` and `make test`. Each sets up what it needs.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
PLANE_READY := $(VENV)/.ready-for-a-control-plane
FREEZER := build/dist-venv/.ready
# Fast tests wait now and then, cluster tests most of the time: more run side by side than there are
# cores. Those that break what they share have a control plane for each worker.
WORKERS ?= 3
CLUSTER_WORKERS ?= 4
PLANES ?= 3
ROUNDS ?= 20

BREAKS := $(wildcard tests/cluster/test_doctor*.py)
NOT_BREAKS := --ignore-glob='*/cluster/test_doctor*.py'

# What needs no control plane.
FAST := not cluster and not krew and not real_node and not real

# Where this is set, each of the plugin's thousands of starts would compile it from its source.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help setup demo test test-fast lint types format cluster-up cluster-down cluster-status \
	constraints clean docs site pictures audit secrets release-check dist krew-test test-doctor \
	test-real test-real-nightly test-real-node test-crds fuzz

help: ## Show the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sort | sed -E 's/:.*## /\t/' | expand -t 18

setup: $(READY) ## Make the virtual environment
$(READY): $(PLANE_READY)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check \
		-c constraints.txt -e '.[dev]'
	@touch $@

# A quarter of what development needs, in a quarter of the time; Python compiles what is imported.
$(PLANE_READY): setup.cfg pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile \
		-c constraints.txt -e '.[control-plane]'
	@touch $@

demo: $(PLANE_READY) ## The main job, on a control plane of its own: bucket → proven cache
	$(BIN)/python -m tests.cluster.demo

# What fails is tried once more, one after the other and on a new control plane: many of these tests watch
# processes at work, and a machine may stall for minutes. A test that passes only then stands in the
# output as FAILED all the same, and wants mending.
AGAIN := -n 0 --last-failed --last-failed-no-failures none

define fast-tests
	$(BIN)/python -m pytest -q -n $(WORKERS) -m "$(FAST)" tests || { \
		echo "once more, what failed:"; \
		$(BIN)/python -m pytest -q -m "$(FAST)" tests $(AGAIN); }
endef

# $(1) is the control plane's name, $(2) what pytest runs, $(3) what the control plane has besides.
define cluster-tests
	$(BIN)/python -m tests.cluster run --name $(1) $(3) -- $(BIN)/python -m pytest -q $(2) || { \
		echo "once more, what failed:"; \
		$(BIN)/python -m tests.cluster run --name $(1) $(3) -- $(BIN)/python -m pytest -q $(2) $(AGAIN); }
endef

# $(1) is how many control planes there are, $(2) what pytest runs: file by file, in order.
define planes-tests
	export FLUIDMODEL_CLUSTER_PER_WORKER=1; $(BIN)/python -m pytest -q -n $(1) --dist loadfile \
		--no-loadscope-reorder $(2) || { \
		echo "once more, what failed:"; $(BIN)/python -m pytest -q $(2) $(AGAIN); }
endef

test: setup ## All tests; the first run builds the control plane's binaries (5 to 10 minutes on 2 cores)
	$(BIN)/python -m tests.cluster up --build-only
	$(call fast-tests)
	$(call cluster-tests,tests,-n $(CLUSTER_WORKERS) -m "cluster and not alone" $(NOT_BREAKS) tests)
	$(call planes-tests,$(PLANES),-m "cluster and not alone" $(BREAKS))
	$(call planes-tests,2,-m "cluster and alone and not real_crds" tests)

test-crds: setup ## The harness's CRDs of Dynamo against copies of the real ones, in FLUIDMODEL_CRDS
	@test -n "$$FLUIDMODEL_CRDS" || { \
		echo "error: FLUIDMODEL_CRDS does not say where copies of the real CRDs are" >&2; exit 1; }
	$(BIN)/python -m tests.cluster run --name crds -- $(BIN)/python -m pytest -q \
		-m real_crds tests/cluster

fuzz: setup ## The tests that draw examples, ROUNDS times (20), each time with new ones
	@for round in $$(seq $(ROUNDS)); do \
		echo "round $$round of $(ROUNDS)"; \
		$(BIN)/python -m pytest -q -n $(WORKERS) --hypothesis-profile=fuzz \
			-m "hypothesis and not cluster" tests || exit 1; done

test-doctor: setup ## Only the tests that break the checks of doctor for real
	$(BIN)/python -m tests.cluster up --build-only
	$(call planes-tests,$(PLANES),-m cluster $(BREAKS))

test-real-node: setup ## The staging Job in real containers (Linux, root); fails where there can be none
	$(BIN)/python -m tests.cluster up --build-only --real-node
	$(call cluster-tests,real,-m "real_node and not alone" tests/cluster,--real-node)
	$(BIN)/python -m pytest -q -m "real_node and alone" tests/cluster

test-real: setup ## The plugin on a real data plane: Alluxio, FUSE and CSI (Linux, root, FUSE, Maven, JDK 17)
	$(call cluster-tests,plane,-m "real and not alone and not nightly" tests/cluster,--real-nodes 2)
	$(BIN)/python -m pytest -q -m "real and alone" tests/cluster

test-real-nightly: setup ## The longest of those: update, --replicas and --high-concurrency
	$(call cluster-tests,plane,-m "real and nightly" tests/cluster,--real-nodes 2)

test-fast: setup ## The tests that need no control plane
	$(call fast-tests)

lint: setup ## ruff (lint and format), and the layers of ARCHITECTURE.md
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports

types: setup ## mypy --strict
	$(BIN)/mypy

format: setup ## Let ruff mend what it can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

cluster-up: setup ## A control plane to play with: Kubernetes, Fluid, kwok nodes, S3
	$(BIN)/python -m tests.cluster up $(ARGS)

cluster-down: setup ## End it
	$(BIN)/python -m tests.cluster down $(ARGS)

cluster-status: setup ## What runs, and how to use it
	$(BIN)/python -m tests.cluster status $(ARGS)

constraints: ## Resolve constraints.txt anew, for every Python that setup.cfg allows
	rm -rf build/constraints && $(PYTHON) -m venv build/constraints
	build/constraints/bin/pip install --quiet uv
	build/constraints/bin/uv pip compile setup.cfg --all-extras --universal --python-version 3.10 \
		--no-header --no-annotate --quiet --output-file constraints.txt

dist: $(FREEZER) ## The plugin frozen: dist/kubectl-fluidmodel_vX.Y.Z_OS_ARCH.tar.gz, its manifest for krew in build/
	build/dist-venv/bin/python -m krew.freeze
	build/dist-venv/bin/python -m krew.manifest render --available --to build/fluidmodel.yaml

krew-test: setup dist ## The archive installed by the real krew, and used on a control plane
	$(BIN)/python -m tests.cluster run --name krew -- $(BIN)/python -m pytest -q -m krew tests/krew

# Of its own, so that nothing of the development tools gets into the bundle.
$(FREEZER): setup.cfg pyproject.toml constraints.txt
	$(PYTHON) -m venv build/dist-venv
	build/dist-venv/bin/python -m pip install --quiet --disable-pip-version-check \
		-c constraints.txt -e '.[dist]'
	@touch $@

docs: setup ## Write docs/reference/ from the code
	$(BIN)/python -m docs.tools.reference

site: setup ## The documentation as a static site, in build/site
	$(BIN)/python -m pip install --quiet --disable-pip-version-check \
		-c constraints.txt -e '.[docs]'
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet --strict

pictures: setup ## Terminal pictures of the docs, from real runs on a control plane of their own
	$(BIN)/python -m docs.tools.pictures $(ARGS)

secrets: setup ## Look for credentials in files and commits
	$(BIN)/python .ci/secrets.py

audit: secrets ## And for known vulnerabilities in what is pinned; asks PyPI
	$(BIN)/python -m pip install --quiet --disable-pip-version-check \
		-c constraints.txt -e '.[audit]'
	$(BIN)/python .ci/audit.py $(ARGS)

release-check: setup ## Is this commit fit to be released? TAG=v0.2.0 before tagging
	$(BIN)/python .ci/release_check.py $(TAG)

clean: ## Remove what make made here; built binaries stay in the cache
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis
