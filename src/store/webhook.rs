//! The address that is told when a run has ended: one request, signed, to the one place that the settings name. What is told,
//! and how often it is tried, is not decided here.

use std::fmt;
use std::time::Duration;

use azure_core::credentials::Secret;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use reqwest::{Client, StatusCode, Url, redirect};

use crate::digest::hex;

/// Longest wait for an answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// The header with the signature: `sha256=` and the HMAC-SHA256 of the body in lower-case hex.
pub const SIGNATURE: &str = "x-backtest-signature";

/// Where endings of runs are told. Address and secret are never shown: an address may be a secret by itself.
#[derive(Clone)]
pub struct Webhook {
    client: Client,
    address: Url,
    secret: String,
}

impl fmt::Debug for Webhook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Webhook")
    }
}

/// What is told did not arrive. Nothing of the address is repeated.
#[derive(Debug, thiserror::Error)]
pub enum WebhookError {
    /// There was no answer.
    #[error("it does not answer")]
    Unreachable(#[source] reqwest::Error),
    /// It answered otherwise than with success; it is not followed anywhere.
    #[error("it answers {0}")]
    Refused(StatusCode),
    /// The body could not be signed.
    #[error("the body cannot be signed")]
    Unsigned(#[source] azure_core::Error),
}

impl Webhook {
    /// Whether `address` may be told anything: `https`, or `http` to this machine, and no user name in it.
    ///
    /// # Errors
    /// What is wrong with it, without repeating it.
    pub fn check(address: &str) -> Result<Url, &'static str> {
        let url = Url::parse(address).map_err(|_| "must be an address like https://example.com/hook")?;
        let local = match url.host() {
            Some(url::Host::Domain(name)) => name == "localhost",
            Some(url::Host::Ipv4(ip)) => ip.is_loopback(),
            Some(url::Host::Ipv6(ip)) => ip.is_loopback(),
            None => false,
        };
        match url.scheme() {
            "https" => {}
            "http" if local => {}
            _ => return Err("must begin with https://; http:// only to this machine"),
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err("must not hold a user name or password");
        }
        Ok(url)
    }

    /// A webhook at an address that was checked.
    ///
    /// # Errors
    /// If the system has no TLS.
    pub fn new(address: Url, secret: String) -> std::io::Result<Self> {
        let client = Client::builder().timeout(PATIENCE).redirect(redirect::Policy::none()).build();
        Ok(Self { client: client.map_err(std::io::Error::other)?, address, secret })
    }

    /// Posts a JSON document.
    ///
    /// # Errors
    /// If it did not arrive.
    pub async fn post(&self, document: String) -> Result<(), WebhookError> {
        let signature = self.signature(&document).map_err(WebhookError::Unsigned)?;
        let request = self.client.post(self.address.clone()).header(SIGNATURE, signature);
        let answer = request.header("content-type", "application/json").body(document).send().await;
        match answer {
            Ok(answer) if answer.status().is_success() => Ok(()),
            Ok(answer) => Err(WebhookError::Refused(answer.status())),
            Err(error) => Err(WebhookError::Unreachable(error.without_url())),
        }
    }

    fn signature(&self, document: &str) -> azure_core::Result<String> {
        // The library speaks base64 on both sides.
        let key = Secret::new(BASE64.encode(&self.secret));
        let signed = azure_core::hmac::hmac_sha256(document, &key)?;
        let bytes = BASE64.decode(signed).unwrap_or_default();
        Ok(format!("sha256={}", hex(&bytes)))
    }
}
