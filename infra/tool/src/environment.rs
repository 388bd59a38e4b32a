//! Where the parts of an environment are, and how its administrator gets in. What a command then does there is its own.

use crate::azure::{Failure, Secret, Server, Tools};
use crate::state::State;

/// Address of the database server in the management interface.
pub fn server_path(subscription: &str, state: &State) -> Result<String, Failure> {
    Ok(format!(
        "/subscriptions/{subscription}/resourceGroups/{}/providers/Microsoft.DBforPostgreSQL/flexibleServers/{}",
        state.require("AZURE_RESOURCE_GROUP")?,
        state.require("POSTGRES_SERVER")?
    ))
}

/// Address of the app in the management interface.
pub fn app_path(tools: &Tools, state: &State) -> Result<String, Failure> {
    Ok(format!(
        "/subscriptions/{}/resourceGroups/{}/providers/Microsoft.Web/sites/{}",
        tools.subscription()?,
        state.require("AZURE_RESOURCE_GROUP")?,
        state.require("BACKTEST_APP_NAME")?
    ))
}

/// The database of an environment and a connection string of its administrator.
pub fn as_administrator(tools: &Tools, state: &State) -> Result<(Server, Secret), Failure> {
    let server = state.server()?;
    let dsn = server.dsn(&state.require("POSTGRES_ADMIN_NAME")?, &tools.database_token()?);
    Ok((server, dsn))
}
