# The two commands of the README are `make demo` and `make test`.

.PHONY: demo demo-postgres test check bench

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

bench: ## measure the hot paths
	cargo bench --locked
