-- ledger.count
WITH held AS (
    SELECT experiment, study_id, submitted_by
    FROM backtest.runs
    WHERE run_id = $1 AND status = 'running' AND fence = $2 AND study_id IS NOT NULL AND experiment IS NOT NULL
)
INSERT INTO backtest.trial_ledger (experiment, config_sha256, first_run_id, trial, submitted_by, returns_sha256,
                                   sharpe_ratio, sharpe_daily, skewness, kurtosis, observations)
SELECT held.experiment, given.config_sha256, held.study_id, given.trial, held.submitted_by, given.returns_sha256,
       given.sharpe_ratio, given.sharpe_daily, given.skewness, given.kurtosis, given.observations
FROM held, unnest($3::text[], $4::int[], $5::text[], $6::float8[], $7::float8[], $8::float8[], $9::float8[], $10::int[])
    AS given (config_sha256, trial, returns_sha256, sharpe_ratio, sharpe_daily, skewness, kurtosis, observations)
ON CONFLICT DO NOTHING;
