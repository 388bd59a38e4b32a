# The two commands of the README are `make demo` and `make test`.

.PHONY: demo test check bench infra-check infra-checkov

demo: ## fill a lake with real prices, start a local Functions host, submit a backtest and show the result
	@echo "building backtests (the first time takes some minutes) ..."
	@cargo build --locked --quiet
	@target/debug/backtests demo

test: ## run every test against real parts
	cargo test --locked --workspace

check: ## what CI checks before the tests
	cargo fmt --all --check
	cargo clippy --locked --workspace --all-targets -- -D warnings

bench: ## measure the hot paths
	cargo bench --locked

# Linters of everything that is not Rust, from a Python environment of our own.
LINT := target/lint/bin
$(LINT)/zizmor: infra/lint.txt
	python3 -m venv target/lint
	$(LINT)/pip install --quiet --disable-pip-version-check --requirement infra/lint.txt
	@touch $@

infra-check: $(LINT)/zizmor ## check the Bicep files, the workflows and the scripts; needs no network once it is installed
	cargo infra check
	$(LINT)/zizmor --offline --no-progress --quiet .github
	$(LINT)/check-jsonschema --builtin-schema vendor.github-workflows .github/workflows/*.yml
	$(LINT)/check-jsonschema --builtin-schema vendor.dependabot .github/dependabot.yml
	$(LINT)/yamllint --strict --config-file .yamllint.yml .github azure.yaml .yamllint.yml
	$(LINT)/shellcheck .ci/run infra/tool/tests/support/child.sh

infra-checkov: ## a second opinion on the Bicep files; installs some hundred megabytes
	python3 -m venv target/checkov
	target/checkov/bin/pip install --quiet --disable-pip-version-check checkov==3.3.30
	target/checkov/bin/checkov --config-file infra/checkov.yml | tee target/checkov/said
	grep -q 'Failed checks: 0' target/checkov/said && ! grep -q 'Parsing errors: [1-9]' target/checkov/said
