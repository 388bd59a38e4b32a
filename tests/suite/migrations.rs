//! The Postgres schema: its migrations by every road, its statements, and how a database is reached.

use std::process::Command;

use backtest_functions::cli::settings::{Environment, Settings};
use backtest_functions::cli::throwaway::Server;
use backtest_functions::store::migrations::{self, MIGRATIONS, MigrateError};
use backtest_functions::store::pg::Database;
use serde_json::json;
use tokio_postgres::Client;

use crate::support::postgres;
use crate::support::service::{Home, eventually, momentum, program, project};

async fn connect(dsn: &str) -> Client {
    Database::parse(dsn, "test").unwrap().connect().await.unwrap()
}

#[test]
fn every_file_is_in_the_list() {
    let mut files: Vec<String> = std::fs::read_dir(project("migrations/postgres"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    files.sort();
    let listed: Vec<String> = MIGRATIONS.iter().map(|migration| format!("{}.sql", migration.name)).collect();
    assert_eq!(files, listed);
    assert!(MIGRATIONS.is_sorted_by_key(|migration| migration.version));
    for migration in MIGRATIONS {
        assert!(migration.name.starts_with(&format!("{:04}_", migration.version)));
        assert!(!migration.sql.contains("BEGIN;") && !migration.sql.contains("COMMIT;"));
    }
}

#[tokio::test]
async fn up_again_is_harmless() {
    let Some(dsn) = postgres::empty_database() else { return };
    let mut client = connect(&dsn).await;
    assert_eq!(migrations::up(&mut client).await.unwrap().len(), MIGRATIONS.len());
    assert!(migrations::up(&mut client).await.unwrap().is_empty());
    assert!(migrations::verify(&client).await.unwrap().iter().all(|one| one.applied_at.is_some()));
}

#[tokio::test]
async fn an_edited_file_is_refused() {
    let Some(dsn) = postgres::database() else { return };
    let mut client = connect(&dsn).await;
    client.batch_execute("UPDATE core.schema_migrations SET sha256 = 'x' WHERE version = 3").await.unwrap();
    let refused = migrations::up(&mut client).await.unwrap_err();
    assert!(matches!(refused, MigrateError::Edited { name: "0003_ranking_signals" }), "{refused}");
}

#[tokio::test]
async fn a_database_of_a_later_version_is_named() {
    let Some(dsn) = postgres::database() else { return };
    let mut client = connect(&dsn).await;
    let later = "INSERT INTO core.schema_migrations (version, name, sha256) VALUES (99, '0099_later', 'x')";
    client.batch_execute(later).await.unwrap();
    let refused = migrations::up(&mut client).await.unwrap_err();
    assert!(matches!(refused, MigrateError::Later { found: 99 }), "{refused}");
}

#[tokio::test]
async fn runners_at_once_take_turns() {
    let Some(dsn) = postgres::empty_database() else { return };
    let runners = (0..4).map(|_| {
        let dsn = dsn.clone();
        tokio::spawn(async move { migrations::up(&mut connect(&dsn).await).await.unwrap().len() })
    });
    let mut applied = 0;
    for runner in runners.collect::<Vec<_>>() {
        applied += runner.await.unwrap();
    }
    assert_eq!(applied, MIGRATIONS.len());
}

#[tokio::test]
async fn each_file_runs_by_psql_and_again() {
    let (Some(dsn), Some(psql)) = (postgres::empty_database(), postgres::psql()) else { return };
    for migration in MIGRATIONS.iter().chain(MIGRATIONS) {
        let file = project(&format!("migrations/postgres/{}.sql", migration.name));
        let output = Command::new(&psql)
            .args(["-X", "-q", "-v", "ON_ERROR_STOP=1", "-f"])
            .arg(file)
            .args(["-d", &dsn])
            .output()
            .unwrap();
        assert!(output.status.success(), "{}: {}", migration.name, String::from_utf8_lossy(&output.stderr));
    }
    // The runner then finds everything in place and only writes its ledger.
    assert_eq!(migrations::up(&mut connect(&dsn).await).await.unwrap().len(), MIGRATIONS.len());
}

/// `--via psql` and `--via docker`, whose stand-in records what it is told and then runs the real `psql`: SQL by standard
/// input, the password by the environment, neither as an argument.
#[tokio::test]
async fn migrations_by_way_of_psql() {
    let Some(psql) = postgres::psql() else { return };
    let home = Home::empty();
    let docker = home.path().join("docker");
    let script = "#!/bin/sh\nprintf '%s\\n' \"$@\" >\"$0.arguments\"\ntee \"$0.input\" | \
                  { while [ \"$1\" != psql ]; do shift; done; exec \"$@\"; }\n";
    std::fs::write(&docker, script).unwrap();
    std::fs::set_permissions(&docker, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let path = format!("{}:{}:/usr/bin:/bin", home.path().display(), psql.parent().unwrap().display());
    for via in ["psql", "docker"] {
        let Some(dsn) = postgres::empty_database() else { return };
        let dsn = dsn.replace("postgres@", "postgres:not-for-your-eyes@");
        let migrate = |arguments: &[&str]| {
            let mut program = program();
            program.env("PATH", &path).env("POSTGRES_DSN", &dsn).arg("migrate").args(arguments);
            let output = program.args(["--via", via]).output().unwrap();
            let said = [output.stdout, output.stderr].concat();
            let said = String::from_utf8(said).unwrap();
            assert!(!said.contains("not-for-your-eyes"), "{said}");
            (output.status.code(), said)
        };
        assert!(migrate(&["verify"]).1.contains("missing: 0001_schema_migrations"));
        assert!(migrate(&["up", "--dry-run"]).1.contains("would apply 0001_schema_migrations"));
        let (code, said) = migrate(&["up"]);
        assert!(code == Some(0) && said.lines().count() == MIGRATIONS.len(), "{said}");
        assert_eq!(migrate(&["up"]).1.trim(), "nothing to apply");
        assert_eq!(migrate(&["verify"]).0, Some(0));
        assert!(!migrate(&["status"]).1.contains("missing"));
        let client = connect(&dsn).await;
        assert!(migrations::verify(&client).await.unwrap().iter().all(|one| one.applied_at.is_some()));
        client
            .batch_execute("UPDATE core.schema_migrations SET sha256 = 'x' WHERE version = 3")
            .await
            .unwrap();
        assert!(migrate(&["up"]).1.contains("0003_ranking_signals was edited"));
    }
    let read = |ending: &str| std::fs::read_to_string(format!("{}.{ending}", docker.display())).unwrap();
    assert!(
        read("arguments").contains("--env=PGPASSWORD\n") && read("input").contains("core.schema_migrations")
    );
    assert!(!(read("arguments") + &read("input")).contains("not-for-your-eyes"));
    // A program that is not there, and a server that refuses.
    let mut absent = program();
    absent.env("PATH", "").env("POSTGRES_DSN", "postgres://u:not-for-your-eyes@127.0.0.1:1/x");
    let output = absent.args(["migrate", "up", "--via", "psql"]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8(output.stderr).unwrap().contains("run psql"));
}

#[tokio::test]
async fn a_run_from_before_leases_gets_one() {
    let Some(dsn) = postgres::empty_database() else { return };
    let mut client = connect(&dsn).await;
    for migration in &MIGRATIONS[..4] {
        client.batch_execute(migration.sql).await.unwrap();
    }
    let rows = "INSERT INTO backtest.runs (run_id, status, config_json, effective_config_json) \
                VALUES ('old', 'running', '{}', '{}'), ('older', 'completed', '{}', '{}')";
    client.batch_execute(rows).await.unwrap();
    migrations::up(&mut client).await.unwrap();
    let question = "SELECT run_id, status, submitted_at, started_at, completed_at, run_name, error FROM backtest.runs \
                    WHERE lease_owner IS NOT NULL ORDER BY submitted_at DESC LIMIT 25";
    let row = client.query_one(question, &[]).await.unwrap();
    assert_eq!(row.get::<_, String>("run_id"), "old");
}

/// A migration does not queue behind a long read, where every later statement would wait too.
#[tokio::test]
async fn a_migration_that_must_wait_gives_up() {
    let Some(dsn) = postgres::empty_database() else { return };
    let mut client = connect(&dsn).await;
    for migration in &MIGRATIONS[..4] {
        client.batch_execute(migration.sql).await.unwrap();
    }
    let reader = connect(&dsn).await;
    reader.batch_execute("BEGIN; SELECT FROM backtest.runs").await.unwrap();
    let refused = migrations::up(&mut client).await.unwrap_err();
    assert!(refused.to_string().contains("0005_run_execution"), "{refused}");
    assert!(format!("{refused:?}").contains("lock timeout"), "{refused:?}");
    reader.batch_execute("COMMIT").await.unwrap();
    migrations::up(&mut client).await.unwrap();
}

#[tokio::test]
async fn every_statement_fits_the_schema() {
    let Some(dsn) = postgres::database() else { return };
    let client = connect(&dsn).await;
    for entry in std::fs::read_dir(project("src/store/sql/postgres")).unwrap() {
        let path = entry.unwrap().path();
        let statement = std::fs::read_to_string(&path).unwrap();
        client.prepare(&statement).await.unwrap_or_else(|error| panic!("{}: {error:?}", path.display()));
    }
}

#[tokio::test]
async fn no_index_names_a_column_that_a_beat_writes() {
    let Some(dsn) = postgres::database() else { return };
    let client = connect(&dsn).await;
    let indexed = "SELECT count(*) FROM pg_indexes WHERE schemaname = 'backtest' \
                   AND indexdef ~ 'lease_expires_at|heartbeat_at|progress|updated_at'";
    assert_eq!(client.query_one(indexed, &[]).await.unwrap().get::<_, i64>(0), 0);
}

#[tokio::test]
async fn the_service_keeps_its_runs_in_postgres() {
    let Some(dsn) = postgres::empty_database() else { return };
    let home = Home::with_prices();
    let settings = [("BACKTEST_RUN_STORE_MODE", "postgres"), ("POSTGRES_DSN", dsn.as_str())];
    let handler = home.handler(&settings).await;
    let ready = handler.get("/api/readyz").await;
    assert_eq!(ready.status.as_u16(), 503);
    assert!(ready.json()["parts"]["run_store"]["message"].as_str().unwrap().contains("backtests migrate up"));

    let migrate = |arguments: &[&str]| {
        let output = program().arg("migrate").args(arguments).env("POSTGRES_DSN", &dsn).output().unwrap();
        (output.status.code(), String::from_utf8(output.stdout).unwrap())
    };
    assert_eq!(migrate(&["verify"]).0, Some(1));
    assert!(migrate(&["up", "--dry-run"]).1.contains("would apply 0005_run_execution"));
    assert!(migrate(&["up"]).1.contains("applied 0005_run_execution"));
    assert_eq!(migrate(&["up"]).1.trim(), "nothing to apply");
    assert!(!migrate(&["status"]).1.contains("missing"));
    assert_eq!(migrate(&["verify"]).0, Some(0));

    let ready = handler.get("/api/readyz").await.json();
    assert_eq!(
        ready["parts"]["run_store"],
        json!({ "state": "ok", "mode": "postgres", "schema_version": migrations::NEEDED })
    );
    handler.submit(&json!({ "config": momentum(), "run_id": "r" })).await;
    let other = home.handler(&settings).await;
    tokio::join!(handler.wake("r"), other.wake("r"));
    let run = other.run("r").await;
    assert_eq!((&run["status"], &run["attempt"]), (&json!("completed"), &json!(1)), "{run}");
}

#[test]
fn a_connection_string_is_strict_and_secret() {
    for (dsn, expected) in [
        ("postgres://u:pw@db.example/x?sslmode=disable", "only for hosts of this machine"),
        ("host=db.example user=u password=pw sslmode=disable", "only for hosts of this machine"),
        ("postgres://u:pw@db.example/x?sslmode=often", "sslmode"),
        ("postgres://u:pw@db.example/x?pw=pw", "no Postgres connection string"),
        ("pw", "no Postgres connection string"),
        ("postgres:///x", "names no"),
    ] {
        let refused = Database::parse(dsn, "i").unwrap_err().to_string();
        assert!(refused.contains(expected) && !refused.contains("pw"), "{dsn}: {refused}");
    }
    for dsn in [
        "postgres://u:pw@db.example/x?sslmode=verify-full&sslrootcert=/ca%20s.pem&connect_timeout=3",
        "host=db.example user=u password='p w' sslmode=verify-ca sslrootcert='/c a.pem'",
        "postgresql://u:pw@localhost/x?sslmode=disable",
        "postgres://u:pw@db.example/x",
    ] {
        let database = Database::parse(dsn, "i").unwrap();
        assert!(!format!("{database:?}").contains("pw"));
    }
}

#[test]
fn postgres_mode_needs_one_connection_string() {
    let read = |pairs: &[(&str, &str)]| {
        let environment: Environment =
            pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Settings::from(&environment).map_err(|error| error.to_string())
    };
    let mode = ("BACKTEST_RUN_STORE_MODE", "pg");
    let (one, two) = ("postgres://u:pw@localhost/x", "postgres://u:pw@localhost/y");
    assert!(read(&[mode]).unwrap_err().contains("POSTGRES_DSN: must be set"));
    let differ = read(&[mode, ("POSTGRES_DSN", one), ("BACKTEST_POSTGRES_DSN", two)]).unwrap_err();
    assert!(differ.contains("BACKTEST_POSTGRES_DSN: differs") && !differ.contains("pw"));
    for name in ["POSTGRES_DSN", "BACKTEST_POSTGRES_DSN"] {
        let settings = read(&[mode, (name, one)]).unwrap();
        assert!(settings.postgres.as_ref().unwrap().has_password("pw"));
        assert!(!format!("{settings:?}").contains("pw"));
    }
}

/// Chain and host name are verified, whatever the mode is called; a plain server is not taken for an encrypted one.
#[tokio::test]
async fn tls_is_verified() {
    let Some(_) = postgres::psql() else { return };
    let server = Server::start(false).await.unwrap().unwrap();
    let admin = connect(&server.dsn("postgres")).await;
    let data: String = admin.query_one("SHOW data_directory", &[]).await.unwrap().get(0);
    let home = Home::empty();
    let script = r#"
        set -e
        make() { openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 "$@" 2>/dev/null; }
        make -keyout ca.key -out ca.pem -subj /CN=ours
        make -keyout other.key -out other.pem -subj /CN=theirs
        make -keyout server.key -out server.crt -subj /CN=localhost -addext subjectAltName=DNS:localhost \
             -addext basicConstraints=critical,CA:FALSE -CA ca.pem -CAkey ca.key
        chmod 600 server.key
        cp server.key server.crt "$DATA"
        chown --reference="$DATA" "$DATA/server.key" "$DATA/server.crt"
    "#;
    let made = Command::new("sh").args(["-c", script]).env("DATA", &data).current_dir(home.path()).status();
    assert!(made.unwrap().success(), "openssl makes certificates");
    admin.batch_execute("ALTER SYSTEM SET ssl = on").await.unwrap();
    admin.batch_execute("SELECT pg_reload_conf()").await.unwrap();

    let at = |host: &str, mode: &str, root: &str| {
        let dsn = server.dsn("postgres").replace("127.0.0.1", host);
        format!("{dsn}?sslmode={mode}&sslrootcert={}", home.path().join(root).display())
    };
    let encrypted = "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()";
    eventually("the server speaks TLS", async || {
        Database::parse(&at("localhost", "require", "ca.pem"), "test").unwrap().connect().await.ok()
    })
    .await;
    for mode in ["require", "verify-ca", "verify-full", "prefer"] {
        let client = connect(&at("localhost", mode, "ca.pem")).await;
        assert!(client.query_one(encrypted, &[]).await.unwrap().get::<_, bool>(0), "{mode}");
        for (host, root) in [("127.0.0.1", "ca.pem"), ("localhost", "other.pem")] {
            let refused =
                Database::parse(&at(host, mode, root), "test").unwrap().connect().await.unwrap_err();
            let why = format!("{refused:?}");
            assert!(why.contains("Certificate"), "{mode} {host} {root}: {why}");
        }
    }
    let missing = Database::parse(&at("localhost", "require", "none.pem"), "test").unwrap().connect().await;
    assert!(missing.unwrap_err().to_string().contains("none.pem"));
    // Plain text, only because this is the same machine.
    let plain = connect(&at("localhost", "disable", "ca.pem")).await;
    assert!(!plain.query_one(encrypted, &[]).await.unwrap().get::<_, bool>(0));
}

/// Tables of the page with their columns and types, in order.
fn documented() -> std::collections::BTreeMap<String, Vec<(String, String)>> {
    let page = std::fs::read_to_string(project("migrations/README.md")).unwrap();
    let (mut tables, mut table) = (std::collections::BTreeMap::<_, Vec<_>>::new(), String::new());
    for line in page.lines() {
        if let Some(name) = line.strip_prefix("## ") {
            table = name.to_owned();
        } else if let Some(row) = line.strip_prefix("| `") {
            let cells: Vec<&str> = row.split(" | ").collect();
            assert!(cells.len() == 3 && cells[2].len() > 4, "{line}: column, type and meaning");
            let column = cells[0].trim_end_matches('`').to_owned();
            tables.entry(table.clone()).or_default().push((column, cells[1].to_owned()));
        }
    }
    tables
}

#[tokio::test]
async fn the_page_of_tables_is_the_migrated_schema() {
    let Some(dsn) = postgres::database() else { return };
    let client = connect(&dsn).await;
    let columns = "SELECT c.oid::regclass::text, a.attname, format_type(a.atttypid, a.atttypmod)
                   FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
                   WHERE c.relnamespace = 'backtest'::regnamespace AND c.relkind = 'r' AND a.attnum > 0
                     AND NOT a.attisdropped
                   ORDER BY c.oid, a.attnum";
    let mut migrated = std::collections::BTreeMap::<String, Vec<(String, String)>>::new();
    for row in client.query(columns, &[]).await.unwrap() {
        let kind = row.get::<_, String>(2).replace("timestamp with time zone", "timestamptz");
        migrated.entry(row.get(0)).or_default().push((row.get(1), kind));
    }
    assert_eq!(documented(), migrated);
}

#[test]
fn the_embedded_store_has_the_same_columns() {
    let file = rusqlite::Connection::open_in_memory().unwrap();
    let mut files: Vec<_> =
        std::fs::read_dir(project("migrations/sqlite")).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    for path in files {
        file.execute_batch(&std::fs::read_to_string(path).unwrap()).unwrap();
    }
    for (table, columns) in documented() {
        let name = table.strip_prefix("backtest.").unwrap();
        let mut named = file.prepare("SELECT name FROM pragma_table_info(?1) ORDER BY name").unwrap();
        let named: Vec<String> =
            named.query_map([name], |row| row.get(0)).unwrap().collect::<Result<_, _>>().unwrap();
        let mut expected: Vec<String> = columns.into_iter().map(|(column, _)| column).collect();
        expected.sort();
        assert_eq!(named, expected, "{table}");
    }
}
