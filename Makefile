# Each of these works as the first command on a machine with git, make and Python 3.11 or later.
.DELETE_ON_ERROR:
.PHONY: help setup up demo test check protos migrate bench clean
SHELL := /bin/sh
BIN := .venv/bin
PY := $(BIN)/python
READY := .venv/.ready
BENCH_READY := .venv/.ready-bench
GENERATED := gen/.ready
PROTOS := $(shell find protos -name '*.proto')
CODE := services gateway client local examples protos tests benchmarks
TYPED = $(wildcard $(CODE))

help: ## these lines
	@sed -n 's/^\([a-z]*\):.*## /\1\t/p' Makefile

setup: $(GENERATED) ## install and generate; the others do it when it is needed

up: $(GENERATED) ## start everything on this machine, until Ctrl-C; UP_ARGS="--port 8090 --data-dir DIR"
	@exec $(PY) -m local up $(UP_ARGS)

demo: $(GENERATED) ## the same with two years of data in it; DEMO_EXIT=1 stops when it is shown
	@exec $(PY) -m examples.demo

test: $(GENERATED) ## all tests; PYTEST_ARGS="tests/kit -k migrate"
	@exec $(PY) -m pytest $(PYTEST_ARGS)

check: $(GENERATED) ## lint, format, types, imports, protos, migrations
	$(BIN)/ruff check $(TYPED)
	$(BIN)/ruff format --check $(TYPED)
	$(BIN)/mypy $(TYPED)
	$(BIN)/lint-imports
	$(PY) -m protos.check
	$(PY) -m local check

protos: $(GENERATED) ## generate code from the protos
	@$(PY) protos/generate.py
	@$(PY) client/generate.py gen/vitalis.binpb

migrate: $(GENERATED) ## bring every service's database to its latest revision
	@exec $(PY) -m local migrate $(MIGRATE_ARGS)

bench: $(GENERATED) $(BENCH_READY) ## measure, and write benchmarks/README.md
	@exec $(PY) -m benchmarks $(BENCH_ARGS)

clean: ## remove what was installed and generated; data stays
	rm -rf .venv gen client/vitalis_client/contract

$(READY): requirements/dev.txt local/setup.sh
	@sh local/setup.sh requirements/dev.txt
	@touch $@

$(BENCH_READY): requirements/bench.txt $(READY)
	@sh local/setup.sh requirements/bench.txt
	@touch $@

$(GENERATED): $(READY) $(PROTOS) protos/generate.py $(wildcard client/generate.py)
	@$(PY) protos/generate.py
	@$(PY) client/generate.py gen/vitalis.binpb
	@touch $@
