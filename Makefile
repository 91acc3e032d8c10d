# mkubelet: everything a person does with a checkout, as root on a Debian system with Rust. `make` lists it.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

# .cargo/config.toml names the host as the target, so the binaries are below its triple.
TRIPLE := $(shell rustc -vV | sed -n 's/^host: //p')
TARGET := $(or $(CARGO_TARGET_DIR),target)/$(TRIPLE)
RELEASE := $(TARGET)/release
PREFIX := /usr/local

# End-to-end tests wait more than they compute.
export RUST_TEST_THREADS ?= $(shell echo $$(( $$(nproc) * 4 )))

.PHONY: help
help: ## Show this list.
	@sed -n 's/^\([a-z-]*\):.*## /\1|/p' Makefile | while IFS='|' read -r name text; do printf '%-12s %s\n' "$$name" "$$text"; done

.PHONY: run
run: root rootfs build ## Run examples/pod-nginx.yaml, show its IP and its page, and end it on Ctrl-C.
	@exec scripts/run-example $(RELEASE)

.PHONY: test
test: root rootfs ## Run every test, from units to whole pods on this machine's kernel.
	@scripts/install-packages test
	cargo test

.PHONY: test-long
test-long: root rootfs ## The same, and the tests that repeat and shuffle for minutes.
	@scripts/install-packages test
	cargo test -- --include-ignored

# Seconds that each target is fuzzed for; TARGETS="user log" chooses.
SECONDS := 60
FUZZED := $(or $(TARGETS),$(patsubst fuzz/fuzz_targets/%.rs,%,$(wildcard fuzz/fuzz_targets/*.rs)))

.PHONY: schemas
schemas: ## Write the OpenAPI schemas anew, when k8s-openapi or the list of kinds has changed; needs zstd.
	cd tools/schemas && cargo run --quiet | zstd -19 --quiet --force -o ../../src/api/openapi/types.json.zst

# Checkouts of kubernetes/api and kubernetes/apimachinery, both at VERSION.
.PHONY: messages
messages: ## Write the table of protobuf messages anew (API, APIMACHINERY, VERSION), when a kind has come to tools/messages.
	cd tools/messages && cargo run --quiet -- $(API) $(APIMACHINERY) $(VERSION) >../../src/api/body/protobuf/messages.txt

.PHONY: fuzz
fuzz: ## Fuzz what strangers send (TARGETS, SECONDS); needs nightly Rust and cargo-fuzz.
	cd fuzz && for target in $(FUZZED); do \
		nice cargo +nightly fuzz run --fuzz-dir . $$target -- -max_total_time=$(SECONDS) -timeout=10 -rss_limit_mb=1024; \
	done

.PHONY: test-vm
test-vm: root rootfs ## The same in a virtual machine with systemd and cgroup v2 alone, provisioned like Vagrant's.
	@scripts/install-packages vm
	vm/build
	vm/test

.PHONY: vm
vm: root ## A shell in that machine, without anything installed in it.
	@scripts/install-packages vm
	vm/build
	@vm/boot

.PHONY: bench
bench: root rootfs build ## Measure mkubelet against the kernel floor and podman; ONLY=probes (exec, mkubelet, ...) measures that.
	@scripts/install-packages bench
	benches/run $(if $(ONLY),--only $(ONLY))

.PHONY: lint
lint: ## Check format, clippy, and the dependencies.
	cargo fmt --check
	cargo clippy --all-targets --locked -- -D warnings
	scripts/check-dependencies

.PHONY: build
build: ## Build the release binaries.
	@scripts/install-packages build
	cargo build --release --locked

.PHONY: rootfs
rootfs: ## Build the example images below rootfs/out out of Debian packages.
	@scripts/install-packages run
	rootfs/build nginx busybox dnsmasq

.PHONY: install
install: root build ## Install both binaries, manual pages, completions and the systemd units below PREFIX (/usr/local).
	@DESTDIR=$(DESTDIR) PREFIX=$(PREFIX) scripts/install $(RELEASE)

.PHONY: root
root:
	@[[ $$EUID -eq 0 ]] || { echo "make: mount, network and cgroup work needs root" >&2; exit 1; }
