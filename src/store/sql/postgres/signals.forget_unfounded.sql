-- signals.forget_unfounded
DELETE FROM ranking.signal_sync_day AS day
WHERE day.year_month = $1::text
  AND NOT EXISTS (SELECT 1 FROM ranking.signal_sync_state AS state
                  WHERE state.year_month = $1::text AND state.files_digest IS NOT NULL);
