-- signals.lock
SELECT pg_advisory_xact_lock($1::int4, $2::int4);
