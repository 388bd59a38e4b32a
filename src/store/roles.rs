//! Logins of the database. What a login may do hangs on the group it is a member of, which migrations make; a login is
//! a name, a password and some limits. A password is turned into its SCRAM verifier here, so that neither the server
//! nor its log ever sees it. Each login has a second slot, `…_b`: a password changes by giving the idle slot a new one,
//! moving everybody over, and retiring the other.

use postgres_protocol::escape::{escape_identifier, escape_literal};
use tokio_postgres::Client;
use tokio_postgres::types::Type;

use super::groups;
use super::pg::PgError;

/// A login that the service knows.
#[derive(Debug, Clone, Copy)]
pub struct Login {
    /// Name of the Postgres role.
    pub name: &'static str,
    /// The group it is a member of.
    pub group: &'static str,
    /// Connections it may hold at once: those of one slot of each login leave room for operators on the smallest
    /// server (35 usable).
    pub connection_limit: u32,
    /// Whether it is the second slot, which exists from the first change of a password on.
    pub is_second: bool,
}

/// Both slots of all of them.
pub const LOGINS: [Login; 6] = [
    Login { name: "api_service", group: groups::API, connection_limit: 10, is_second: false },
    Login { name: "backtest_service", group: groups::EXECUTOR, connection_limit: 14, is_second: false },
    Login { name: "ranking_writer", group: groups::SIGNAL_SYNC, connection_limit: 4, is_second: false },
    Login { name: "api_service_b", group: groups::API, connection_limit: 10, is_second: true },
    Login { name: "backtest_service_b", group: groups::EXECUTOR, connection_limit: 14, is_second: true },
    Login { name: "ranking_writer_b", group: groups::SIGNAL_SYNC, connection_limit: 4, is_second: true },
];

/// Longest statement of a login. The pools are stricter; years of signals take a while to read.
const STATEMENT_TIMEOUT: &str = "10min";

/// A login with the password it shall have. There is no `Debug` of it.
pub struct Wanted {
    /// Login that the password is for.
    pub login: Login,
    /// Password in clear; it is never logged.
    pub password: String,
    /// What it shall be a member of.
    pub groups: Vec<String>,
}

/// Makes the logins, or gives those that are there these passwords; their limits are set anew too. All of it or
/// nothing: a password that was not handed over would lock its service out.
pub async fn make(client: &mut Client, wanted: &[Wanted]) -> Result<(), PgError> {
    let transaction = client.transaction().await?;
    for Wanted { login, password, groups } in wanted {
        let name = escape_identifier(login.name);
        let verifier = postgres_protocol::password::scram_sha_256(password.as_bytes());
        let known = "SELECT EXISTS (SELECT 1 FROM pg_catalog.pg_roles WHERE rolname = $1)";
        if !transaction.query_typed_one(known, &[(&login.name, Type::NAME)]).await?.try_get::<_, bool>(0)? {
            transaction.batch_execute(&format!("CREATE ROLE {name}")).await?;
        }
        // Not NOSUPERUSER: only a superuser may say that, and the administrator of a hosted server is none.
        let verifier = escape_literal(&verifier);
        let statement =
            format!("ALTER ROLE {name} LOGIN NOCREATEDB NOCREATEROLE INHERIT PASSWORD {verifier}");
        transaction.batch_execute(&statement).await?;
        transaction.batch_execute(&limits(login.name, login.connection_limit)).await?;
        join(transaction.client(), login.name, groups).await?;
    }
    Ok(transaction.commit().await?)
}

/// The statements that bound what a role may take of the server.
fn limits(name: &str, connections: u32) -> String {
    let name = escape_identifier(name);
    format!(
        "ALTER ROLE {name} CONNECTION LIMIT {connections};
         ALTER ROLE {name} SET statement_timeout = '{STATEMENT_TIMEOUT}';
         ALTER ROLE {name} SET search_path = pg_catalog;"
    )
}

/// Bounds what the role of a service principal may take of the server: as much as one slot of each login.
pub async fn limit_principal(client: &Client, name: &str) -> Result<(), PgError> {
    let connections =
        LOGINS.iter().filter(|login| !login.is_second).map(|login| login.connection_limit).sum();
    Ok(client.batch_execute(&limits(name, connections)).await?)
}

/// What became of a login that was to be retired.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retired {
    /// It cannot log in, and has no password.
    Done,
    /// Nothing, because so many connections are open with it: their holders have not moved to the other slot.
    InUse(i64),
}

/// Forbids a login, unless a connection uses it. A login that does not exist is retired already.
pub async fn retire(client: &Client, login: &Login) -> Result<Retired, PgError> {
    let known = "SELECT count(a.pid) FROM pg_catalog.pg_roles AS r LEFT JOIN pg_catalog.pg_stat_activity AS a ON a.usesysid = r.oid
                 WHERE r.rolname = $1 GROUP BY r.oid";
    match client
        .query_typed_opt(known, &[(&login.name, Type::NAME)])
        .await?
        .map(|row| row.try_get(0))
        .transpose()?
    {
        None => Ok(Retired::Done),
        Some(0) => {
            let name = escape_identifier(login.name);
            client.batch_execute(&format!("ALTER ROLE {name} NOLOGIN PASSWORD NULL")).await?;
            Ok(Retired::Done)
        }
        Some(connections) => Ok(Retired::InUse(connections)),
    }
}

/// Maps a Microsoft Entra service principal to a role of this name, unless there is one. `client` must be connected to
/// the database `postgres`, where the server keeps the function for it.
pub async fn create_principal(client: &Client, name: &str, object_id: &str) -> Result<bool, PgError> {
    let known = "SELECT EXISTS (SELECT 1 FROM pg_catalog.pg_roles WHERE rolname = $1)";
    if client.query_typed_one(known, &[(&name, Type::NAME)]).await?.try_get(0)? {
        return Ok(false);
    }
    // By object id: display names are not unique.
    let create = "SELECT pgaadauth_create_principal_with_oid($1, $2, 'service', false, false)";
    client.query_typed(create, &[(&name, Type::TEXT), (&object_id, Type::TEXT)]).await?;
    Ok(true)
}

/// Makes a role a member of groups.
pub async fn join(client: &Client, name: &str, groups: &[String]) -> Result<(), PgError> {
    let groups: Vec<String> = groups.iter().map(|group| escape_identifier(group)).collect();
    let statement = format!("GRANT {} TO {}", groups.join(", "), escape_identifier(name));
    Ok(client.batch_execute(&statement).await?)
}
