-- ledger.experiments
WITH tried AS (
    SELECT experiment, first_run_id, trial, first_at, submitted_by, returns_sha256, sharpe_ratio, sharpe_daily,
           skewness, kurtosis, observations,
           returns_sha256 IS NOT NULL AND 1 = row_number() OVER (
               PARTITION BY experiment, returns_sha256 ORDER BY first_at, first_run_id, trial, config_sha256) AS is_first,
           row_number() OVER (
               PARTITION BY experiment
               ORDER BY round(sharpe_ratio::numeric, 12) DESC NULLS LAST, first_at, first_run_id, trial, config_sha256) AS place
    FROM backtest.trial_ledger
    WHERE $1::text IS NULL OR experiment = $1
), centred AS (
    SELECT tried.*, sharpe_daily - avg(sharpe_daily) FILTER (WHERE is_first) OVER (PARTITION BY experiment) AS apart
    FROM tried
)
SELECT experiment,
       count(*) AS trials,
       count(*) FILTER (WHERE is_first) AS distinct_trials,
       count(*) FILTER (WHERE returns_sha256 IS NULL) AS failed,
       min(first_at) AS first_at,
       max(first_at) AS last_at,
       count(DISTINCT submitted_by) AS people,
       coalesce(sum(apart * apart) FILTER (WHERE is_first)
                / nullif(count(sharpe_daily) FILTER (WHERE is_first) - 1, 0), 0.0) AS variance,
       max(first_run_id) FILTER (WHERE place = 1) AS best_run_id,
       max(trial) FILTER (WHERE place = 1) AS best_trial,
       max(sharpe_ratio) FILTER (WHERE place = 1) AS best_sharpe_ratio,
       max(sharpe_daily) FILTER (WHERE place = 1) AS best_sharpe_daily,
       max(skewness) FILTER (WHERE place = 1) AS best_skewness,
       max(kurtosis) FILTER (WHERE place = 1) AS best_kurtosis,
       max(observations) FILTER (WHERE place = 1) AS best_observations
FROM centred
GROUP BY experiment
ORDER BY experiment;
