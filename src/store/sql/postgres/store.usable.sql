-- store.usable
-- Privileges are checked before a row is looked for: this tries what a run store does, and changes nothing.
WITH moved AS (
    UPDATE backtest.runs SET version = version WHERE false RETURNING run_id
), submitted AS (
    INSERT INTO backtest.runs (run_id, status, config_json, effective_config_json)
    SELECT '', '', '', '' WHERE false RETURNING run_id
), told AS (
    INSERT INTO backtest.run_events (run_id, version, event, fence, actor, detail)
    SELECT '', 0, '', 0, '', '{}' WHERE false RETURNING run_id
), scheduled AS (
    INSERT INTO backtest.schedules (name, config_json, cron, run_when)
    SELECT '', '', '', 'new_data' WHERE false RETURNING name
)
SELECT max(version) AS version FROM core.schema_migrations;
