//! Blobs of one storage account, by connection string or by identity: the few verbs that the stores need, each one
//! request with its condition. What is kept in the blobs is the caller's business. Keys and tokens exist only between
//! here and the wire: not in `Debug`, not in an error, not in an address that a log line could show.

mod link;

use std::fmt;
use std::num::NonZero;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use azure_core::credentials::{Secret, TokenCredential};
use azure_core::error::ErrorKind;
use azure_core::http::headers::Headers;
use azure_core::http::{
    AsyncRawResponse, Body, ClientOptions, Etag, ExponentialRetryOptions, HttpClient, Request, RetryOptions,
    Transport, Url,
};
use azure_core::time::Duration as SdkDuration;
use azure_storage_blob::models::{
    BlobClientDownloadOptions, BlobContainerClientListBlobsOptions, BlockBlobClientUploadOptions,
};
use azure_storage_blob::{BlobContainerClient, BlobContainerClientOptions};
use bytes::Bytes;
use chrono::{DateTime, Utc};
use futures_util::stream::BoxStream;
use futures_util::{StreamExt, TryStreamExt};

pub use self::link::Link;
use super::delta::{Location, StorageOptions};
use super::identity::Identity;
use crate::clock::Timestamp;

/// Account and key that every emulator has; published by its maker and no secret.
const EMULATOR: (&str, &str, &str) = (
    "devstoreaccount1",
    "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==",
    "http://127.0.0.1:10000/devstoreaccount1",
);

/// Bytes of a request; larger blobs go in blocks of this size and come in ranges of it.
const BLOCK: usize = 4 * 1024 * 1024;

/// Blocks on the way at once, which bounds the memory of a transfer.
const PARALLEL: NonZero<usize> = NonZero::new(2).unwrap();

/// Longest wait for a connection, and for the next bytes of an answer.
const TIMEOUTS: (Duration, Duration) = (Duration::from_secs(5), Duration::from_secs(30));

/// A container and a prefix below it, as settings and configs name them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Directory {
    /// Account of an `abfss://` address.
    pub account: Option<String>,
    /// Name of the blob container.
    pub container: String,
    /// Prefix without slashes at its ends; empty for the container itself.
    pub prefix: String,
}

impl Directory {
    /// Reads `<container>/<prefix>` or `abfss://<container>@<account>.<host>/<prefix>`.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (account, container, prefix) = if text.contains("://") {
            let Location::Remote(url) = Location::parse(text)? else {
                return Err("is not an address".to_owned());
            };
            let account = url.host_str().and_then(|host| host.split('.').next()).unwrap_or_default();
            let path = url.path().strip_prefix('/').unwrap_or_default();
            (Some(account.to_owned()), url.username().to_owned(), path.to_owned())
        } else {
            let (container, prefix) = text.split_once('/').unwrap_or((text, ""));
            (None, container.to_owned(), prefix.to_owned())
        };
        let prefix = prefix.strip_suffix('/').unwrap_or(&prefix).to_owned();
        let lawful = (3..=63).contains(&container.len())
            && container.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
            && !container.starts_with('-')
            && !container.ends_with('-')
            && !container.contains("--");
        if !lawful {
            return Err(format!(
                "'{container}' is not a container name: 3 to 63 lower-case letters, digits and single hyphens"
            ));
        }
        let plain = |part: &str| !matches!(part, "" | "." | "..") && !part.contains(['\\', '%', '?', '#']);
        if !prefix.is_empty() && !prefix.split('/').all(plain) {
            return Err(format!("'{prefix}' is not a prefix: names separated by single slashes"));
        }
        Ok(Self { account, container, prefix })
    }

    /// The name of a blob below this directory.
    pub fn join(&self, relative: &str) -> String {
        join(&self.prefix, relative)
    }
}

/// `relative` below `prefix`, which may be empty.
pub(crate) fn join(prefix: &str, relative: &str) -> String {
    if prefix.is_empty() { relative.to_owned() } else { format!("{prefix}/{relative}") }
}

/// An account that cannot be used as it is described. The text never repeats a secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct InvalidAccount(String);

impl InvalidAccount {
    /// There is no source of tokens.
    pub(super) fn without_identity(error: &azure_core::Error) -> Self {
        Self(format!("no identity to use: {error}"))
    }
}

/// A connection string with a key or a shared access signature.
#[derive(Clone)]
pub struct ConnectionString {
    name: String,
    endpoint: Url,
    queues: Option<Url>,
    key: Key,
}

impl fmt::Debug for ConnectionString {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConnectionString").field("name", &self.name).finish_non_exhaustive()
    }
}

impl ConnectionString {
    /// Reads the parts of a connection string; the order does not matter, and parts of other services are left out.
    pub fn parse(text: &str) -> Result<Self, InvalidAccount> {
        let invalid = |message: &str| InvalidAccount(message.to_owned());
        let (mut protocol, mut suffix) = ("https", "core.windows.net");
        let (mut name, mut key, mut endpoint, mut signature) = (None, None, None, None);
        let mut queues = None;
        for part in text.split(';').map(str::trim).filter(|part| !part.is_empty()) {
            let (field, value) = part.split_once('=').ok_or_else(|| invalid("holds a part without a '='"))?;
            match field.trim() {
                "UseDevelopmentStorage" if value.eq_ignore_ascii_case("true") => {
                    name.get_or_insert(EMULATOR.0);
                    key.get_or_insert(EMULATOR.1);
                    endpoint.get_or_insert(EMULATOR.2);
                }
                "DefaultEndpointsProtocol" => protocol = value,
                "EndpointSuffix" => suffix = value,
                "AccountName" => name = Some(value),
                "AccountKey" => key = Some(value),
                "BlobEndpoint" => endpoint = Some(value),
                "QueueEndpoint" => queues = Some(value.to_owned()),
                "SharedAccessSignature" => signature = Some(value.trim_start_matches('?')),
                _ => {}
            }
        }
        let queues = queues.or_else(|| Some(format!("{protocol}://{}.queue.{suffix}", name?)));
        let endpoint = match (endpoint, name) {
            (Some(endpoint), _) => endpoint.to_owned(),
            (None, Some(name)) => format!("{protocol}://{name}.blob.{suffix}"),
            (None, None) => return Err(invalid("names neither AccountName nor BlobEndpoint")),
        };
        let address =
            |text: &str| Url::parse(text).ok().filter(|url| matches!(url.scheme(), "https" | "http"));
        let queues = queues.as_deref().and_then(address);
        let endpoint = address(&endpoint);
        let endpoint = endpoint.ok_or_else(|| invalid("has a BlobEndpoint that is not an http address"))?;
        let of_host = || endpoint.host_str().and_then(|host| host.split('.').next()).unwrap_or_default();
        let name = name.unwrap_or_else(of_host).to_owned();
        let key = match (key, signature) {
            (Some(key), _) => {
                let secret = Secret::new(key.to_owned());
                azure_core::hmac::hmac_sha256("", &secret)
                    .map_err(|_| invalid("has an AccountKey that is not base64"))?;
                Key::Shared { account: name.clone(), secret }
            }
            (None, Some(signature)) => Key::Signature(Secret::new(signature.to_owned())),
            (None, None) => return Err(invalid("has neither AccountKey nor SharedAccessSignature")),
        };
        Ok(Self { name, endpoint, queues, key })
    }

    /// Address of the account's queues.
    pub(super) fn queues(&self) -> Result<Url, InvalidAccount> {
        self.queues
            .clone()
            .ok_or_else(|| InvalidAccount("names neither AccountName nor QueueEndpoint".to_owned()))
    }

    /// The way to the account.
    pub(super) fn wire(self) -> Result<Arc<Wire>, InvalidAccount> {
        Wire::new(self.key)
    }

    /// Name of the account.
    pub fn account(&self) -> &str {
        &self.name
    }

    /// The same in the words of the Delta crate.
    pub fn storage_options(&self) -> StorageOptions {
        let mut options = StorageOptions::default();
        let mut set = |name: &str, value: &str| options.0.insert(name.to_owned(), value.to_owned());
        set("azure_storage_account_name", &self.name);
        set("azure_storage_endpoint", self.endpoint.as_str().trim_end_matches('/'));
        if self.endpoint.scheme() == "http" {
            set("azure_allow_http", "true");
        }
        match &self.key {
            Key::Shared { secret, .. } => set("azure_storage_account_key", secret.secret()),
            Key::Signature(signature) => set("azure_storage_sas_key", signature.secret()),
            Key::Token => None,
        };
        options
    }
}

/// A storage account. Cheap to clone; nothing is connected before the first request.
#[derive(Clone)]
pub struct BlobAccount {
    name: String,
    endpoint: Url,
    wire: Arc<Wire>,
    credential: Option<Arc<dyn TokenCredential>>,
}

impl fmt::Debug for BlobAccount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BlobAccount").field("endpoint", &self.endpoint.as_str()).finish_non_exhaustive()
    }
}

impl BlobAccount {
    /// The account of a connection string.
    pub fn by_connection(connection: ConnectionString) -> Result<Self, InvalidAccount> {
        Self::new(connection.name, connection.endpoint, connection.key, None)
    }

    /// The account of that name on Azure.
    pub fn by_identity(name: &str, identity: &Identity) -> Result<Self, InvalidAccount> {
        let endpoint = Url::parse(&format!("https://{name}.blob.core.windows.net"))
            .map_err(|_| InvalidAccount(format!("'{name}' is not an account name")))?;
        let credential = identity.credential().map_err(|error| InvalidAccount::without_identity(&error))?;
        Self::by_credential(name, endpoint, credential)
    }

    /// The account of that name at an address of its own, which must be `https`.
    pub fn by_credential(
        name: &str,
        endpoint: Url,
        credential: Arc<dyn TokenCredential>,
    ) -> Result<Self, InvalidAccount> {
        Self::new(name.to_owned(), endpoint, Key::Token, Some(credential))
    }

    fn new(
        name: String,
        endpoint: Url,
        key: Key,
        credential: Option<Arc<dyn TokenCredential>>,
    ) -> Result<Self, InvalidAccount> {
        Ok(Self { name, endpoint, wire: Wire::new(key)?, credential })
    }

    /// Name of the account.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// A container of the account, which need not exist yet.
    pub fn container(&self, name: &str) -> Result<Container, BlobError> {
        let mut url = self.endpoint.clone();
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().push(name);
        }
        let options = BlobContainerClientOptions {
            client_options: client_options(&self.wire),
            ..BlobContainerClientOptions::default()
        };
        let client = BlobContainerClient::new(url, self.credential.clone(), Some(options))
            .map_err(|error| BlobError::new("use", name, &error))?;
        Ok(Container { name: name.to_owned(), client: Arc::new(client) })
    }
}

/// What all clients of an account have in common.
fn client_options(wire: &Arc<Wire>) -> ClientOptions {
    ClientOptions {
        // An untrusted certificate is a lasting fault, and so is a wrong address.
        retry: RetryOptions::exponential(ExponentialRetryOptions {
            initial_delay: SdkDuration::milliseconds(200),
            max_retries: 3,
            max_total_elapsed: SdkDuration::seconds(10),
            max_delay: SdkDuration::seconds(3),
        }),
        transport: Some(Transport::new(Arc::clone(wire) as Arc<dyn HttpClient>)),
        ..ClientOptions::default()
    }
}

/// How requests are signed.
#[derive(Clone)]
enum Key {
    /// With the account's key.
    Shared { account: String, secret: Secret },
    /// With a signature that is part of the address.
    Signature(Secret),
    /// With a token, which the pipeline has put into the headers already.
    Token,
}

/// The last step before the network: signs each try, and says nothing of addresses when a try fails.
pub(super) struct Wire {
    http: reqwest::Client,
    key: Key,
}

impl Wire {
    fn new(key: Key) -> Result<Arc<Self>, InvalidAccount> {
        let (connect, read) = TIMEOUTS;
        let http = reqwest::Client::builder()
            .connect_timeout(connect)
            .read_timeout(read)
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .map_err(|error| InvalidAccount(format!("no HTTP client: {error}")))?;
        Ok(Arc::new(Self { http, key }))
    }

    /// For requests that carry a token.
    pub(super) fn with_tokens() -> Result<Arc<Self>, InvalidAccount> {
        Self::new(Key::Token)
    }
}

impl fmt::Debug for Wire {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Wire")
    }
}

#[async_trait]
impl HttpClient for Wire {
    async fn execute_request(&self, request: &Request) -> azure_core::Result<AsyncRawResponse> {
        let mut request = request.clone();
        match &self.key {
            Key::Shared { account, secret } => sign(&mut request, account, secret)?,
            Key::Signature(signature) => {
                let query = match request.url().query() {
                    Some(query) => format!("{query}&{}", signature.secret()),
                    None => signature.secret().to_owned(),
                };
                request.url_mut().set_query(Some(&query));
            }
            Key::Token => {}
        }
        self.http
            .execute_request(&request)
            .await
            .map_err(|error| azure_core::Error::with_message(error.kind().clone(), innermost(&error)))
    }
}

/// Adds the `SharedKey` authorization of the storage services.
fn sign(request: &mut Request, account: &str, secret: &Secret) -> azure_core::Result<()> {
    request.insert_header("x-ms-date", Utc::now().format("%a, %d %b %Y %H:%M:%S GMT").to_string());
    let header = |name: &'static str| request.headers().get_optional_str(&name.into()).unwrap_or_default();
    let length = request.body().len().filter(|length| *length > 0).map(|length| length.to_string());
    let standard = [
        header("content-encoding"),
        header("content-language"),
        length.as_deref().unwrap_or_default(),
        header("content-md5"),
        header("content-type"),
        "", // the date is in x-ms-date
        header("if-modified-since"),
        header("if-match"),
        header("if-none-match"),
        header("if-unmodified-since"),
        header("range"),
    ];
    let mut own: Vec<(&str, &str)> = request
        .headers()
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str().trim()))
        .filter(|(name, _)| name.starts_with("x-ms-"))
        .collect();
    own.sort_unstable();
    let mut parameters: Vec<(String, String)> =
        request.url().query_pairs().map(|(name, value)| (name.to_lowercase(), value.into_owned())).collect();
    parameters.sort_unstable();

    let mut text = format!("{}\n{}\n", request.method().as_str(), standard.join("\n"));
    for (name, value) in own {
        text.push_str(&format!("{name}:{value}\n"));
    }
    text.push_str(&format!("/{account}{}", request.url().path()));
    for (name, value) in parameters {
        text.push_str(&format!("\n{name}:{value}"));
    }
    let signature = azure_core::hmac::hmac_sha256(&text, secret)?;
    request.insert_header("authorization", format!("SharedKey {account}:{signature}"));
    Ok(())
}

/// A request that was not answered as it should be. The text names the blob, never a key or an address.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{doing} {name}: {why}")]
pub struct BlobError {
    doing: &'static str,
    name: String,
    why: String,
    status: Option<u16>,
    retryable: bool,
}

impl BlobError {
    pub(super) fn new(doing: &'static str, name: &str, error: &azure_core::Error) -> Self {
        let (why, status, retryable) = match error.kind() {
            ErrorKind::HttpResponse { status, error_code, .. } => {
                let status = u16::from(*status);
                let code = error_code.as_deref().unwrap_or("without a reason");
                let why = format!("the storage account answered {status} {code}");
                (why, Some(status), matches!(status, 408 | 429 | 500..))
            }
            ErrorKind::Credential => (format!("no token: {}", innermost(error)), None, true),
            ErrorKind::Connection | ErrorKind::Io => {
                (format!("the storage account cannot be reached: {}", innermost(error)), None, true)
            }
            _ => (innermost(error), None, false),
        };
        Self { doing, name: name.to_owned(), why, status, retryable }
    }

    /// An answer with a status that is none of those that were waited for.
    pub(super) fn answered(doing: &'static str, name: &str, status: u16) -> Self {
        let why = format!("the storage account answered {status}");
        Self {
            doing,
            name: name.to_owned(),
            why,
            status: Some(status),
            retryable: matches!(status, 408 | 429 | 500..),
        }
    }

    /// An answer that lacks what it must have.
    pub(super) fn incomplete(doing: &'static str, name: &str, what: &str) -> Self {
        let why = format!("the storage account's answer has no {what}");
        Self { doing, name: name.to_owned(), why, status: None, retryable: false }
    }

    /// Whether the same request may succeed later. It may also have been carried out.
    pub fn is_retryable(&self) -> bool {
        self.retryable
    }

    fn is(&self, status: u16) -> bool {
        self.status == Some(status)
    }
}

impl From<BlobError> for std::io::Error {
    fn from(error: BlobError) -> Self {
        let kind = match error.status {
            Some(404) => std::io::ErrorKind::NotFound,
            Some(401 | 403) => std::io::ErrorKind::PermissionDenied,
            _ => std::io::ErrorKind::Other,
        };
        Self::new(kind, error)
    }
}

/// The cause at the end of the chain, up to where an address would begin: that is where secrets could stand.
fn innermost(error: &azure_core::Error) -> String {
    let mut last: &dyn std::error::Error = error;
    while let Some(cause) = last.source() {
        last = cause;
    }
    let text = last.to_string();
    let end = text.find("://").map_or(text.len(), |at| text[..at].rfind([' ', '(']).unwrap_or(0));
    text[..end].trim_end_matches([' ', '(']).to_owned()
}

/// What a blob was when it was read or written.
#[derive(Debug, Clone)]
pub struct Stamp {
    /// Changes with every write.
    pub etag: Etag,
    /// The storage account's time, in whole seconds.
    pub now: Timestamp,
}

impl Stamp {
    fn of(doing: &'static str, name: &str, headers: &Headers) -> Result<Self, BlobError> {
        let header = |header: &'static str| headers.get_optional_str(&header.into());
        let etag = header("etag").ok_or_else(|| BlobError::incomplete(doing, name, "ETag"))?;
        let now = header("date").and_then(|date| DateTime::parse_from_rfc2822(date).ok());
        let now = now.ok_or_else(|| BlobError::incomplete(doing, name, "Date"))?;
        Ok(Self { etag: Etag::from(etag.to_owned()), now: now.with_timezone(&Utc) })
    }
}

/// On what a write depends.
#[derive(Debug, Clone)]
pub enum Condition {
    /// Nothing.
    Always,
    /// There is no blob of this name.
    Absent,
    /// The blob is still as it was then.
    Unchanged(Etag),
}

/// A blob in a listing.
#[derive(Debug, Clone)]
pub struct Listed {
    /// Its whole name.
    pub name: String,
    /// Last write.
    pub modified: Timestamp,
}

/// A container of a storage account. Cheap to clone.
#[derive(Clone)]
pub struct Container {
    name: String,
    client: Arc<BlobContainerClient>,
}

impl fmt::Debug for Container {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Container").field(&self.name).finish()
    }
}

impl Container {
    /// Name of the container, without the account.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether the container can be used; makes it if it is not there.
    pub async fn ping(&self) -> Result<(), BlobError> {
        let failed = |error| BlobError::new("reach container", &self.name, &error);
        match self.client.get_properties(None).await.map_err(failed) {
            Ok(_) => Ok(()),
            Err(error) if error.is(404) => self.create().await,
            Err(error) => Err(error),
        }
    }

    /// Makes the container, unless another instance was faster.
    async fn create(&self) -> Result<(), BlobError> {
        match self.client.create(None).await {
            Ok(_) => Ok(()),
            Err(error) => match BlobError::new("create container", &self.name, &error) {
                error if error.is(409) => Ok(()),
                error => Err(error),
            },
        }
    }

    /// Whether one may write here, tried without a trace: a caller who may not is told so before it is looked whether the blob is
    /// still as it never was.
    pub async fn try_writing(&self, name: &str) -> Result<(), BlobError> {
        let never = Condition::Unchanged(Etag::from("\"0x0\""));
        self.put(name, Bytes::new(), "application/octet-stream", &never).await.map(drop)
    }

    /// Writes a blob; `None` if the condition does not hold. A retried request whose first reply was lost also finds
    /// that it does not hold, so a caller that gets `None` looks at what is there. The container is made with the
    /// first blob.
    pub async fn put(
        &self,
        name: &str,
        content: Bytes,
        content_type: &str,
        condition: &Condition,
    ) -> Result<Option<Stamp>, BlobError> {
        match self.try_put(name, content.clone(), content_type, condition).await {
            Err(error) if error.is(404) && !matches!(condition, Condition::Unchanged(_)) => {
                self.create().await?;
                self.try_put(name, content, content_type, condition).await
            }
            answer => answer,
        }
    }

    async fn try_put(
        &self,
        name: &str,
        content: Bytes,
        content_type: &str,
        condition: &Condition,
    ) -> Result<Option<Stamp>, BlobError> {
        let (if_match, if_none_match) = match condition {
            Condition::Always => (None, None),
            Condition::Absent => (None, Some(Etag::from("*"))),
            Condition::Unchanged(etag) => (Some(etag.clone()), None),
        };
        let options = BlockBlobClientUploadOptions {
            blob_content_type: Some(content_type.to_owned()),
            if_match,
            if_none_match,
            parallel: Some(PARALLEL),
            partition_size: NonZero::new(BLOCK as u64),
            ..BlockBlobClientUploadOptions::default()
        };
        let client = self.client.blob_client(name).block_blob_client();
        match client.upload(Body::from(content).into(), Some(options)).await {
            Ok(done) => Stamp::of("write", name, done.raw_response.headers()).map(Some),
            Err(error) => match BlobError::new("write", name, &error) {
                // A blob that is there is a conflict, one that is another is a failed precondition.
                error if error.is(409) || error.is(412) => Ok(None),
                error => Err(error),
            },
        }
    }

    /// A whole blob, or `None`.
    pub async fn get(&self, name: &str) -> Result<Option<(Bytes, Stamp)>, BlobError> {
        let failed = |error| BlobError::new("read", name, &error);
        let options = BlobClientDownloadOptions {
            parallel: Some(PARALLEL),
            partition_size: NonZero::new(BLOCK),
            ..BlobClientDownloadOptions::default()
        };
        let found = match self.client.blob_client(name).download(Some(options)).await.map_err(failed) {
            Ok(found) => found,
            Err(error) if error.is(404) => return Ok(None),
            Err(error) => return Err(error),
        };
        let stamp = Stamp::of("read", name, &found.headers)?;
        let content = found.body.collect().await.map_err(failed)?;
        Ok(Some((content, stamp)))
    }

    /// A range of a blob that exists, as it comes; `range` is not empty.
    pub async fn read(
        &self,
        name: &str,
        range: Range<u64>,
    ) -> Result<BoxStream<'static, Result<Bytes, BlobError>>, BlobError> {
        let options = BlobClientDownloadOptions {
            range: Some(range.into()),
            parallel: Some(PARALLEL),
            partition_size: NonZero::new(BLOCK),
            ..BlobClientDownloadOptions::default()
        };
        let found = self.client.blob_client(name).download(Some(options)).await;
        let found = found.map_err(|error| BlobError::new("read", name, &error))?;
        let name = name.to_owned();
        Ok(found.body.map_err(move |error| BlobError::new("read", &name, &error)).boxed())
    }

    /// Bytes of a blob, or `None`.
    pub async fn size(&self, name: &str) -> Result<Option<u64>, BlobError> {
        match self.client.blob_client(name).get_properties(None).await {
            Ok(found) => {
                let length = found.headers().get_optional_str(&"content-length".into());
                let length = length.and_then(|length| length.parse().ok());
                length.map(Some).ok_or_else(|| BlobError::incomplete("look up", name, "Content-Length"))
            }
            Err(error) => match BlobError::new("look up", name, &error) {
                error if error.is(404) => Ok(None),
                error => Err(error),
            },
        }
    }

    /// Blobs whose names begin with `prefix`, by name. A container that is not there holds none.
    pub fn list(&self, prefix: &str) -> BoxStream<'static, Result<Listed, BlobError>> {
        let name = format!("{}/{prefix}*", self.name);
        let options = BlobContainerClientListBlobsOptions {
            // An empty one would be signed differently here and there.
            prefix: (!prefix.is_empty()).then(|| prefix.to_owned()),
            ..BlobContainerClientListBlobsOptions::default()
        };
        let pager = match self.client.list_blobs(Some(options)) {
            Ok(pager) => pager,
            Err(error) => {
                let error = BlobError::new("list", &name, &error);
                return futures_util::stream::iter([Err(error)]).boxed();
            }
        };
        let items = pager.map(move |item| {
            let item = item.map_err(|error| BlobError::new("list", &name, &error))?;
            let modified = item
                .properties
                .and_then(|properties| properties.last_modified)
                .and_then(|time| DateTime::from_timestamp(time.unix_timestamp(), 0));
            match (item.name, modified) {
                (Some(name), Some(modified)) => Ok(Listed { name, modified }),
                _ => Err(BlobError::incomplete("list", &name, "name or time")),
            }
        });
        items
            .take_while(|item| {
                let nothing = matches!(item, Err(error) if error.is(404));
                std::future::ready(!nothing)
            })
            .boxed()
    }

    /// Removes a blob; one that is not there is removed already.
    pub async fn delete(&self, name: &str) -> Result<(), BlobError> {
        match self.client.blob_client(name).delete(None).await {
            Ok(_) => Ok(()),
            Err(error) => match BlobError::new("remove", name, &error) {
                error if error.is(404) => Ok(()),
                error => Err(error),
            },
        }
    }
}
