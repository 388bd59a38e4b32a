//! Links to single blobs: addresses whose holder may read one blob, and nothing else, for a while. The
//! account's key signs them where there is one, and otherwise a key that the account lends to our identity for the
//! purpose. The SDK fetches that key but has no verb that signs; `object_store` has one, whose links begin at the very
//! second of our clock and are refused by a server whose clock is behind.

use std::fmt;
use std::time::Duration;

use azure_core::base64;
use azure_core::credentials::Secret;
use azure_core::http::{RequestContent, Url, XmlFormat};
use azure_core::time::{Duration as SdkDuration, OffsetDateTime};
use azure_storage_blob::models::KeyInfo;
use azure_storage_blob::{BlobServiceClient, BlobServiceClientOptions};
use chrono::{DateTime, SecondsFormat, Utc};

use super::{BlobAccount, BlobError, Container, Key, client_options};

/// Version of the rules by which a link is signed.
const VERSION: &str = "2022-11-02";
/// How far a lent key reaches back, for clocks that differ.
const SKEW: SdkDuration = SdkDuration::minutes(15);

/// An address whose holder may read one blob. It is a secret.
#[derive(Clone)]
pub struct Link(Url);

impl Link {
    /// The address, for the one who needs it.
    pub fn reveal(&self) -> &str {
        self.0.as_str()
    }
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Link")
    }
}

/// A key that the account lends, with the facts that a link must repeat.
struct Lent {
    key: Secret,
    /// Object id, tenant id, start, end, service and version of the key, in the order in which they are signed.
    facts: [(&'static str, String); 6],
}

impl BlobAccount {
    /// A link to a blob of this account, good for `lifetime`, that is shown under `file_name`. `None` when the account is
    /// reached with a shared access signature, which cannot make others.
    pub async fn link(
        &self,
        container: &Container,
        name: &str,
        file_name: &str,
        lifetime: Duration,
    ) -> Result<Option<Link>, BlobError> {
        let failed = |error: azure_core::Error| BlobError::new("make a link to", name, &error);
        let (own, lent);
        let (key, facts) = match &self.wire.key {
            Key::Shared { secret, .. } => {
                own = secret;
                (own, [].as_slice())
            }
            Key::Token => {
                lent = self.lent(lifetime).await.map_err(failed)?;
                (&lent.key, lent.facts.as_slice())
            }
            Key::Signature(_) => return Ok(None),
        };
        let mut url = container.client.blob_client(name).url().clone();
        // Nothing but an emulator is reached in plain text.
        let protocol = if url.scheme() == "https" { "https" } else { "https,http" };
        let end = seconds(Utc::now() + lifetime);
        let disposition = format!("inline; filename=\"{file_name}\"");
        let resource = format!("/blob/{}/{}/{name}", self.name, container.name);
        // Permission, start (none: at once, by the server's clock), end.
        let mut signed = vec!["r", "", &end, &resource];
        match facts {
            // No stored policy.
            [] => signed.push(""),
            // No other user, no correlation.
            facts => signed.extend(facts.iter().map(|(_, value)| value.as_str()).chain(["", "", ""])),
        }
        // No address of the caller; a blob as it is now; no encryption scope.
        signed.extend(["", protocol, VERSION, "b", "", ""]);
        // Headers of the answer: cache control, disposition, encoding, language, media type.
        signed.extend(["no-store", &disposition, "", "", ""]);
        let signature = azure_core::hmac::hmac_sha256(&signed.join("\n"), key).map_err(failed)?;
        let mut query = url.query_pairs_mut();
        query.extend_pairs([("sv", VERSION), ("sr", "b"), ("sp", "r"), ("se", &end), ("spr", protocol)]);
        query.extend_pairs(facts);
        query.extend_pairs([("rscc", "no-store"), ("rscd", &disposition), ("sig", &signature)]);
        drop(query);
        Ok(Some(Link(url)))
    }

    /// A key for links of the next `lifetime`.
    async fn lent(&self, lifetime: Duration) -> azure_core::Result<Lent> {
        let options = BlobServiceClientOptions {
            client_options: client_options(&self.wire),
            ..BlobServiceClientOptions::default()
        };
        let client = BlobServiceClient::new(self.endpoint.clone(), self.credential.clone(), Some(options))?;
        let now = OffsetDateTime::now_utc();
        let asked =
            KeyInfo { start: Some(now - SKEW), expiry: Some(now + lifetime + SKEW), ..KeyInfo::default() };
        let asked: RequestContent<KeyInfo, XmlFormat> = asked.try_into()?;
        let key = client.get_user_delegation_key(asked, None).await?.into_model()?;
        let time = |time: Option<OffsetDateTime>| {
            let time = time.and_then(|time| DateTime::from_timestamp(time.unix_timestamp(), 0));
            time.map(seconds).unwrap_or_default()
        };
        Ok(Lent {
            key: Secret::new(base64::encode(key.value.unwrap_or_default())),
            facts: [
                ("skoid", key.signed_oid.unwrap_or_default()),
                ("sktid", key.signed_tid.unwrap_or_default()),
                ("skt", time(key.signed_start)),
                ("ske", time(key.signed_expiry)),
                ("sks", key.signed_service.unwrap_or_default()),
                ("skv", key.signed_version.unwrap_or_default()),
            ],
        })
    }
}

fn seconds(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Secs, true)
}
