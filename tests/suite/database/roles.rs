//! Logins and what they may do: the whole matrix of grants, passwords that are never seen, Entra principals.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Output;
use std::sync::Arc;
use std::time::Duration;

use backtest_functions::cli::throwaway::Server;
use backtest_functions::store::migrations;
use backtest_functions::store::pg::{self, Database, Passwords, PgError};
use backtest_functions::store::roles::{self, Login};
use backtest_functions::store::runs::{Claimant, RunStore as _};
use backtest_functions::work::chain;
use serde_json::json;
use tokio_postgres::Client;

use crate::support::postgres;
use crate::support::service::{Home, eventually, momentum, program, run_well};

/// Roles belong to the server that all tests share, so those that change logins take turns.
pub(crate) static LOGINS: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

async fn connect(dsn: &str) -> Client {
    Database::parse(dsn, "test").unwrap().connect().await.unwrap()
}

/// Runs `backtests migrate roles`.
fn migrate_roles(dsn: &str, arguments: &[&str], passwords: &[(&str, &str)]) -> Output {
    let mut program = program();
    program.args(["migrate", "roles"]).args(arguments).env("POSTGRES_DSN", dsn);
    program.envs(passwords.iter().copied()).output().unwrap()
}

fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// Makes the logins, both slots of each.
fn make_both_slots(dsn: &str) {
    let only: Vec<&str> = roles::LOGINS.iter().flat_map(|login| ["--only", login.name]).collect();
    let made = migrate_roles(dsn, &only, &[]);
    assert!(made.status.success(), "{}", text(&made));
}

/// `TABLE: privileges` of everything that a group may touch, and nothing else.
#[tokio::test]
async fn the_matrix_of_grants() {
    let Some(dsn) = postgres::database() else { return };
    let _turn = LOGINS.lock().await;
    make_both_slots(&dsn);
    let client = connect(&dsn).await;
    let question = "
        SELECT roles.name, relation.oid::regclass::text,
               concat(CASE WHEN has_table_privilege(roles.name, relation.oid, 'SELECT') THEN 'r' END,
                      CASE WHEN has_table_privilege(roles.name, relation.oid, 'INSERT') THEN 'c' END,
                      CASE WHEN has_table_privilege(roles.name, relation.oid, 'UPDATE') THEN 'u' END,
                      CASE WHEN has_table_privilege(roles.name, relation.oid, 'DELETE') THEN 'd' END,
                      CASE WHEN has_table_privilege(roles.name, relation.oid, 'TRUNCATE, REFERENCES, TRIGGER')
                           THEN '!' END)
        FROM unnest($1::text[]) AS roles (name),
             pg_class AS relation
        WHERE relation.relkind IN ('r', 'v', 'm', 'p', 'S', 'f')
          AND relation.relnamespace::regnamespace::text
              IN ('core', 'backtest', 'ranking', 'monitoring', 'gold', 'platinum', 'public')";
    let mut found: BTreeMap<String, BTreeMap<String, String>> = BTreeMap::new();
    let names = roles::LOGINS.map(|login| login.name);
    for row in client.query(question, &[&names.as_slice()]).await.unwrap() {
        let privileges: String = row.get(2);
        if !privileges.is_empty() {
            found.entry(row.get(0)).or_default().insert(row.get(1), privileges);
        }
    }
    let ranking = ["ranking.ranking_signal", "ranking.composite_signal_daily", "ranking.signal_sync_state"];
    let (events, ledger) = (("backtest.run_events", "rc"), ("backtest.trial_ledger", "rc"));
    let schedules = ("backtest.schedules", "rcud");
    for (role, own, signals) in [
        ("api_service", [("backtest.runs", "rcud"), events, ledger, schedules].as_slice(), "r"),
        ("backtest_service", &[("backtest.runs", "ru"), events, ledger], "r"),
        ("ranking_writer", &[], "rcud"),
    ] {
        let of = found.remove(role).unwrap();
        assert_eq!(found.remove(&format!("{role}_b")).unwrap(), of, "a slot may do what the other may");
        let is_ranking = |table: &String| table.starts_with("ranking.");
        assert!(
            of.iter().filter(|(table, _)| is_ranking(table)).all(|(_, may)| may == signals),
            "{role}: {of:?}"
        );
        assert!(ranking.iter().all(|table| of.contains_key(*table)), "{role}: {of:?}");
        let rest: BTreeMap<&str, &str> = of
            .iter()
            .filter(|(table, _)| !is_ranking(table))
            .map(|(t, may)| (t.as_str(), may.as_str()))
            .collect();
        let mut expected: BTreeMap<&str, &str> = own.iter().copied().collect();
        expected.insert("core.schema_migrations", "r");
        assert_eq!(rest, expected, "{role}");
    }
    assert!(found.is_empty(), "{found:?}");
}

/// No login and nobody else creates anything: no table, no schema, no temporary table.
#[tokio::test]
async fn nobody_creates_anything() {
    let Some(dsn) = postgres::empty_database() else { return };
    let _turn = LOGINS.lock().await;
    let mut client = connect(&dsn).await;
    // A copy of a migrated database would lack what was revoked from the database itself.
    migrations::up(&mut client).await.unwrap();
    make_both_slots(&dsn);
    // An unprivileged role stands for everybody. Roles are shared, so it may be there already.
    let stranger =
        "DO $$ BEGIN CREATE ROLE stranger NOLOGIN; EXCEPTION WHEN duplicate_object THEN NULL; END $$";
    client.batch_execute(stranger).await.unwrap();
    let question = "
        SELECT roles.name, schemas.name
        FROM unnest($1::text[] || 'stranger'::text) AS roles (name),
             unnest(ARRAY['core', 'backtest', 'ranking', 'monitoring', 'gold', 'platinum', 'public']) AS schemas (name)
        WHERE has_schema_privilege(roles.name, schemas.name, 'CREATE')
           OR has_database_privilege(roles.name, current_database(), 'CREATE, TEMPORARY')
           OR (roles.name = 'stranger' AND has_schema_privilege(roles.name, schemas.name, 'USAGE'))
           OR (roles.name LIKE 'ranking_writer%' AND schemas.name = 'backtest'
               AND has_schema_privilege(roles.name, schemas.name, 'USAGE'))";
    let names = roles::LOGINS.map(|login| login.name);
    let allowed = client.query(question, &[&names.as_slice()]).await.unwrap();
    let allowed: Vec<(String, String)> = allowed.iter().map(|row| (row.get(0), row.get(1))).collect();
    assert!(allowed.is_empty(), "{allowed:?}");
}

#[tokio::test]
async fn logins_get_passwords_that_nobody_sees() {
    let Some(dsn) = postgres::database() else { return };
    let _turn = LOGINS.lock().await;
    let home = Home::empty();
    let file = home.path().join("secrets.env");
    let path = file.to_str().unwrap();

    let made = migrate_roles(&dsn, &["--secrets-file", path], &[]);
    assert!(made.status.success(), "{}", text(&made));
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let connections = |file: &std::path::Path| -> BTreeMap<String, String> {
        let text = std::fs::read_to_string(file).unwrap();
        text.lines().map(|line| line.split_once('=').unwrap()).map(|(k, v)| (k.into(), v.into())).collect()
    };
    let first = connections(&file);
    assert_eq!(
        first.keys().collect::<Vec<_>>(),
        ["API_SERVICE_DSN", "BACKTEST_SERVICE_DSN", "RANKING_WRITER_DSN"]
    );
    for dsn in first.values() {
        connect(dsn).await;
        let password = dsn.split([':', '@']).nth(2).unwrap();
        assert!(password.len() == 32 && !text(&made).contains(password));
    }

    // Again: every password is another one, and the old one opens nothing.
    assert!(migrate_roles(&dsn, &["--secrets-file", path], &[]).status.success());
    let second = connections(&file);
    for (name, old) in &first {
        assert_ne!(old, &second[name]);
        assert!(Database::parse(old, "test").unwrap().connect().await.is_err());
    }

    // One login only, with a password that was given; it stands nowhere in the output.
    let given = "a/pass word?with@signs";
    let one = migrate_roles(
        &dsn,
        &["--only", "api_service", "--connection-limit", "api_service=3"],
        &[("API_SERVICE_PASSWORD", given)],
    );
    assert!(one.status.success() && !text(&one).contains(given), "{}", text(&one));
    let admin = connect(&dsn).await;
    let api = Database::parse(&dsn, "test").unwrap().dsn_of("api_service", given);
    let client = connect(&api).await;
    connect(&second["BACKTEST_SERVICE_DSN"]).await;
    let limits = "SELECT rolconnlimit, rolpassword LIKE 'SCRAM-SHA-256$%', rolsuper OR rolcreaterole OR rolcreatedb \
                  FROM pg_authid WHERE rolname = 'api_service'";
    let row = admin.query_one(limits, &[]).await.unwrap();
    assert_eq!((row.get::<_, i32>(0), row.get::<_, bool>(1), row.get::<_, bool>(2)), (3, true, false));
    let timeout: String = client.query_one("SHOW statement_timeout", &[]).await.unwrap().get(0);
    assert_eq!(timeout, "10min");

    // One login for everything.
    let more = ["--only", "api_service", "--member", "api_service=ranking_sync"];
    assert!(migrate_roles(&dsn, &more, &[("API_SERVICE_PASSWORD", given)]).status.success());
    let writes = "SELECT has_table_privilege('api_service', 'ranking.ranking_signal', 'INSERT')";
    assert!(admin.query_one(writes, &[]).await.unwrap().get::<_, bool>(0));
    admin.batch_execute("REVOKE ranking_sync FROM api_service").await.unwrap();

    // Refused: the administrator's own password, a short one, secrets to a pipe, an unknown login.
    let admin_dsn = dsn.replace("postgres@", "postgres:the-admins-own@");
    for (dsn, arguments, passwords, expected) in [
        (
            &admin_dsn,
            &[][..],
            &[("API_SERVICE_PASSWORD", "the-admins-own")][..],
            "is the password of POSTGRES_DSN",
        ),
        (&dsn, &[], &[("API_SERVICE_PASSWORD", "short")], "fewer than 12"),
        (&dsn, &["--emit-secrets"], &[], "neither a terminal nor a file for its owner alone"),
        (&dsn, &["--only", "somebody"], &[], "invalid value"),
        (&dsn, &["--member", "api_service=admins"], &[], "none of backtest_api"),
        (&dsn, &["--connection-limit", "api_service=0"], &[], "not a number from 1"),
    ] {
        let refused = migrate_roles(dsn, arguments, passwords);
        let said = text(&refused);
        assert!(refused.status.code() == Some(2) && said.contains(expected), "{said}");
        assert!(!said.contains("the-admins-own"), "{said}");
    }
}

/// Whoever may not is told the group whose members may do what it was about to.
#[tokio::test]
async fn a_login_without_rights_is_told_the_group_for_what_it_was_doing() {
    let Some(dsn) = postgres::database() else { return };
    let _turn = LOGINS.lock().await;
    let home = Home::with_sample(4, 60);
    run_well(&["lake", "rank", "--lake", home.lake().to_str().unwrap()], home.path());
    let password = "known to the test";
    let passwords = ["API_SERVICE_PASSWORD", "BACKTEST_SERVICE_PASSWORD", "RANKING_WRITER_PASSWORD"];
    assert!(migrate_roles(&dsn, &[], &passwords.map(|name| (name, password))).status.success());
    let as_login = |login: &str| Database::parse(&dsn, "test").unwrap().dsn_of(login, password);

    let dsn = as_login("ranking_writer");
    let runs = postgres::runs(&dsn);
    let handler = home.handler(&[("BACKTEST_RUN_STORE_MODE", "postgres"), ("POSTGRES_DSN", &dsn)]).await;
    let ready = handler.get("/api/readyz").await.json();
    let message = ready["parts"]["run_store"]["message"].as_str().unwrap();
    assert!(message.contains("group backtest_api") && message.contains("permission denied"), "{message}");
    let claimant = Claimant {
        owner: "me".into(),
        lease: Duration::from_secs(60),
        timeout: Duration::from_secs(60),
        engine_version: "test".into(),
    };
    let claimed = runs.claim(&"r".parse().unwrap(), &claimant).await.unwrap_err();
    let why = chain(&claimed);
    assert!(why.contains("group backtest_executor"), "{why}");

    let synced = program()
        .args(["sync", "--lake", home.lake().to_str().unwrap()])
        .env("POSTGRES_DSN", as_login("api_service"))
        .output()
        .unwrap();
    assert!(!synced.status.success() && text(&synced).contains("ranking_sync"), "{}", text(&synced));
}

/// A password that nobody was told locks a service out, so all change or none.
#[tokio::test]
async fn passwords_change_together_or_not_at_all() {
    let Some(dsn) = postgres::database() else { return };
    let _turn = LOGINS.lock().await;
    assert!(migrate_roles(&dsn, &[], &[("API_SERVICE_PASSWORD", "known to the test")]).status.success());
    let api = Database::parse(&dsn, "test").unwrap().dsn_of("api_service", "known to the test");
    let short = migrate_roles(&dsn, &[], &[("RANKING_WRITER_PASSWORD", "short")]);
    assert!(short.status.code() == Some(2) && text(&short).contains("fewer than 12"), "{}", text(&short));
    let nowhere = migrate_roles(&dsn, &["--secrets-file", "/nowhere/at/all.env"], &[]);
    assert!(
        nowhere.status.code() == Some(1) && text(&nowhere).contains("/nowhere/at/all.env"),
        "{}",
        text(&nowhere)
    );
    connect(&api).await;
}

/// One slot of each login leaves five connections to operators on the smallest server; the other has the same limit.
#[test]
fn the_limits_of_the_logins_fit_the_smallest_server() {
    let (second, first): (Vec<Login>, Vec<Login>) =
        roles::LOGINS.into_iter().partition(|login| login.is_second);
    assert!(first.iter().map(|login| login.connection_limit).sum::<u32>() + 5 <= 35);
    for (one, other) in first.iter().zip(&second) {
        assert_eq!(format!("{}_b", one.name), other.name);
        assert_eq!((one.group, one.connection_limit), (other.group, other.connection_limit));
    }
}

/// A password changes while somebody connects all the time: the idle slot gets one, everybody moves, the other slot is
/// retired; then back. No connection is ever refused. The administrator is, as on Azure, no superuser.
#[tokio::test(flavor = "multi_thread")]
async fn a_password_changes_without_a_refused_connection() {
    if postgres::psql().is_none() {
        return;
    }
    let server = Server::start(false).await.unwrap().unwrap();
    let keeper = "CREATE ROLE keeper LOGIN CREATEROLE CREATEDB PASSWORD 'of the keeper'";
    connect(&server.dsn("postgres")).await.batch_execute(keeper).await.unwrap();
    let as_keeper =
        |name: &str| Database::parse(&server.dsn(name), "test").unwrap().dsn_of("keeper", "of the keeper");
    connect(&as_keeper("postgres")).await.batch_execute("CREATE DATABASE backtests").await.unwrap();
    let admin = as_keeper("backtests");
    migrations::up(&mut connect(&admin).await).await.unwrap();
    let set = |login: &str, password: &str| {
        let variable = format!("{}_PASSWORD", login.to_uppercase());
        let made = migrate_roles(&admin, &["--only", login], &[(&variable, password)]);
        assert!(made.status.success(), "{}", text(&made));
        Database::parse(&admin, "test").unwrap().dsn_of(login, password)
    };
    let retire = |login: &str| migrate_roles(&admin, &["--retire", login], &[]);

    let vault = Arc::new(std::sync::Mutex::new(set("api_service", "the first of all")));
    let stop = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let client = tokio::spawn({
        let (vault, stop) = (vault.clone(), stop.clone());
        async move {
            let mut connections = 0;
            while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                let dsn = vault.lock().unwrap().clone();
                let client = Database::parse(&dsn, "test").unwrap().connect().await?;
                client.query("SELECT count(*) FROM backtest.runs", &[]).await?;
                connections += 1;
            }
            Ok::<u32, PgError>(connections)
        }
    });
    for (from, to, password) in [
        ("api_service", "api_service_b", "the second of all"),
        ("api_service_b", "api_service", "the third of them"),
    ] {
        let before = vault.lock().unwrap().clone();
        let held = connect(&before).await;
        let next = set(to, password);
        // Both work now, so whoever fails from here on leaves a service that runs.
        connect(&before).await;
        let mut verify = program();
        let verified = verify.args(["migrate", "verify"]).env("POSTGRES_DSN", &next).output().unwrap();
        assert!(verified.status.success(), "a login can prove itself: {}", text(&verified));
        *vault.lock().unwrap() = next;
        let refused = retire(from);
        assert!(refused.status.code() == Some(1), "{}", text(&refused));
        assert!(text(&refused).contains(&format!("{from} is in use by")), "{}", text(&refused));
        connect(&before).await;
        drop(held);
        eventually("nobody is connected with the old slot", async || {
            retire(from).status.success().then_some(())
        })
        .await;
        assert!(Database::parse(&before, "test").unwrap().connect().await.is_err(), "{from} is retired");
    }
    stop.store(true, std::sync::atomic::Ordering::Relaxed);
    let connections = client.await.unwrap().expect("a connection was refused");
    assert!(connections > 10, "{connections} connections are too few to mean something");

    // One that was never made is retired, and again is harmless; with anything else it is a contradiction.
    for _ in 0..2 {
        assert!(retire("ranking_writer_b").status.success() && retire("api_service_b").status.success());
    }
    let both = migrate_roles(&admin, &["--retire", "api_service", "--only", "api_service"], &[]);
    assert_eq!(both.status.code(), Some(2), "{}", text(&both));
}

/// The service works with the login of the API, and nothing more is needed than what it may do.
#[tokio::test]
async fn the_service_runs_as_api_service() {
    let Some(dsn) = postgres::database() else { return };
    let _turn = LOGINS.lock().await;
    let (password, other) = ("for this test only", "another one entirely");
    let passwords = [("API_SERVICE_PASSWORD", password), ("RANKING_WRITER_PASSWORD", other)];
    let limit = ["--connection-limit", "api_service=20"];
    assert!(migrate_roles(&dsn, &limit, &passwords).status.success());
    let database = Database::parse(&dsn, "test").unwrap();
    let api = database.dsn_of("api_service", password);

    let home = Home::with_prices();
    let handler = home.handler(&[("BACKTEST_RUN_STORE_MODE", "postgres"), ("POSTGRES_DSN", &api)]).await;
    assert_eq!(handler.get("/api/readyz").await.status.as_u16(), 200);
    handler.submit(&json!({ "config": momentum(), "run_id": "r" })).await;
    handler.wake("r").await;
    assert_eq!(handler.run("r").await["status"], "completed");

    // A login without the grants is told what to do.
    let writer = database.dsn_of("ranking_writer", other);
    let handler = home.handler(&[("BACKTEST_RUN_STORE_MODE", "postgres"), ("POSTGRES_DSN", &writer)]).await;
    let ready = handler.get("/api/readyz").await;
    assert_eq!(ready.status.as_u16(), 503);
    let message = ready.json()["parts"]["run_store"]["message"].to_string();
    assert!(message.contains("backtests migrate roles"), "{message}");
}

/// On Azure the server has a function that maps principals to roles; here one with its signature stands in for it.
#[tokio::test]
async fn entra_principals_become_members() {
    let Some(dsn) = postgres::database() else { return };
    let _turn = LOGINS.lock().await;
    let directory = Database::parse(&dsn, "test").unwrap().with_database("postgres").connect().await.unwrap();
    let function = "
        DROP ROLE IF EXISTS \"id-backtests\";
        CREATE OR REPLACE FUNCTION pgaadauth_create_principal_with_oid(
            rolename text, objectid text, objecttype text, isadmin boolean, ismfa boolean) RETURNS text
        LANGUAGE plpgsql AS $$
        BEGIN
            EXECUTE format('CREATE ROLE %I LOGIN', rolename);
            EXECUTE format('COMMENT ON ROLE %I IS %L', rolename, objectid || objecttype || isadmin || ismfa);
            RETURN 'created';
        END $$";
    directory.batch_execute(function).await.unwrap();
    let id = "0f8fad5b-d9cb-469f-a165-70867728950e";
    let principal = format!("id-backtests={id}:backtest_api,ranking_sync");
    for expected in ["made", "was there"] {
        let output = migrate_roles(&dsn, &["--entra", &principal], &[]);
        assert!(output.status.success() && text(&output).contains(expected), "{}", text(&output));
    }
    let question = "SELECT pg_has_role('id-backtests', 'backtest_api', 'MEMBER'),
                           pg_has_role('id-backtests', 'ranking_sync', 'MEMBER'),
                           pg_has_role('id-backtests', 'backtest_executor', 'MEMBER'),
                           shobj_description(oid, 'pg_authid') FROM pg_roles WHERE rolname = 'id-backtests'";
    let row = directory.query_one(question, &[]).await.unwrap();
    assert_eq!([row.get::<_, bool>(0), row.get(1), row.get(2)], [true, true, false]);
    assert_eq!(row.get::<_, String>(3), format!("{id}servicefalsefalse"));
    for (wrong, expected) in [
        ("id-backtests", "NAME=OBJECT_ID"),
        ("id-backtests=me", "not an object id"),
        (&format!("id-backtests={id}:admins"), "none of backtest_api"),
    ] {
        let refused = migrate_roles(&dsn, &["--entra", wrong], &[]);
        assert!(refused.status.code() == Some(2) && text(&refused).contains(expected), "{}", text(&refused));
    }
}

/// Access tokens take the place of passwords: a new connection has the newest, an open one outlives its own.
#[tokio::test]
async fn passwords_may_change_while_the_service_runs() {
    struct Rotating(std::sync::Mutex<&'static str>);

    #[async_trait::async_trait]
    impl Passwords for Rotating {
        async fn current(&self) -> Result<String, Box<dyn std::error::Error + Send + Sync>> {
            match *self.0.lock().unwrap() {
                "" => Err("the identity endpoint is away".into()),
                password => Ok(password.to_owned()),
            }
        }
    }

    let Some(dsn) = postgres::database() else { return };
    let _turn = LOGINS.lock().await;
    let set =
        |password| migrate_roles(&dsn, &["--only", "api_service"], &[("API_SERVICE_PASSWORD", password)]);
    assert!(set("the first token").status.success());
    let rotating = Arc::new(Rotating("the first token".into()));
    let given = |password| *rotating.0.lock().unwrap() = password;
    let without = Database::parse(&dsn, "test").unwrap().dsn_of("api_service", "").replace(":@", "@");
    let database = Database::parse(&without, "test").unwrap().with_passwords(rotating.clone());
    let pool = database.pool(1).unwrap();
    let ask = async || pg::query(&pool, "SELECT 1", &[]).await;
    ask().await.unwrap();

    // Nobody gives tokens any more, and the password of the open connection is not good any more either.
    given("");
    assert!(set("the second token").status.success());
    ask().await.unwrap();
    let cut = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'api_service' \
               AND datname = current_database()";
    let admin = connect(&dsn).await;
    admin.batch_execute(cut).await.unwrap();
    // A connection that broke is noticed at once or by those that use it.
    let refused = eventually("the broken connection is gone", async || {
        Some(ask().await.unwrap_err()).filter(|error| !error.is_broken())
    })
    .await;
    assert!(refused.is_retryable() && matches!(refused, PgError::NoPassword(_)), "{refused:?}");
    given("the first token");
    assert!(ask().await.is_err(), "an old token opens nothing");
    given("the second token");
    ask().await.unwrap();
    database.connect().await.unwrap();
}
