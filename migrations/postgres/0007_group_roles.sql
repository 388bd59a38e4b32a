-- Grants go to groups that nobody logs in as; logins are members. So it does not matter whether a login is made before
-- or after a migration, and a new table needs grants in one place. The roles of 0002 keep their names, which are those
-- of the logins, and lose what was granted to them directly.
DO $$
DECLARE
    group_role text;
BEGIN
    FOREACH group_role IN ARRAY ARRAY['backtest_api', 'backtest_executor', 'ranking_sync'] LOOP
        IF NOT EXISTS (SELECT 1 FROM pg_catalog.pg_roles WHERE rolname = group_role) THEN
            BEGIN
                EXECUTE format('CREATE ROLE %I NOLOGIN', group_role);
            EXCEPTION WHEN duplicate_object OR unique_violation THEN
                NULL; -- another database of the server was faster
            END;
        END IF;
    END LOOP;
    -- Memberships belong to the server too, and two grants of the same one at once collide.
    FOREACH group_role IN ARRAY ARRAY['api_service:backtest_api', 'backtest_service:backtest_executor',
                                      'ranking_writer:ranking_sync'] LOOP
        IF NOT pg_has_role(split_part(group_role, ':', 1), split_part(group_role, ':', 2), 'MEMBER') THEN
            BEGIN
                EXECUTE format('GRANT %I TO %I', split_part(group_role, ':', 2), split_part(group_role, ':', 1));
            EXCEPTION WHEN unique_violation OR internal_error THEN
                NULL;
            END;
        END IF;
    END LOOP;
    EXECUTE format('REVOKE TEMPORARY ON DATABASE %I FROM PUBLIC', current_database());
END
$$;

REVOKE ALL ON SCHEMA public FROM PUBLIC;

REVOKE ALL ON ALL TABLES IN SCHEMA core, backtest, ranking FROM api_service, backtest_service, ranking_writer;
REVOKE ALL ON SCHEMA core, backtest, ranking, monitoring, gold, platinum
    FROM api_service, backtest_service, ranking_writer;

GRANT USAGE ON SCHEMA core TO backtest_api, backtest_executor, ranking_sync;
GRANT SELECT ON core.schema_migrations TO backtest_api, backtest_executor, ranking_sync;

-- The API submits, lists, cancels and may clean up; an executor moves what is there.
GRANT USAGE ON SCHEMA backtest, ranking TO backtest_api, backtest_executor;
GRANT SELECT, INSERT, UPDATE, DELETE ON backtest.runs TO backtest_api;
GRANT SELECT, UPDATE ON backtest.runs TO backtest_executor;
GRANT SELECT, INSERT ON backtest.run_events TO backtest_api, backtest_executor;
GRANT SELECT ON ALL TABLES IN SCHEMA ranking TO backtest_api, backtest_executor;

-- Signals are written by one group, which creates nothing.
GRANT USAGE ON SCHEMA ranking TO ranking_sync;
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA ranking TO ranking_sync;
