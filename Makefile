# `make demo` shows the main job on this machine alone; `make test` runs everything. Both install what they lack (Debian,
# Ubuntu; as root or with sudo) and start nothing that outlives them.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
# Where rustup puts cargo: not on the PATH of a shell without login.
export PATH := $(PATH):$(HOME)/.cargo/bin

HOSHO := $(or $(CARGO_TARGET_DIR),target)/release/hosho
# To build, and fonts that hold every character a Japanese name may need (the second has 𠮷 and 槗).
FOR_DEMO := cc=build-essential pkg-config=pkg-config libpq-dev fonts-ipaexfont fonts-vlgothic
# Servers for tests (private instances are started, the system's are not), readers of what came out, and fonts of all kinds.
FOR_TEST := $(FOR_DEMO) rabbitmq-server postgresql python3-aiosmtpd python3-pika python3-venv curl=curl git=git openssl=openssl pdftotext=poppler-utils qpdf=qpdf zbarimg=zbar-tools \
    fonts-noto-cjk fonts-morisawa-bizud-gothic fonts-morisawa-bizud-mincho

.PHONY: help
help:
	@echo "make demo   process the example applications: PDFs and mails appear in demo-out/"
	@echo "make test   format, lints, all tests on private RabbitMQ, PostgreSQL and SMTP servers, documentation"
	@echo "make soak   the drills at full size: workers, broker, database and mail server fail during the work (docs/soak.md)"
	@echo "make bench  how fast the parts are on one core, and the whole system on private servers (docs/bench.md)"
	@echo "make fuzz   hostile input for decoding and judging, ten minutes of it (docs/fuzz.md)"

.PHONY: cargo
cargo:
	@command -v cargo >/dev/null || { echo "hosho: needs Rust 1.95 or later with cargo: https://rustup.rs" >&2; exit 1; }

.PHONY: demo
demo: cargo
	.ci/install $(FOR_DEMO)
	cargo build --release --locked
	$(HOSHO) process examples/applications.jsonl --out demo-out
	$(HOSHO) process examples/interim.jsonl --out demo-out
	@printf '\nOpen, for example:\n'
	@find demo-out -name '*.pdf' | sort | sed -n '1,6s/^/  /p'
	@find demo-out -name '*.eml' | sort | sed -n '1,2s/^/  /p'

# What drives servers for minutes is not optimised for the tests: optimising takes longer than it saves. Drawing and dependencies are;
# the latter are shared with the demonstration. `make soak` drills the program as it is shipped.
export PROPTEST_RNG_SEED ?= 20261130
NOT_OPTIMISED := --config profile.release.debug=false \
    $(foreach crate,hosho hosho-pdfa hosho-schema,--config profile.release.package.$(crate).opt-level=0)
# The first variable is what `cargo clippy -- -D warnings` sets; where it changes, cargo builds again.
TEST_BUILD := CLIPPY_ARGS=-Dwarnings__CLIPPY_HACKERY__ RUSTC_WORKSPACE_WRAPPER=$(CURDIR)/.ci/rustc \
    cargo test --release --locked $(NOT_OPTIMISED) --workspace --all-targets --no-run --message-format=json-render-diagnostics
TEST_PROGRAMS := $(or $(CARGO_TARGET_DIR),target)/test-programs.json

# The quick checks first. One build serves lints, documentation and tests (.ci/rustc). Most integration tests wait for servers, so more
# of them run at a time than there are cores.
.PHONY: test
test: cargo
	@.ci/step --begin
	.ci/step 'Debian packages' .ci/install $(FOR_TEST)
	.ci/step 'format' cargo fmt --all --check
	.ci/step 'format of tests/fuzz' cargo fmt --manifest-path tests/fuzz/Cargo.toml --check
	.ci/step 'source text (hosho-tidy)' cargo test --locked -p hosho-tidy
	.ci/step 'dependencies (cargo-deny, one build of each)' bash -c '.ci/deny && .ci/compiled-once'
	.ci/step 'S3 servers' .ci/s3-servers
	.ci/step 'build, with lints and documentation' env $(TEST_BUILD) >$(TEST_PROGRAMS)
	.ci/step 'unit tests' bash -euc 'programs=$$(.ci/executables lib <$(TEST_PROGRAMS)); for program in $$programs; do $$program; done'
	.ci/step 'integration tests' bash -euc 'program=$$(.ci/executables it <$(TEST_PROGRAMS)); $$program --test-threads=9'
	@.ci/step --report

# The shipped program; the tests that drive it are not optimised.
INTEGRATION_TESTS := "$$(cargo rustc --release --locked --test it --message-format=json-render-diagnostics -- -C opt-level=0 | .ci/executables it)"

# The drills of `make test`, larger and with longer outages: 2,000 applications for each, 10,000 with 20 kills, 5,001 dead letters,
# 20,000 schedules, a night of 50,000 guarantees, and up to 100,000 re-issued among a million. Seeds are random and
# printed; HOSHO_DRILL_SEED repeats a run.
SOAK = HOSHO_DRILL_SEED=$${HOSHO_DRILL_SEED:-$$(od -An -N7 -tu8 /dev/urandom | tr -d ' ')} $(INTEGRATION_TESTS) --nocapture --test-threads=1
.PHONY: soak
soak: cargo
	.ci/install $(FOR_TEST)
	HOSHO_DRILL_COPIED=2000 HOSHO_DRILL_LOST=1000 HOSHO_DRILL_OUTAGE=2000 HOSHO_DRILL_MAIL=2000 HOSHO_DRILL_DELETED=2000 \
	    HOSHO_DRILL_DATABASE_AWAY_SECONDS=20 HOSHO_DRILL_DOCUMENTS_AWAY_SECONDS=20 HOSHO_DRILL_ALARM_SECONDS=20 \
	    HOSHO_DRILL_MAIL_AWAY_SECONDS=30 HOSHO_DRILL_BROKER_KILLS=3 \
	    $(SOAK) crashes:: --skip crashes::killed_workers --skip crashes::nights --skip crashes::growth
	HOSHO_DRILL_APPLICATIONS=10000 HOSHO_DRILL_KILLS=20 $(SOAK) crashes::killed_workers
	HOSHO_DRILL_NIGHT=36000 HOSHO_DRILL_NIGHT_KILLS=5 HOSHO_DRILL_NIGHT_LIVE=200 $(SOAK) crashes::nights
	HOSHO_DRILL_STORED=1000000 HOSHO_DRILL_REISSUED=1000,10000,100000 $(SOAK) crashes::growth
	HOSHO_DRILL_DEAD=5001 $(SOAK) failures::replaying
	HOSHO_DRILL_SCHEDULES=20000 $(SOAK) schedules::
	HOSHO_DRILL_TEXTS=30000 HOSHO_DRILL_DOCUMENTS=100000 $(SOAK) documents::round_trip documents::memory
	export PROPTEST_RNG_SEED=$${HOSHO_DRILL_SEED:-$$(od -An -N7 -tu8 /dev/urandom | tr -d ' ')}; \
	    echo "PROPTEST_RNG_SEED=$$PROPTEST_RNG_SEED"; PROPTEST_CASES=2000 \
	    cargo test --release --locked $(NOT_OPTIMISED) --workspace --lib

# The parts on one core, short, each with a row for docs/bench.md (BENCH= gives criterion's own, longer settings); then the whole system
# on private servers, about an hour and 70 GB of disk (BENCH_ONLY, BENCH_GROWTH …: benches/system/main.rs).
BENCH ?= --warm-up-time 1 --measurement-time 3
.PHONY: bench
bench: cargo
	.ci/install $(FOR_TEST) smtp-sink=postfix
	for bench in validate stages documents; do \
	    cargo bench --locked --bench $$bench -- --quiet $(BENCH) | awk -v bench=$$bench '{ print } \
	        $$1 ~ "^" bench "/" { name = $$1; sub(bench "/", "", name); names = names " " name " |" } \
	        /thrpt:.*elem\/s/ { row = row " " $$4 " " substr($$5, 1, 1) " |" } \
	        END { print "\n" bench ", a second:\n|" names "\n|" row }'; \
	done
	cargo bench --locked --bench system

# Built with counters by the stable compiler (tests/fuzz/.cargo/config.toml). The corpus grows from run to run; a finding is a file
# in target/fuzz/findings/, and becomes one in tests/fuzz/regressions/ with its fix.
FUZZ := target/fuzz
FUZZ_SECONDS ?= 600
FUZZ_SEED ?= 3
.PHONY: fuzz
fuzz: cargo
	.ci/install $(FOR_DEMO) g++=g++
	cd tests/fuzz && env -u RUSTFLAGS -u CARGO_TARGET_DIR -u CARGO_BUILD_TARGET cargo build --release
	mkdir -p $(FUZZ)/corpus $(FUZZ)/seeds $(FUZZ)/findings
	awk '{ file = sprintf("$(FUZZ)/seeds/%03d.json", NR); printf "%s", $$0 > file; close(file) }' examples/*.jsonl
	nice $(FUZZ)/build/*-*/release/validate $(FUZZ)/corpus $(FUZZ)/seeds tests/fuzz/regressions -dict=tests/fuzz/validate.dict \
	    -max_len=16384 -max_total_time=$(FUZZ_SECONDS) -seed=$(FUZZ_SEED) -timeout=10 -rss_limit_mb=2048 \
	    -artifact_prefix=$(FUZZ)/findings/ -print_final_stats=1
