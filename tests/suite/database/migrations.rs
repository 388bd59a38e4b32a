//! The Postgres schema: its migrations by every road, its statements, and how a database is reached.

use std::process::Command;

use backtest_functions::cli::settings::{Environment, Settings};
use backtest_functions::cli::throwaway::Server;
use backtest_functions::store::migrations::{self, MIGRATIONS, MigrateError};
use backtest_functions::store::pg::{self, Database};
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
        // What stands there may be the rest of a password, as in these two.
        (
            "postgres://u:pw@db.example/x?pw=pw",
            "does not know, number 1 of them; a password with special characters",
        ),
        ("host=db.example user=u password=pw and=pw sslmode=require", "does not know, number 4 of them"),
        ("pw", "not a Postgres connection string"),
        ("postgres:///x", "names no"),
    ] {
        let refused = Database::parse(dsn, "i").unwrap_err().to_string();
        assert!(refused.contains(expected) && !refused.contains("pw"), "{dsn}: {refused}");
    }
    for (rest, expected) in [
        ("target_session_attrs=prefer-standby", "target_session_attrs: this program writes"),
        ("target_session_attrs=read-only", "target_session_attrs: this program writes"),
        ("target_session_attrs=best", "target_session_attrs, which must be any, read-write or primary"),
        ("gssencmode=require", "gssencmode, which must be disable or prefer"),
        ("require_auth=scram-sha-256", "require_auth: "),
        ("service=acme", "service: is not read here"),
        ("passfile=/home/u/.pgpass", "passfile: is not read here"),
        ("sslcert=/c.pem", "sslcert: there are no client certificates here"),
        ("replication=database", "replication, which must be false"),
        ("client_encoding=LATIN1", "client_encoding, which must be UTF8"),
        ("ssl_min_protocol_version=TLSv1.3", "ssl_min_protocol_version, which must be"),
        ("connection_limit=5", "connection_limit: the pool is sized by BACKTEST_POSTGRES_CONNECTIONS"),
        ("port=0", "port, which must be a number from 1 to 65535"),
        ("port=1,2", "1 hosts and 2 of port; there must be one for each host, or one for all"),
        ("hostaddr=10.0.0.1,10.0.0.2", "1 hosts and 2 of hostaddr; there must be one for each host"),
        ("hostaddr=db.example", "hostaddr, which must be an IP address"),
        ("connect_timeout=soon", "connect_timeout, which must be a whole number"),
    ] {
        for dsn in [
            format!("postgres://u:pw@db.example/x?{rest}"),
            format!("host=db.example user=u password=pw {rest}"),
        ] {
            let refused = Database::parse(&dsn, "i").unwrap_err().to_string();
            assert!(refused.contains(expected) && !refused.contains("pw"), "{dsn}: {refused}");
        }
    }
    for dsn in [
        "postgres://u:pw@db.example/x?pgbouncer=true&gssencmode=prefer&client_encoding=UTF8&sslsni=1",
        "postgres://u:pw@a.example:5433,[::1]:5434,c.example/x?target_session_attrs=primary&load_balance_hosts=random",
        "host=a.example,b.example hostaddr=10.0.0.1,10.0.0.2 port=5433 user=u password=pw target_session_attrs=any",
        "postgres:///x?host=/run/postgresql&user=u&password=pw",
        "postgres://u:pw@%2Frun%2Fpostgresql:5433/x",
        "postgres://u:pw@db.example/x?ssl=true&sslnegotiation=direct&channel_binding=require&max_protocol_version=latest",
        "postgres://u:pw@db.example/x?sslmode=verify-full&sslrootcert=/ca%20s.pem&connect_timeout=3",
        "host=db.example user=u password='p w' sslmode=verify-ca sslrootcert='/c a.pem'",
        "postgresql://u:pw@localhost/x?sslmode=disable",
        "postgres://u:pw@db.example/x",
    ] {
        let database = Database::parse(dsn, "i").unwrap();
        assert!(!format!("{database:?}").contains("pw"));
    }
}

/// `migrate roles` writes connection strings that say of the server what the administrator's says, in whichever form.
#[test]
fn another_login_reaches_the_same_database() {
    for (dsn, expected) in [
        ("postgres://u:pw@db.example/x", "postgres://other:p%20w@db.example:5432/x?sslmode=verify-full"),
        (
            "host=db.example user=u password='p w'",
            "postgres://other:p%20w@db.example:5432/u?sslmode=verify-full",
        ),
        (
            "postgres://u@a.example:5433,b.example:5434/x?target_session_attrs=primary&application_name=mine",
            "postgres://other:p%20w@a.example:5433,b.example:5434/x?sslmode=verify-full&target_session_attrs=primary",
        ),
        (
            "host=a.example,b.example port=6432 dbname='x y' user=u sslmode=prefer",
            "postgres://other:p%20w@a.example:6432,b.example:6432/x%20y?sslmode=prefer",
        ),
        (
            "host=a.example hostaddr=10.0.0.1 user=u sslrootcert='/c a.pem' connect_timeout=7",
            "postgres://other:p%20w@a.example:5432/u?sslmode=verify-full&sslrootcert=%2Fc%20a%2Epem\
             &hostaddr=10%2E0%2E0%2E1&connect_timeout=7",
        ),
        ("hostaddr=::1 user=u", "postgres://other:p%20w@[::1]:5432/u"),
        ("host=/run/postgresql user=u dbname=x", "postgres://other:p%20w@%2Frun%2Fpostgresql:5432/x"),
        (
            "postgres://u@localhost:5433/x?options=-c%20a%3Db",
            "postgres://other:p%20w@localhost:5433/x?options=-c%20a%3Db",
        ),
    ] {
        let written = Database::parse(dsn, "i").unwrap().dsn_of("other", "p w");
        assert_eq!(written, expected, "{dsn}");
        // What it says is what it was made from.
        let again = Database::parse(&written, "i").unwrap();
        assert_eq!(again.dsn_of("other", "p w"), expected, "{dsn}");
        assert!(again.has_password("p w"));
    }
}

/// The first of two hosts is silent or takes no writes: the other one is found, by the driver and by `psql`.
#[tokio::test]
async fn the_host_that_takes_writes_is_found_among_several() {
    let Some(dsn) = postgres::database() else { return };
    let Some(psql) = postgres::psql() else { return };
    let at = url::Url::parse(&dsn).unwrap();
    let (port, name) = (at.port().unwrap(), &at.path()[1..]);
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let forms = [
        format!(
            "postgres://postgres@127.0.0.1:{closed},localhost:{port}/{name}?target_session_attrs=primary"
        ),
        format!(
            "host=localhost,localhost hostaddr=127.0.0.1,127.0.0.1 port={closed},{port} user=postgres \
                 dbname={name} target_session_attrs=read-write"
        ),
        format!(
            "hostaddr=127.0.0.1 port={port} user=postgres dbname={name} gssencmode=disable pgbouncer=true"
        ),
    ];
    for dsn in &forms {
        let database = Database::parse(dsn, "test").unwrap();
        let written = Database::parse(&database.dsn_of("postgres", "none is asked"), "test").unwrap();
        for database in [&database, &written] {
            let found = database.connect().await.unwrap();
            let row = found.query_typed_one("SELECT current_database()::text", &[]).await.unwrap();
            assert_eq!(row.get::<_, &str>(0), name, "{dsn}");
            let pool = database.pool(1).unwrap();
            assert_eq!(pg::query(&pool, "SELECT 1", &[]).await.unwrap().len(), 1);
            let said = Command::new(&psql)
                .args(["--no-psqlrc", "--tuples-only", "--no-align", "--command=SELECT current_database()"])
                .env_clear()
                .envs(database.libpq_environment("system"))
                .output()
                .unwrap();
            let text =
                String::from_utf8_lossy(&said.stdout).into_owned() + &String::from_utf8_lossy(&said.stderr);
            assert_eq!(text.trim(), name, "{dsn}");
        }
    }
}

#[tokio::test]
async fn the_database_is_made_where_that_is_asked() {
    let Some(dsn) = postgres::empty_database() else { return };
    let new = dsn.clone() + "-New \"one\"";
    let new = new.replace(' ', "%20").replace('"', "%22");
    let migrate = |arguments: &[&str]| {
        let output = program().arg("migrate").args(arguments).env("POSTGRES_DSN", &new).output().unwrap();
        (
            output.status.code(),
            String::from_utf8(output.stdout).unwrap() + &String::from_utf8_lossy(&output.stderr),
        )
    };
    let (code, said) = migrate(&["up"]);
    assert!(code == Some(1) && said.contains("migrate up --create-database"), "{said}");
    let (code, said) = migrate(&["up", "--create-database", "--dry-run"]);
    assert!(
        code == Some(0) && said.contains("would make database") && said.contains("would apply 0001"),
        "{said}"
    );
    assert_eq!(migrate(&["status"]).0, Some(1), "nothing was made");
    let (code, said) = migrate(&["up", "--create-database"]);
    assert!(code == Some(0) && said.contains("made database") && said.contains("applied 0001"), "{said}");
    assert_eq!(migrate(&["up", "--create-database"]).1.trim(), "nothing to apply");
    let (code, said) = migrate(&["up", "--create-database", "--via", "psql"]);
    assert!(code == Some(2) && said.contains("--via driver"), "{said}");
}

/// Readiness says what the server said, and no secret.
#[tokio::test]
async fn readiness_has_the_words_of_the_server() {
    let Some(dsn) = postgres::database() else { return };
    let home = Home::empty();
    let name = url::Url::parse(&dsn).unwrap().path()[1..].to_owned();
    let nowhere = dsn.replace(&format!("/{name}"), "/nowhere");
    let stranger = Database::parse(&dsn, "test").unwrap().dsn_of("nobody_at_all", "a-secret-word");
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let refused = format!("postgres://postgres:a-secret-word@127.0.0.1:{closed}/x");
    for (dsn, words) in [
        (nowhere, "database \"nowhere\" does not exist"),
        (stranger, "\"nobody_at_all\""),
        (refused, "Connection refused"),
    ] {
        let settings = [("BACKTEST_RUN_STORE_MODE", "postgres"), ("POSTGRES_DSN", dsn.as_str())];
        let handler = home.handler(&settings).await;
        let answer = handler.get("/api/readyz").await;
        assert_eq!(answer.status.as_u16(), 503);
        let message = answer.json()["parts"]["run_store"]["message"].as_str().unwrap().to_owned();
        assert!(message.contains(words) && !message.contains("a-secret-word"), "{message}");
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
