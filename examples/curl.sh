#!/usr/bin/env bash
# Every call of the HTTP API, in the order in which a person would make them. Needs a host with prices in its lake:
# `make demo` leaves one running on http://127.0.0.1:7071, `make demo-postgres` one that also serves signals. BACKTEST_URL
# names another one, BACKTEST_FUNCTION_KEY its key.
set -euo pipefail
cd "$(dirname "$0")/.."

api="${BACKTEST_URL:-http://127.0.0.1:7071}/api"
ask() { # curl with the key, which must not stand among the arguments of a process
  curl -sS ${BACKTEST_FUNCTION_KEY:+--config <(printf 'header = "x-functions-key: %s"\n' "$BACKTEST_FUNCTION_KEY")} "$@"
}
call() { # an answer that must be good
  ask --fail-with-body "$@"
  echo
}
step() { printf '\n== %s\n' "$*"; }
signals() { # signals are served from Postgres, what they predict from the lake; a host without says so
  local answer
  answer=$(call "$api/signals/$1") || [[ $answer == *signals_unavailable* || $answer == *strategy_not_found* ]]
  printf '%s\n' "$answer"
}
run="curl-$(date +%s)-$$"

step "is it there, and what does it answer"
call "$api/healthz"
call "$api/readyz"
call "$api/openapi.json" -o /dev/null
call "$api/config.schema.json" -o /dev/null

step "check a config: nothing is stored"
call "$api/backtests/validate" -H 'Content-Type: application/yaml' --data-binary @examples/momentum.yaml

step "submit it as $run; the key makes a repeat harmless"
submit() {
  call "$api/backtests" -H 'Content-Type: application/json' -H "Idempotency-Key: $run" \
    -d '{"run_id": "'"$run"'", "config": {"start_date": "2005-01-03", "end_date": "2013-03-01",
         "universe": {"symbols": ["AAPL", "GOOG", "IBM", "MSFT"]},
         "strategy": {"class": "TopNSignalStrategy", "parameters": {"signal_column": "momentum_12_1", "top_n": 2}},
         "output": {"save_orders": true}}}'
}
submit
submit

step "watch it"
until call "$api/backtests/$run" | grep -Eq '"status": ?"(completed|failed|canceled)"'; do sleep 0.2; done
call "$api/backtests/$run/events"

step "list runs"
call "$api/backtests?status=completed,failed&q=curl&limit=5"

step "what it left behind"
call "$api/backtests/$run/summary"
call "$api/backtests/$run/metrics/timeseries?max_points=50"
call "$api/backtests/$run/metrics/rolling?window_days=126&max_points=50"
call "$api/backtests/$run/trades?limit=5&offset=10"
call "$api/backtests/$run/positions?date=2008-10-10"
call "$api/backtests/$run/orders"
call "$api/backtests/$run/artifacts"
call "$api/backtests/$run/artifacts/trades.csv" -H 'Range: bytes=0-99'
call "$api/backtests/$run/report" -o /dev/null
call "$api/backtests/$run/artifacts.zip" -o /dev/null

step "ranking signals of the newest day, and how far each month is synced"
signals "composite?limit=3"
signals "ranking?strategy=momentum_12_1&symbol=AAPL,IBM"
signals sync
step "what a strategy predicts, as the sync keeps it; as numbers and as a page"
signals "factors/momentum_12_1?from=2010-01-01"
signals factors/momentum_12_1/page > /dev/null

step "submit another one and cancel it; 409 when it was faster than we are"
call "$api/backtests" -H 'Content-Type: application/json' -d '{"run_id": "'"$run-2"'", "config_yaml":
  "start_date: 2005-01-03\nend_date: 2013-03-01\nuniverse: {symbols: [AAPL, IBM]}\nstrategy: {class: BuyAndHoldStrategy}"}'
ask -X POST "$api/backtests/$run-2/cancel"
echo

step "a run beside it, and both side by side"
call "$api/backtests" -H 'Content-Type: application/json' -d '{"run_id": "'"$run-beside"'", "config_yaml":
  "start_date: 2005-01-03\nend_date: 2013-03-01\nuniverse: {symbols: [AAPL, IBM]}\nstrategy: {class: StaticUniverseStrategy}"}'
until call "$api/backtests/$run-beside" | grep -Eq '"status": ?"(completed|failed|canceled)"'; do sleep 0.2; done
call "$api/compare?runs=$run,$run-beside"
call "$api/compare/page?runs=$run,$run-beside" -o /dev/null

step "a study of a few trials, and how far the best of them can be believed"
call "$api/studies" -H 'Content-Type: application/json' -d '{"run_id": "'"$run-study"'",
  "study": {"experiment": "curl", "parameters": {"strategy.parameters.top_n": [1, 2], "broker.slippage_bps": [0, 5, 10]}},
  "base": {"start_date": "2005-01-03", "end_date": "2013-03-01", "universe": {"symbols": ["AAPL", "GOOG", "IBM", "MSFT"]},
           "strategy": {"class": "TopNSignalStrategy", "parameters": {"signal_column": "momentum_12_1", "rebalance": "monthly"}}}}'
until call "$api/backtests/$run-study" | grep -Eq '"status": ?"(completed|failed|canceled)"'; do sleep 0.2; done
call "$api/backtests/$run-study/trials?limit=3"
call "$api/backtests/$run-study/statistics" -o /dev/null
call "$api/experiments/curl"
call "$api/experiments" -o /dev/null

step "a schedule: a config that is run whenever its tables have a new day"
call -X PUT "$api/schedules/$run" -H 'Content-Type: application/json' -d '{"cron": "0 30 22 * * 1-5", "config": {
  "start_date": "2005-01-03", "universe": {"symbols": ["AAPL", "IBM"]}, "strategy": {"class": "StaticUniverseStrategy"}}}'
call "$api/schedules"
call -X DELETE "$api/schedules/$run" -o /dev/null

step "tag it, see what would be put away, delete the other one"
call -X PATCH "$api/backtests/$run" -H 'Content-Type: application/json' -d '{"tags": ["curl"], "note": "the first one"}'
call "$api/backtests/bulk" -H 'Content-Type: application/json' \
  -d '{"filter": {"tag": "curl"}, "action": "archive", "dry_run": true}'
call -X DELETE "$api/backtests/$run-beside"

printf '\n== every call answered\n'
