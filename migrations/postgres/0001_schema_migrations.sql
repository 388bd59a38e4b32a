-- The ledger of migrations. `backtests migrate` writes a line for each file that it applied.
CREATE SCHEMA IF NOT EXISTS core;

CREATE TABLE IF NOT EXISTS core.schema_migrations (
    version     integer PRIMARY KEY,
    name        text NOT NULL,
    sha256      text NOT NULL,
    applied_at  timestamptz NOT NULL DEFAULT now(),
    applied_by  text NOT NULL DEFAULT current_user
);

COMMENT ON TABLE core.schema_migrations IS
    'Applied migrations; sha256 is over the text with LF line ends. An edited file is refused.';
