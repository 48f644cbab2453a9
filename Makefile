# `make` alone says what there is. Each goal does all of its own set-up: packages by name
# (tests/lab/packages), engines of their own (tests/lab/with-engine); no image is ever pulled.

SHELL = /bin/bash
LAB = tests/lab
DENY_VERSION = 0.20.2
DENY = target/tools/cargo-deny-$(DENY_VERSION)/bin/cargo-deny
SCRIPTS = $(wildcard $(LAB)/* installer/static/*) .ci/run
RUST_FILES = $(shell find src extcap installer tests benches -name '*.rs' 2>/dev/null)
LONGEST_FILE = 400
AS_ROOT = $(if $(filter 0,$(shell id -u)),,sudo )
# The scripts look for what was built in target/.
unexport CARGO_TARGET_DIR CARGO_BUILD_TARGET
# For a recipe's first line: programs are linked with a libpcap of our own where one can be had (build.rs), else with the
# shared one.
with_libpcap = CONTAINERDUMP_LIBPCAP=$$($(LAB)/packages static >&2 && installer/static/libpcap target/static/libpcap) || \
	echo 'make: goes on with the shared libpcap; the reason is above'; export CONTAINERDUMP_LIBPCAP

.PHONY: help build static demo test many check bench install uninstall lab lab-down clean

help:
	@echo 'make demo       the main job, to watch: containers and their packets in tshark'
	@echo 'make test       all tests, against a private engine and the real Wireshark'
	@echo 'make check      format, lints, dependencies, documentation, scripts'
	@echo 'make build      the program, in target/release'
	@echo 'make static     the program without shared libraries, in target/static'
	@echo 'make install    puts it where Wireshark looks (make uninstall takes it away)'
	@echo 'make many       200 containers in one capture: memory, start, idle cost'
	@echo 'make bench      speed, beside tcpdump, sshdump and curl'
	@echo 'make lab        an engine with containers, for work by hand (make lab-down ends it)'
	@echo 'make clean      removes target/'

build:
	@$(LAB)/packages build
	@$(with_libpcap); set -x; cargo build --release

static:
	@$(LAB)/packages static
	@installer/static/program
	@echo 'target/static/containerdump is static; pass it on with the licences beside it'

demo: build
	@$(LAB)/packages demo
	@$(LAB)/demo

# Compiled before the engine starts: beside it there is no network to fetch crates from.
test:
	@$(LAB)/packages test
	@installer/static/program dev || echo 'test: without a static program, its tests are skipped'
	@$(with_libpcap); set -ex; \
		{ $(LAB)/wireshark-newest make || echo 'test: without the newest Wireshark, its tests are skipped'; \
			$(LAB)/bare-debian root || echo 'test: without a bare Debian, the README is not tried on one'; } & roots=$$!; \
		cargo test --no-run || { wait; exit 1; }; \
		wait $$roots; \
		CONTAINERDUMP_STATIC=$(CURDIR)/target/static/dev/containerdump \
		$(LAB)/sum-results $(LAB)/with-engine env RUST_TEST_THREADS=4 cargo test --offline --no-fail-fast

many: build
	@$(LAB)/packages test
	@$(with_libpcap); set -ex; cargo test --no-run --test real; \
		CONTAINERDUMP_MANY=200 CONTAINERDUMP_PROGRAM=$(CURDIR)/target/release/containerdump $(LAB)/with-engine \
		cargo test --offline --test real -- --nocapture many_containers

bench:
	@$(LAB)/packages test
	@$(with_libpcap); set -ex; cargo bench --no-run; $(LAB)/with-engine cargo bench --offline

check: $(DENY)
	@$(LAB)/packages check
	cargo fmt --check
	cargo clippy --all-targets -- -D warnings
	$(DENY) check --hide-inclusion-graph licenses bans sources
	RUSTDOCFLAGS='-D warnings' cargo doc --no-deps
	shellcheck --exclude=SC2317 $(SCRIPTS) # functions called by traps seem unreachable to it
	@wc -l $(RUST_FILES) | awk '$$2 != "total" && $$1 > $(LONGEST_FILE) { \
		print $$2 " has " $$1 " lines; split it: $(LONGEST_FILE) is the limit"; bad = 1 } \
		END { exit bad }'

# A debug build: it takes a minute, a release build five, and there is little to check.
$(DENY):
	@$(LAB)/packages build
	cargo install cargo-deny --version $(DENY_VERSION) --locked --debug --quiet \
		--root target/tools/cargo-deny-$(DENY_VERSION) --target-dir target/tools/build
	rm -rf target/tools/build

# The static program is for the tap through the engine; without it everything else is installed.
install: build
	@{ $(LAB)/packages static && installer/static/program; } || { \
		rm -f target/release/containerdump-$(shell uname -m); \
		echo 'install: goes on without the static program; the reason is above'; }
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
