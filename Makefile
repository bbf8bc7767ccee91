# Every target sets up what it needs: a virtual environment in .venv, from the pinned versions.
.DEFAULT_GOAL := help
.PHONY: help install proto contract docs lock check test test-fast arrangements run bench bench-before bench-large torture clean

PYTHON ?= python3
BIN := .venv/bin
GRPC_ADDRESS ?= 127.0.0.1:50051
# One command serves both on Linux only; elsewhere `device-assignment gateway` serves REST beside it.
REST_ADDRESS ?= $(if $(filter Linux,$(shell uname)),127.0.0.1:8080)
PROTOS := $(wildcard protos/deviceassignment/v1/*.proto)
REFLECTION := protos/grpc/reflection/v1/reflection.proto

help: ## Show this list.
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.venv/installed: requirements-dev.lock requirements-build.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Python 3.11 or newer is needed; $(PYTHON) is $$($(PYTHON) -V). Name another: make PYTHON=python3.12" >&2; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv || \
	  { echo "could not make a virtual environment; on Debian, install python3-venv" >&2; exit 1; }
	@echo "installing into .venv (a minute the first time)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes \
	  -r requirements-build.lock -r requirements-dev.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-index --no-build-isolation --no-deps --editable .
	@touch $@

install: .venv/installed ## Make .venv with everything in it, .venv/bin/device-assignment included.

proto: install ## Make generated/ from protos/: Python modules, descriptors, the OpenAPI document and the page of /docs.
	@rm -rf generated && mkdir -p generated/deviceassignment/v1
	@$(BIN)/python -m grpc_tools.protoc -Iprotos --plugin=protoc-gen-mypy=$(BIN)/protoc-gen-mypy \
	  --plugin=protoc-gen-mypy_grpc=$(BIN)/protoc-gen-mypy_grpc \
	  --python_out=generated --grpc_python_out=generated --mypy_out=quiet:generated --mypy_grpc_out=quiet:generated $(PROTOS)
	@$(BIN)/python -m grpc_tools.protoc -Iprotos --include_imports --include_source_info \
	  --descriptor_set_out=generated/deviceassignment/v1/descriptors.binpb $(PROTOS) $(REFLECTION)
	@$(BIN)/python -m tools.openapi generated/deviceassignment/v1

contract: install ## Renew protos/contract.yaml, with which `make check` compares the protos before the first release.
	@$(BIN)/python -m tests.contract --renew

docs: install ## Make the tables and the picture in docs/ from settings, results and tools/.
	@$(BIN)/python -m tools.docs

# No lock names an address: where packages come from is the concern of the machine that installs them.
PIN := uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-annotate --no-header \
  --no-emit-index-url --no-emit-find-links --upgrade
BUILD_REQUIREMENTS := import tomllib; print(*tomllib.load(open("pyproject.toml", "rb"))["build-system"]["requires"], sep="\n")

lock: ## Pin the newest versions that pyproject.toml allows. Needs uv.
	@$(PIN) -o requirements.lock pyproject.toml
	@$(PIN) --extra dev -c requirements.lock -o requirements-dev.lock pyproject.toml
	@$(PIN) --extra tracing -c requirements-dev.lock -o requirements-tracing.lock pyproject.toml
	@$(PYTHON) -c '$(BUILD_REQUIREMENTS)' | $(PIN) -c requirements-dev.lock -o requirements-build.lock -

check: install ## Check format, lint, types, walls, protos, generated code and documents, migrations and known vulnerabilities.
	@$(BIN)/ruff format --check --quiet . || { echo "run: .venv/bin/ruff format ." >&2; exit 1; }
	@$(BIN)/ruff check --quiet .
	@$(BIN)/mypy --no-error-summary
	@$(BIN)/lint-imports --no-cache --no-logo >.walls 2>&1 || { cat .walls >&2; exit 1; }; rm -f .walls
	@$(BIN)/buf lint
	@$(BIN)/buf format --diff --exit-code
	@$(BIN)/python -m tests.contract
	@$(BIN)/python -m tests.fresh
	@$(BIN)/python -m tests.audit
	@echo "check: all is well"

# Each process of the tests compiles them all, for five seconds, unless Python keeps what it has compiled.
PYTEST := PYTHONDONTWRITEBYTECODE= $(BIN)/pytest

test: install ## Run every test, on SQLite and on a real PostgreSQL.
	@$(PYTEST) -n 2 --dist loadfile

# More processes than two cores: many tests wait for a time to pass.
test-fast: install ## Run what needs no other process, on SQLite alone (a minute).
	@$(PYTEST) -n 5 --dist worksteal --hypothesis-profile fast -m "not process and not postgresql"

arrangements: install ## Run the service among poolers, replicas, balancers and other versions of PostgreSQL.
	@$(PYTEST) tests/arrangements tests/storage/conformance -rs

run: install ## Serve an example, gRPC on 127.0.0.1:50051 and REST on 127.0.0.1:8080, and print calls to paste.
	@$(BIN)/device-assignment serve --example --grpc-address $(GRPC_ADDRESS) $(if $(REST_ADDRESS),--rest-address $(REST_ADDRESS))

bench: install ## Measure the service beside its limits (ten minutes). Needs Go.
	@$(BIN)/python -m benchmarks
	@$(BIN)/python -m benchmarks.gateway
	@$(BIN)/python -m tools.docs

bench-before: install ## Measure an earlier commit's server and this one in turns: make bench-before BEFORE=COMMIT.
	@test -n "$(BEFORE)" || { echo "name the commit: make bench-before BEFORE=COMMIT" >&2; exit 1; }
	@folder=$$(mktemp -d) && trap 'git worktree remove --force "$$folder/before"; rmdir "$$folder"' EXIT && \
	  git worktree add --quiet --detach "$$folder/before" "$(BEFORE)" && \
	  $(BIN)/python -m benchmarks.before "$$folder/before" $(if $(ROUNDS),--rounds $(ROUNDS))

bench-large: install ## Measure growth, a million devices and a million calls (half an hour or more, 20 GB of disk).
	@$(BIN)/python -m benchmarks.growth
	@$(BIN)/python -m benchmarks.memory

torture: install ## Inject 100 faults into 100,000 calls and check every answer; puts the figures into docs/torture.md.
	@$(BIN)/python -m tests.torture --report docs/torture.md $(TORTURE)

clean: ## Remove what make installed and built; the example's database stays.
	@rm -rf .venv .mypy_cache .ruff_cache .hypothesis build dist
