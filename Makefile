# `make` prints the goals. Each goal does its own set-up: packages by name (tests/lab/packages), private engines
# (tests/lab/with-engine); no image is pulled.

SHELL = /bin/bash
LAB = tests/lab
DENY_VERSION = 0.20.2
DENY = target/tools/cargo-deny-$(DENY_VERSION)/bin/cargo-deny
SCRIPTS = $(wildcard $(LAB)/* installer/static/*) .ci/run fuzz/run
RUST_FILES = $(shell find src extcap installer tests benches fuzz/src fuzz/targets -name '*.rs' 2>/dev/null)
MAX_LINES = 400
AS_ROOT = $(if $(filter 0,$(shell id -u)),,sudo )
# The scripts expect programs in target/.
unexport CARGO_TARGET_DIR CARGO_BUILD_TARGET
# The first line of a recipe: links programs with a static libpcap (build.rs) if it can be built, else with the shared one.
with_libpcap = CONTAINERDUMP_LIBPCAP=$$($(LAB)/packages static >&2 && installer/static/libpcap target/static/libpcap) || \
	echo 'make: continuing with the shared libpcap; the reason is above'; export CONTAINERDUMP_LIBPCAP

.PHONY: help build static demo test many check bench bench-report bench-check miri fuzz advisories install uninstall lab lab-down clean

help:
	@echo 'make demo       creates containers and captures them with tshark'
	@echo 'make test       runs all tests, with private engines and Wireshark'
	@echo 'make check      checks format, lints, dependencies, documentation and scripts'
	@echo 'make build      builds the program, in target/release'
	@echo 'make static     builds the program without shared libraries, in target/static'
	@echo 'make install    installs it for Wireshark (make uninstall removes it)'
	@echo 'make many       captures 200 containers: memory, start time, idle cost'
	@echo 'make bench      runs benchmarks against tcpdump, dumpcap, sshdump and curl (PART="capture cost": only a part)'
	@echo 'make advisories compares the dependencies with known vulnerabilities (RustSec), over the network'
	@echo 'make miri       runs the tests of the ring and its packets under Miri'
	@echo 'make fuzz       runs the fuzz targets, each for SECONDS (TARGETS="savefile": only these)'
	@echo 'make lab        starts an engine with containers for manual work (make lab-down stops it)'
	@echo 'make clean      removes target/'

build:
	@$(LAB)/packages build
	@$(with_libpcap); set -x; cargo build --release --locked

static:
	@$(LAB)/packages static
	@installer/static/program
	@echo 'target/static/containerdump is static; distribute it with the licences beside it'

demo: build
	@$(LAB)/packages demo
	@$(LAB)/demo

# Compiled before the engine starts: its sandbox has no network to fetch crates from.
test:
	@$(LAB)/packages test
	@installer/static/program dev || echo 'test: no static program: its tests are skipped'
	@$(with_libpcap); set -ex; \
		{ $(LAB)/wireshark-newest make || echo 'test: no newest Wireshark: its tests are skipped'; \
			$(LAB)/bare-debian root || echo 'test: no bare Debian: the commands of the documents are not run on one'; } & roots=$$!; \
		cargo test --no-run || { wait; exit 1; }; \
		wait $$roots; \
		CONTAINERDUMP_STATIC=$(CURDIR)/target/static/dev/containerdump \
		$(LAB)/sum-results $(LAB)/with-engine env RUST_TEST_THREADS=4 cargo test --offline --no-fail-fast

many: build
	@$(LAB)/packages test
	@$(with_libpcap); set -ex; cargo test --no-run --test real; \
		CONTAINERDUMP_MANY=200 CONTAINERDUMP_PROGRAM=$(CURDIR)/target/release/containerdump $(LAB)/with-engine \
		cargo test --offline --test real -- --nocapture many_containers

# PART is a benchmark and words for it: PART='capture latency'.
bench: build
	@$(LAB)/packages bench
	@$(with_libpcap); set -ex; cargo bench --profile benches --no-run; CONTAINERDUMP_LAB_DOCKER_ONLY=1 \
		CONTAINERDUMP_PROGRAM=$(CURDIR)/target/release/containerdump \
		$(LAB)/with-engine cargo bench --profile benches --offline --no-fail-fast \
		$(if $(PART),--bench $(firstword $(PART)) -- $(wordlist 2,9,$(PART)))

bench-report:
	@$(LAB)/bench-report

# The library optimised, on the dependencies that the tests use: these are compiled once for both.
bench-check:
	@$(LAB)/packages bench
	@$(with_libpcap); set -ex; cargo bench --profile dev --bench instructions $(addprefix --config=profile.dev.package.containerdump., \
		opt-level=3 debug-assertions=false overflow-checks=false codegen-units=16) -- $(if $(UPDATE),--update)

# Miri needs a nightly compiler and a folder of its own.
miri:
	@$(LAB)/packages build
	rustup toolchain install nightly --profile minimal --component miri
	MIRIFLAGS=-Zmiri-disable-isolation CARGO_TARGET_DIR=target/miri \
		cargo +nightly miri test --lib -- capture::ring pcapng::packet

# Coverage is that of the pinned compiler; libFuzzer is built by g++.
fuzz:
	@$(LAB)/packages fuzz
	@fuzz/run $(or $(SECONDS),60) $(TARGETS)

check: $(DENY)
	@$(LAB)/packages check
	cargo fmt --check
	cargo fmt --manifest-path fuzz/Cargo.toml --check
	cargo clippy --all-targets -- -D warnings
	cargo clippy --lib -- -D warnings --cfg fuzzing # src/fuzzing.rs
	$(DENY) check --hide-inclusion-graph licenses bans sources
	RUSTDOCFLAGS='-D warnings' cargo doc --no-deps
	shellcheck --exclude=SC2317 $(SCRIPTS) # SC2317: functions called by traps
	@wc -l $(RUST_FILES) | awk '$$2 != "total" && $$1 > $(MAX_LINES) { \
		print $$2 " has " $$1 " lines; split it: $(MAX_LINES) is the limit"; bad = 1 } \
		END { exit bad }'
	@grep -roE --include='*.rs' '^(pub(\([a-z ]+\))? )?(struct|enum|trait|union|type) \w+' src extcap installer | \
		awk '{ sub(/:.*/, "", $$1); files[$$NF] = files[$$NF] " " $$1; count[$$NF]++ } \
		END { for (name in count) if (count[name] > 1) { \
		print "type " name " is defined more than once:" files[name]; bad = 1 }; exit bad }'

# Needs the network. Not a part of check: a new advisory must not fail the build of an old commit.
advisories: $(DENY)
	$(DENY) check --hide-inclusion-graph advisories

# A debug build takes a minute, a release build five.
$(DENY):
	@$(LAB)/packages build
	cargo install cargo-deny --version $(DENY_VERSION) --locked --debug --quiet \
		--root target/tools/cargo-deny-$(DENY_VERSION) --target-dir target/tools/build
	rm -rf target/tools/build

# The static program is for tap containers; without it everything else is installed.
install: build
	@{ $(LAB)/packages static && installer/static/program; } || { \
		rm -f target/release/containerdump-$(shell uname -m); \
		echo 'install: continuing without the static program; the reason is above'; }
	$(AS_ROOT)target/release/containerdump-install install

uninstall: build
	$(AS_ROOT)target/release/containerdump-install uninstall

lab:
	@$(LAB)/packages demo
	@$(LAB)/interactive up

lab-down:
	@$(LAB)/interactive down

clean:
	cargo clean
