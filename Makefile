# The two commands of the README are `make demo` and `make test`.

.PHONY: demo demo-postgres test check bench azurite

demo: ## fill a lake with real prices, start a local Functions host, submit a backtest and show the result
	@echo "building backtests (the first time takes some minutes) ..."
	@cargo build --locked --quiet
	@target/debug/backtests demo

demo-postgres: ## the same with run records in a Postgres server that is started for it
	@echo "building backtests (the first time takes some minutes) ..."
	@cargo build --locked --quiet
	@target/debug/backtests demo --postgres

test: ## run every test against real parts
	cargo test --locked

check: ## what CI checks before the tests
	cargo fmt --check
	cargo clippy --locked --all-targets -- -D warnings
	RUSTDOCFLAGS=-Dwarnings cargo doc --locked --no-deps --quiet

azurite: ## install the storage emulator of the tests, pinned, below target/ (needs Node.js)
	mkdir -p target/azurite
	cp tests/support/azurite/package.json tests/support/azurite/package-lock.json target/azurite/
	npm ci --prefix target/azurite --ignore-scripts --no-audit --no-fund

bench: ## measure the hot paths
	cargo bench --locked
