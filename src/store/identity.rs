//! Who this program is on Azure, and the tokens that prove it. Tokens are kept by the SDK until shortly before they
//! expire, so that asking for one is cheap.

use std::sync::Arc;

use async_trait::async_trait;
use azure_core::credentials::TokenCredential;
use azure_identity::{
    DeveloperToolsCredential, ManagedIdentityCredential, ManagedIdentityCredentialOptions, UserAssignedId,
};

use super::pg::Passwords;

/// What a token for a Postgres server of Azure is good for.
const POSTGRES: &str = "https://ossrdbms-aad.database.windows.net/.default";

/// Who asks for tokens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Identity {
    /// The identity that the platform gives to this app; with a client id where it has several.
    Managed {
        /// Client id of a user-assigned identity.
        client_id: Option<String>,
    },
    /// The person at this machine, as signed in with the Azure tools.
    Developer,
}

impl Identity {
    /// What tokens are asked of.
    pub(super) fn credential(&self) -> azure_core::Result<Arc<dyn TokenCredential>> {
        Ok(match self {
            Self::Managed { client_id } => {
                let options = ManagedIdentityCredentialOptions {
                    user_assigned_id: client_id.clone().map(UserAssignedId::ClientId),
                    ..ManagedIdentityCredentialOptions::default()
                };
                ManagedIdentityCredential::new(Some(options))?
            }
            Self::Developer => DeveloperToolsCredential::new(None)?,
        })
    }

    /// Tokens in the place of a database password.
    pub fn passwords(&self) -> std::io::Result<Arc<dyn Passwords>> {
        Ok(Arc::new(Tokens(self.credential().map_err(std::io::Error::other)?)))
    }
}

struct Tokens(Arc<dyn TokenCredential>);

#[async_trait]
impl Passwords for Tokens {
    async fn current(&self) -> Result<String, Box<dyn std::error::Error + Send + Sync>> {
        Ok(self.0.get_token(&[POSTGRES], None).await?.token.secret().to_owned())
    }
}
