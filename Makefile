# Two commands matter: `make run` starts a private Greengrass with a device and a component on it,
# `make test` passes every test that CI runs.

SHELL := /bin/bash
ARGS ?=

.PHONY: help run build edge test check fuzz bench clean

help: ## what can be made
	@grep -E '^[a-z]+:.*##' Makefile | sed -E 's/^([a-z]+):.*## /  make \1\t/' | expand -t 16

run: ## build quickly, then start cloud, device and hello-world component (Ctrl-C stops all)
	cargo build --profile quick --locked -p sward
	@exec target/quick/sward up $(ARGS)

build: ## build the all-in-one binary into target/release/sward
	cargo build --release --locked -p sward

edge: ## build the edge daemon alone, small, into target/edge/sward-core
	cargo build --profile edge --locked -p sward-core

test: ## everything CI runs: formatting, lints, unit, property, in-process and end-to-end tests
	tests/run

check: ## the quick part of the tests: formatting, lints, the arrows of the house
	tests/run check

fuzz: ## a million mutated inputs per decoder and the lines they reach; prints JSON
	SWARD_FUZZ_ITERATIONS=$${SWARD_FUZZ_ITERATIONS:-1000000} tests/coverage/decoders.sh

bench: ## measure against the budgets of the design; prints JSON
	bench/run

clean: ## remove what was built and the state of `make run`
	cargo clean
	rm -rf .sward
