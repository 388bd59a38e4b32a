//! Logins of the database. What a login may do hangs on the group it is a member of, which migrations make; a login is
//! a name, a password and some limits. A password is turned into its SCRAM verifier here, so that neither the server
//! nor its log ever sees it.

use postgres_protocol::escape::{escape_identifier, escape_literal};
use tokio_postgres::Client;

use super::pg::PgError;

/// A login that the service knows.
#[derive(Debug, Clone, Copy)]
pub struct Login {
    /// Its name.
    pub name: &'static str,
    /// The group it is a member of.
    pub group: &'static str,
    /// Connections it may hold at once: together they leave room for operators on the smallest server (35 usable).
    pub connection_limit: u32,
}

/// All of them.
pub const LOGINS: [Login; 3] = [
    Login { name: "api_service", group: "backtest_api", connection_limit: 10 },
    Login { name: "backtest_service", group: "backtest_executor", connection_limit: 14 },
    Login { name: "ranking_writer", group: "ranking_sync", connection_limit: 4 },
];

/// Longest statement of a login. The pools are stricter; years of signals take a while to read.
const STATEMENT_TIMEOUT: &str = "10min";

/// Makes the login, or gives the one that is there this password; its limits are set anew too.
pub async fn set_password(client: &mut Client, login: &Login, password: &str) -> Result<(), PgError> {
    let name = escape_identifier(login.name);
    let verifier = postgres_protocol::password::scram_sha_256(password.as_bytes());
    let transaction = client.transaction().await?;
    let known = "SELECT EXISTS (SELECT 1 FROM pg_catalog.pg_roles WHERE rolname = $1)";
    if !transaction.query_one(known, &[&login.name]).await?.try_get::<_, bool>(0)? {
        transaction.batch_execute(&format!("CREATE ROLE {name}")).await?;
    }
    let statements = format!(
        "ALTER ROLE {name} LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE INHERIT CONNECTION LIMIT {limit} PASSWORD {verifier};
         ALTER ROLE {name} SET statement_timeout = '{STATEMENT_TIMEOUT}';
         ALTER ROLE {name} SET search_path = pg_catalog;",
        limit = login.connection_limit,
        verifier = escape_literal(&verifier),
    );
    transaction.batch_execute(&statements).await?;
    Ok(transaction.commit().await?)
}

/// Maps a Microsoft Entra service principal to a role of this name, unless there is one. `client` must be connected to
/// the database `postgres`, where the server keeps the function for it.
pub async fn create_principal(client: &Client, name: &str, object_id: &str) -> Result<bool, PgError> {
    let known = "SELECT EXISTS (SELECT 1 FROM pg_catalog.pg_roles WHERE rolname = $1)";
    if client.query_one(known, &[&name]).await?.try_get(0)? {
        return Ok(false);
    }
    // By object id: display names are not unique.
    let create = "SELECT pgaadauth_create_principal_with_oid($1, $2, 'service', false, false)";
    client.query(create, &[&name, &object_id]).await?;
    Ok(true)
}

/// Makes a role a member of groups.
pub async fn join(client: &Client, name: &str, groups: &[&str]) -> Result<(), PgError> {
    let groups: Vec<String> = groups.iter().map(|group| escape_identifier(group)).collect();
    let statement = format!("GRANT {} TO {}", groups.join(", "), escape_identifier(name));
    Ok(client.batch_execute(&statement).await?)
}
