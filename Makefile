# The two commands of the README are `make demo` and `make test`.

.PHONY: demo test check bench

demo: ## fill a lake with real prices, start a local Functions host, submit a backtest and show the result
	@echo "building backtests (the first time takes some minutes) ..."
	@cargo build --locked --quiet
	@target/debug/backtests demo

test: ## run every test against real parts
	cargo test --locked --workspace

check: ## what CI checks before the tests
	cargo fmt --check
	cargo clippy --locked --workspace --all-targets -- -D warnings

bench: ## measure the hot paths
	cargo bench --locked
