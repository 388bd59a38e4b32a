//! How many messages lie in a queue of the host's storage account. The host puts and takes them; here they are only counted,
//! for those that cannot be read and reach no function.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use azure_core::credentials::TokenCredential;
use azure_core::http::{HttpClient as _, Method, Request, Url};
use tokio::sync::Mutex;

use super::blob::{BlobError, ConnectionString, InvalidAccount, Wire};
use super::identity::Identity;

/// What a token for a storage account is good for.
const STORAGE: &str = "https://storage.azure.com/.default";
/// Version of the service that is spoken to.
const VERSION: &str = "2024-08-04";
/// How long a count is as good as new: readiness may be asked for often.
const FRESH: Duration = Duration::from_secs(15);

/// A queue of a storage account. Nothing is connected before the first count.
pub struct Queue {
    name: String,
    url: Url,
    wire: Arc<Wire>,
    credential: Option<Arc<dyn TokenCredential>>,
    counted: Mutex<Option<(Instant, u64)>>,
}

impl fmt::Debug for Queue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Queue").field("url", &self.url.as_str()).finish_non_exhaustive()
    }
}

impl Queue {
    /// A queue of the account of a connection string.
    pub fn by_connection(connection: ConnectionString, name: &str) -> Result<Self, InvalidAccount> {
        let endpoint = connection.queues()?;
        Self::new(&endpoint, name, connection.wire()?, None)
    }

    /// A queue at the address of the account's queues, as an identity.
    pub fn by_identity(endpoint: &Url, name: &str, identity: &Identity) -> Result<Self, InvalidAccount> {
        let credential = identity.credential().map_err(|error| InvalidAccount::without_identity(&error))?;
        Self::new(endpoint, name, Wire::with_tokens()?, Some(credential))
    }

    fn new(
        endpoint: &Url,
        name: &str,
        wire: Arc<Wire>,
        credential: Option<Arc<dyn TokenCredential>>,
    ) -> Result<Self, InvalidAccount> {
        let mut url = endpoint.clone();
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().push(name);
        }
        url.set_query(Some("comp=metadata"));
        Ok(Self { name: name.to_owned(), url, wire, credential, counted: Mutex::default() })
    }

    /// About how many messages lie there. A queue that is not there has none: the host makes a poison queue with its first
    /// message.
    pub async fn depth(&self) -> Result<u64, BlobError> {
        // One asks, and the others wait for its answer.
        let mut counted = self.counted.lock().await;
        if let Some((_, depth)) = counted.filter(|(at, _)| at.elapsed() < FRESH) {
            return Ok(depth);
        }
        let depth = self.count().await?;
        *counted = Some((Instant::now(), depth));
        Ok(depth)
    }

    async fn count(&self) -> Result<u64, BlobError> {
        let failed = |error| BlobError::new("count the messages of queue", &self.name, &error);
        let mut request = Request::new(self.url.clone(), Method::Get);
        request.insert_header("x-ms-version", VERSION);
        if let Some(credential) = &self.credential {
            let token = credential.get_token(&[STORAGE], None).await.map_err(failed)?;
            request.insert_header("authorization", format!("Bearer {}", token.token.secret()));
        }
        let answer = self.wire.execute_request(&request).await.map_err(failed)?;
        match u16::from(answer.status()) {
            200 => {
                let depth = answer.headers().get_optional_str(&"x-ms-approximate-messages-count".into());
                depth
                    .and_then(|depth| depth.parse().ok())
                    .ok_or_else(|| BlobError::incomplete("count the messages of queue", &self.name, "count"))
            }
            404 => Ok(0),
            status => Err(BlobError::answered("count the messages of queue", &self.name, status)),
        }
    }
}
