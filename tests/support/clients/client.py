"""What a user of the generated client writes: submit a config, watch the run, list. Prints what became of it."""

import sys

from backtest_functions_client import AuthenticatedClient
from backtest_functions_client.api.runs import get_run, list_runs, submit_run, validate_config
from backtest_functions_client.models import (
    ConfigOfABacktest,
    Problem,
    RunRecord,
    Status,
    TopNSignalStrategyClassConfigChoice,
    WithConfig,
)

client = AuthenticatedClient(
    base_url=sys.argv[1], token="none", prefix="", auth_header_name="x-functions-key"
)
config = ConfigOfABacktest.from_dict(
    {
        "start_date": "2006-01-03",
        "end_date": "2009-12-31",
        "universe": {"symbols": ["AAPL", "IBM"]},
        "strategy": {
            "class": "TopNSignalStrategy",
            "parameters": {"signal_column": "momentum_12_1", "top_n": 1},
        },
        "broker": {"slippage_bps": 5},
    }
)
assert isinstance(config.strategy, TopNSignalStrategyClassConfigChoice), config.strategy
body = WithConfig(config=config, run_id="generated")
validated = validate_config.sync(client=client, body=body)
assert not isinstance(validated, Problem), validated
run = submit_run.sync(client=client, body=body, idempotency_key="k")
assert isinstance(run, RunRecord) and run.run_id == "generated", run
assert run.parent_run_id is None and run.status == Status.QUEUED, run
again = get_run.sync("generated", client=client)
assert isinstance(again, RunRecord) and again.submitted_at == run.submitted_at, again
listed = list_runs.sync(client=client, status=[Status.QUEUED], limit=5)
assert [one.run_id for one in listed.runs] == ["generated"], listed
missing = get_run.sync("nothing", client=client)
assert isinstance(missing, Problem) and missing.status == 404 and missing.code == "run_not_found", missing
print("well")
