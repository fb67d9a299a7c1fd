# Every target is a script in scripts/ that can be run by hand. Variables that they
# read, from the environment or after make: FUZZTIME, FUZZ, TEST_TIMEOUT, STATICCHECK_VERSION,
# BENCH, BENCHTIME, ROUNDS, DURATION, CLIENTS, DOCS, README, TAGS,
# VERSION, NFPM_VERSION, CYCLONEDX_VERSION, CONNECTIONS, GUEST, PING_INTERVAL, TARGETS, MESSAGES, WINDOW, ARGS.

.PHONY: help test lint vet race heavy fuzz soak chaos bench scale instructions microbench build release release-check deploy-check run clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' Makefile

test: ## everything that has to hold: lint, race, heavy, fuzz (installs what it needs)
	@scripts/test

lint: ## gofmt, go vet, staticcheck, modules
	@scripts/format
	@scripts/vet
	@scripts/staticcheck
	@scripts/modules

vet: ## go vet
	@scripts/vet

race: ## tests in random order under the race detector
	@scripts/race

heavy: ## tests that hold many connections, without the race detector
	@scripts/heavy

fuzz: ## every fuzz target, or those that match FUZZ, for FUZZTIME, with coverage where it is given (1s)
	@scripts/fuzz

soak: ## an hour (DURATION) of clients that come and go, and what is left of them
	@scripts/soak

chaos: ## the daemon killed, stopped, without power, disk, database or API port (as root)
	@scripts/chaos

bench: ## the comparison that README shows (about 12 minutes, a quiet machine)
	@scripts/bench

scale: ## memory of 100,000 and 1,000,000 connections (CONNECTIONS) in one process, and a message to all
	@scripts/scale

instructions: ## in user space for each delivery, of each of TARGETS (valgrind)
	@scripts/instructions

microbench: ## Go benchmarks that match BENCH (all)
	@scripts/microbench

build: ## build bin/busbar
	@scripts/build

release: ## dist/: archives, .deb and .rpm for amd64 and arm64, what is in them (SBOM), checksums
	@scripts/release

release-check: ## the packages installed, upgraded and removed under a systemd of their own (as root)
	@scripts/release-check

deploy-check: ## the chart, manifests, alerts and Dockerfile (as root; compiles Helm and Prometheus)
	@scripts/deploy-check

run: build ## build and serve with ARGS
	@bin/busbar $(ARGS)

clean: ## remove what was built
	@rm -rf bin dist
