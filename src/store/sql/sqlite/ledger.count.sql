-- ledger.count
INSERT INTO trial_ledger (experiment, config_sha256, first_run_id, trial, first_at, submitted_by, returns_sha256,
                          sharpe_ratio, sharpe_daily, skewness, kurtosis, observations)
VALUES (:experiment, :config_sha256, :first_run_id, :trial, :first_at, :submitted_by, :returns_sha256, :sharpe_ratio,
        :sharpe_daily, :skewness, :kurtosis, :observations)
ON CONFLICT DO NOTHING;
