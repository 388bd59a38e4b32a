-- Schemas, and the group roles that grants are made to. Logins are members of a group, so that it does not matter
-- whether a login is made before or after a migration. Roles belong to the server: another database of it, or
-- another runner at the same moment, may have made them.
CREATE SCHEMA IF NOT EXISTS core;
CREATE SCHEMA IF NOT EXISTS backtest;
CREATE SCHEMA IF NOT EXISTS ranking;
CREATE SCHEMA IF NOT EXISTS monitoring;
CREATE SCHEMA IF NOT EXISTS gold;
CREATE SCHEMA IF NOT EXISTS platinum;

DO $$
DECLARE
    group_role text;
BEGIN
    FOREACH group_role IN ARRAY ARRAY['api_service', 'backtest_service', 'ranking_writer'] LOOP
        IF NOT EXISTS (SELECT 1 FROM pg_catalog.pg_roles WHERE rolname = group_role) THEN
            BEGIN
                EXECUTE format('CREATE ROLE %I NOLOGIN', group_role);
            EXCEPTION WHEN duplicate_object OR unique_violation THEN
                NULL;
            END;
        END IF;
    END LOOP;
END
$$;

GRANT USAGE ON SCHEMA core, backtest, ranking, monitoring, gold, platinum TO api_service, backtest_service;
GRANT USAGE ON SCHEMA core, ranking TO ranking_writer;
GRANT SELECT ON core.schema_migrations TO api_service, backtest_service, ranking_writer;
