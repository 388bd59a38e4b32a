-- schema.version
SELECT max(version) AS version,
       has_table_privilege('backtest.runs', 'SELECT') AND has_table_privilege('backtest.runs', 'INSERT')
           AND has_table_privilege('backtest.runs', 'UPDATE') AND has_table_privilege('backtest.run_events', 'SELECT')
           AND has_table_privilege('backtest.run_events', 'INSERT') AS usable
FROM core.schema_migrations;
