# The two commands of the README are `make demo` and `make test`.

help: ## show what there is to make
	@sed -nE 's/^([a-z-]+):[^#]*## (.*)/\1 \2/p' $(firstword $(MAKEFILE_LIST)) | while read -r name text; do printf '%-14s %s\n' "$$name" "$$text"; done

.PHONY: help demo demo-postgres test chaos fuzz check bench peers azurite clients axe python wheel infra-check infra-checkov sbom

demo: ## fill a lake with real prices, start a local Functions host, submit a backtest and show the result
	@echo "building backtests (the first time takes some minutes) ..."
	@cargo build --locked --quiet
	@target/debug/backtests demo

demo-postgres: ## the same with run records in a Postgres server that is started for it
	@echo "building backtests (the first time takes some minutes) ..."
	@cargo build --locked --quiet
	@target/debug/backtests demo --postgres

test: ## run every test against real parts
	cargo test --locked --workspace

# CHAOS_SEED=… repeats a run, CHAOS_SECONDS=30 makes a short one. Better with `make azurite` and Debian's faketime.
chaos: ## let everything fail for three minutes, and see that all runs come to their one end
	cargo test --locked --test suite -- --ignored --exact --nocapture chaos::runs_come_to_their_one_end_whatever_fails

# Coverage without a sanitizer, which the stable toolchain can do; the target is named so that build scripts go without.
FUZZ_HOST = $(shell rustc -vV | sed -n 's/^host: //p')
FUZZ_FLAGS := --cfg fuzzing -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
	-Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
	-Cllvm-args=-sanitizer-coverage-trace-compares
FUZZ_SECONDS ?= 60
FUZZ_TARGETS ?= $(notdir $(wildcard tests/fuzz/corpus/*))

# What breaks something lies below target/fuzz/found: put it into the corpus, where `cargo test` tries it again, and mend it.
fuzz: ## try what strangers send with bytes that a fuzzer makes up, a minute for each kind
	cp Cargo.lock tests/fuzz/Cargo.lock # what is tried is what ships
	RUSTFLAGS="$(FUZZ_FLAGS)" cargo build --release --manifest-path tests/fuzz/Cargo.toml \
		--target-dir target/fuzz --target $(FUZZ_HOST)
	mkdir -p target/fuzz/found
	broken=; for target in $(FUZZ_TARGETS); do \
		echo "== $$target"; mkdir -p target/fuzz/corpus/$$target; \
		FUZZ_TARGET=$$target target/fuzz/$(FUZZ_HOST)/release/fuzz -max_total_time=$(FUZZ_SECONDS) -timeout=10 \
			-rss_limit_mb=3072 -verbosity=0 -print_final_stats=1 -artifact_prefix=target/fuzz/found/$$target- \
			target/fuzz/corpus/$$target tests/fuzz/corpus/$$target || broken="$$broken $$target"; \
	done; test -z "$$broken" || { echo "broken:$$broken"; exit 1; }

check: ## what CI checks before the tests
	cargo fmt --all --check
	cargo clippy --locked --workspace --all-targets -- -D warnings
	RUSTDOCFLAGS=-Dwarnings cargo doc --locked --workspace --no-deps --quiet

azurite: ## install the storage emulator of the tests, pinned, below target/ (needs Node.js)
	mkdir -p target/azurite
	cp tests/support/azurite/package.json tests/support/azurite/package-lock.json target/azurite/
	npm ci --prefix target/azurite --ignore-scripts --no-audit --no-fund

# The Python package, from an environment of our own, against the program that was built last.
PACKAGE := target/package-python/bin
$(PACKAGE)/pytest: python/requirements.txt
	python3 -m venv target/package-python
	$(PACKAGE)/pip install --quiet --disable-pip-version-check --requirement python/requirements.txt
	@touch $@

# The tests use what was installed from the wheel, package and program: that it imports and starts is the first of them.
python: $(PACKAGE)/pytest ## check the Python package, build its wheel and test that (needs Python 3.11 or newer)
	$(PACKAGE)/ruff format --check --quiet python
	$(PACKAGE)/ruff check --quiet python
	cd python && ../$(PACKAGE)/mypy
	rm -rf target/wheels/dev
	cd python && ../$(PACKAGE)/maturin build --quiet --locked --profile dev --target-dir ../target --out ../target/wheels/dev
	$(PACKAGE)/pip install --quiet --disable-pip-version-check --no-deps --force-reinstall target/wheels/dev/*.whl
	cd python && ../$(PACKAGE)/pytest

# Here it is for Linux with the glibc of this machine or a later one; the release builds it with zig for older ones.
wheel: $(PACKAGE)/pytest ## build the wheel that `pip install` takes, program and package in one
	cd python && ../$(PACKAGE)/maturin build --release --locked --out ../target/wheels

clients: ## install the generators of clients with which the tests try the document of the API (needs Node.js and Python)
	mkdir -p target/clients
	cp tests/support/clients/package.json tests/support/clients/package-lock.json target/clients/
	npm ci --prefix target/clients --ignore-scripts --no-audit --no-fund
	test -x target/clients/python/bin/pip || python3 -m venv target/clients/python
	target/clients/python/bin/pip install --quiet --disable-pip-version-check \
		--requirement tests/support/clients/requirements.txt

axe: ## install the checker of accessibility with which the tests look at the pages, pinned (needs Node.js)
	mkdir -p target/axe
	cp tests/support/axe/package.json tests/support/axe/package-lock.json target/axe/
	npm ci --prefix target/axe --ignore-scripts --no-audit --no-fund

bench: ## measure the hot paths
	cargo bench --locked

# The programs that people would pick instead, in a Python environment of our own.
PEERS := target/peers
$(PEERS)/bin/pip: tests/bench/peers/requirements.txt
	python3 -m venv $(PEERS)
	$(PEERS)/bin/pip install --quiet --disable-pip-version-check --requirement tests/bench/peers/requirements.txt
	@touch $@

peers: $(PEERS)/bin/pip ## measure the engine beside other backtest programs; needs Python 3.11 or 3.12 and 20 quiet minutes
	BENCH_PANELS=$(PEERS)/panels cargo bench --locked --bench bench
	$(PEERS)/bin/python tests/bench/peers/peers.py $(PEERS)/panels
	$(PEERS)/bin/python tests/bench/peers/overfitting.py $(PEERS)/panels

# Linters of everything that is not Rust, from a Python environment of our own.
LINT := target/lint/bin
$(LINT)/zizmor: infra/lint.txt
	python3 -m venv target/lint
	$(LINT)/pip install --quiet --disable-pip-version-check --requirement infra/lint.txt
	@touch $@

# What 0005 and 0008 alone may do: they put back the constraints that they drop, and their indexes are of columns
# that no row fills yet.
SQUAWK_DROPPING := require-lock-timeout,require-statement-timeout,prefer-bigint-over-int,ban-drop-constraint,require-concurrent-index-creation

# The Bicep compiler is the one that BICEP names, else `bicep` of the path, else that of `az bicep install`.
infra-check: $(LINT)/zizmor ## check the Bicep files, workflows, scripts and migrations; needs no network once it is installed
	cargo infra check
	$(LINT)/squawk --config migrations/squawk.toml --exclude-path '*/000[58]_*' migrations/postgres/*.sql
	$(LINT)/squawk --config migrations/squawk.toml --exclude $(SQUAWK_DROPPING) migrations/postgres/000[58]_*.sql
	$(LINT)/zizmor --offline --no-progress --quiet .github
	$(LINT)/check-jsonschema --builtin-schema vendor.github-workflows .github/workflows/*.yml
	$(LINT)/check-jsonschema --builtin-schema vendor.dependabot .github/dependabot.yml
	$(LINT)/yamllint --strict --config-file .yamllint.yml .github azure.yaml .yamllint.yml
	$(LINT)/shellcheck .ci/run infra/tool/tests/support/*.sh

infra-checkov: ## a second opinion on the Bicep files; installs some hundred megabytes
	python3 -m venv target/checkov
	target/checkov/bin/pip install --quiet --disable-pip-version-check checkov==3.3.30
	target/checkov/bin/checkov --config-file infra/checkov.yml | tee target/checkov/said
	grep -q 'Failed checks: 0' target/checkov/said && ! grep -q 'Parsing errors: [1-9]' target/checkov/said

# Of the program alone: its own crates and what it links, for the target that is packed.
sbom: ## write the bill of materials of the release (CycloneDX) beside its zip; builds the tool that makes it
	cargo install --quiet --locked --root target/sbom cargo-cyclonedx@0.5.9
	target/sbom/bin/cargo-cyclonedx cyclonedx --quiet --format json --spec-version 1.5 --describe binaries \
		--target x86_64-unknown-linux-musl
	mkdir -p target/package
	mv backtests_bin.cdx.json target/package/release.cdx.json
	rm infra/tool/infra-tool_bin.cdx.json
