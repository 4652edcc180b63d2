# The commands a person or a machine starts from. Each installs what it needs first (.ci/setup).
# demo, test and lint share the dev profile, in which dependencies are optimised, so that a fresh
# clone builds them once; only `bench` and `build` pay for the release profile.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.PHONY: help demo test stock suites bench eval fuzz lint build

# What the machine has comes before what .ci/setup put under target/.
export PATH := $(PATH):$(or $(CARGO_HOME),$(HOME)/.cargo)/bin:$(CURDIR)/target/venv/bin

PROFILE := $(if $(CI),ci,default)

help: ## this list
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1\t\2/p' Makefile | expand -t 16

# The recipe's job control hands the terminal to the demo, so that Ctrl-C ends the demo and not
# make; a demo that fails has ended the recipe before its last word (-e).
demo: ## a throwaway shop behind Sealgate, and a tour of it [ONCE=1] [PORT=N]
	@.ci/setup demo
	@cargo build --locked
	@set -m; target/debug/sealgate demo $(if $(filter-out 0,$(ONCE)),--once) $(if $(PORT),--port $(PORT)); exit 0

# The claims in the documentation come first, so that the output ends with the summary of all others.
test: ## every test, against real servers that the tests start
	@.ci/setup test
	@cargo test --locked --quiet --doc
	@if cargo nextest --version >/dev/null 2>&1; then \
	    cargo nextest run --locked --profile $(PROFILE); \
	else \
	    cargo test --locked --lib --bins --tests; \
	fi

# A server of each major version that is found (SEALGATE_PG16_BIN=folder, where it is elsewhere) is
# started with the contrib extensions that it has; what the list has of others stays. With
# SEALGATE_STOCK_EARLIER=1 what they have is added, as of an earlier minor version.
stock: ## write the list of PostgreSQL's own harmless objects anew
	@.ci/setup test
	@cargo test --locked --test capability -- --ignored --exact --nocapture stock::write_the_list

# Hours of them, with sources and drivers of the distribution: not a part of `make test`.
suites: ## the drivers' own test suites, directly and through the gate [ARGS="gate classified -s go"]
	@.ci/setup test
	@cargo build --locked
	@tests/drivers/suites fetch
	@tests/drivers/suites run $(ARGS)

bench: ## against a direct connection and PgBouncer in one run [ARGS="--help"]
	@.ci/setup bench
	@cargo build --locked --release
	@benches/pgbench/run $(ARGS)

# The same numbers each time, in some minutes: the watch's quality, beside what others do.
eval: ## the learned detector against a made-up company and attackers: docs/WATCH.md [ARGS="--why"]
	@.ci/setup build
	@cargo bench --locked --bench eval -- $(or $(ARGS),--docs $(CURDIR)/docs)

# What a fuzzer finds it keeps in target/fuzz/artifacts; what it has learnt, in target/fuzz/corpus.
# Without a sanitizer a stable toolchain is enough; the house has no unsafe code of its own.
FUZZ_TARGETS = $(basename $(notdir $(wildcard tests/fuzz/targets/*.rs)))
FUZZ = cargo fuzz run --fuzz-dir tests/fuzz --target-dir target/fuzz --sanitizer none
fuzz: export PATH := $(PATH):$(CURDIR)/target/fuzz/bin
fuzz: ## every fuzz target in its turn [TARGETS="session tls"] [SECONDS_EACH=60]
	@.ci/setup build
	@cargo fuzz --version >/dev/null 2>&1 || cargo install --locked --root target/fuzz cargo-fuzz@0.13.2
	@for target in $(or $(TARGETS),$(FUZZ_TARGETS)); do \
	    mkdir -p target/fuzz/{corpus,artifacts}/$$target; \
	    $(FUZZ) $$target target/fuzz/corpus/$$target -- -max_total_time=$(or $(SECONDS_EACH),60) \
	        -max_len=4096 -len_control=0 -timeout=20 -artifact_prefix=target/fuzz/artifacts/$$target/ \
	        $$(test ! -e tests/fuzz/$$target.dict || echo -dict=tests/fuzz/$$target.dict); \
	done

# The advisory database is not reachable everywhere; the rest of the policy needs no network.
lint: ## format, clippy, licences and advisories
	@.ci/setup lint
	cargo fmt --all --check
	cargo clippy --locked --all-targets -- -D warnings
	cargo clippy --locked --lib --features fuzzing -- -D warnings
	cargo fmt --check --manifest-path tests/fuzz/Cargo.toml
	cargo deny --locked --log-level error check licenses bans sources
	@.ci/advisories

# What a debugger needs stands beside the program, which names it. Cargo keeps the whole of it, and puts it
# back at its next build.
build: ## the release binary, target/release/sealgate, and its symbols
	@.ci/setup build
	@cargo build --locked --release
	@cd target/release; objcopy --only-keep-debug --compress-debug-sections=zlib sealgate sealgate.debug; \
	    objcopy --strip-all --add-gnu-debuglink=sealgate.debug sealgate sealgate.stripped; \
	    mv sealgate.stripped sealgate
