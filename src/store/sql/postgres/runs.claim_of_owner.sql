-- runs.claim_of_owner
SELECT detail ->> 'from' AS taken_from
FROM backtest.run_events
WHERE run_id = $1 AND actor = $2 AND event IN ('claimed', 'taken_over')
ORDER BY version DESC
LIMIT 1;
