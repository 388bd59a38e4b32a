//! Whom the front door lets in. A host on a person's machine can be reached by every page that this person's browser shows:
//! what changes something is refused to other sites, and everything to a name that is not this machine's. The real
//! host lies behind an address and a key of its own and has none of this but the answers to CORS.

use warp::http::header::{
    self, ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_REQUEST_HEADERS, ACCESS_CONTROL_REQUEST_METHOD, HeaderMap,
    HeaderValue,
};
use warp::http::{Method, StatusCode};

/// Longest request line, line end included; Kestrel's default.
const REQUEST_LINE_MAX: usize = 8192;

/// Sites that may read answers and change things.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Cors {
    /// Origins like `https://portal.azure.com`; `*` is all of them.
    pub origins: Vec<String>,
    /// Whether their pages may send credentials.
    pub credentials: bool,
}

impl Cors {
    /// Reads origins joined by commas.
    pub fn parse(origins: &str, credentials: bool) -> Result<Cors, String> {
        let origins: Vec<String> = origins
            .split(',')
            .map(|origin| origin.trim().trim_end_matches('/').to_owned())
            .filter(|origin| !origin.is_empty())
            .collect();
        let is_wrong = |origin: &&String| {
            origin.as_str() != "*" && origin.split_once("://").is_none_or(|(_, rest)| rest.contains('/'))
        };
        match origins.iter().find(is_wrong) {
            Some(wrong) => Err(format!("`{wrong}` is not an origin like http://localhost:3000")),
            None if credentials && origins.iter().any(|origin| origin == "*") => {
                Err("`*` cannot go with credentials: browsers refuse that".to_owned())
            }
            None => Ok(Cors { origins, credentials }),
        }
    }

    fn allows(&self, origin: &str) -> bool {
        self.origins.iter().any(|one| one == "*" || one.eq_ignore_ascii_case(origin))
    }

    /// Headers by which a browser lets the page of an allowed origin read the answer.
    pub fn admit(&self, asked: &HeaderMap, answer: &mut HeaderMap) {
        let Some(origin) = asked.get(header::ORIGIN) else { return };
        if !origin.to_str().is_ok_and(|origin| self.allows(origin)) {
            return;
        }
        answer.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
        answer.append(header::VARY, HeaderValue::from_static("Origin"));
        if self.credentials {
            answer.insert(ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
        }
    }

    /// The answer to a question that a browser asks before the request, if this is one.
    pub fn preflight(&self, method: &Method, asked: &HeaderMap) -> Option<HeaderMap> {
        let wanted = asked.get(ACCESS_CONTROL_REQUEST_METHOD).filter(|_| *method == Method::OPTIONS)?;
        let mut answer = HeaderMap::new();
        self.admit(asked, &mut answer);
        if answer.is_empty() {
            return None;
        }
        answer.insert(ACCESS_CONTROL_ALLOW_METHODS, wanted.clone());
        if let Some(headers) = asked.get(ACCESS_CONTROL_REQUEST_HEADERS) {
            answer.insert(ACCESS_CONTROL_ALLOW_HEADERS, headers.clone());
        }
        Some(answer)
    }
}

/// Why a request is turned away.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// Status of the answer.
    pub status: StatusCode,
    /// For the person who meets it.
    pub why: String,
}

/// Looks at a request before anything else does. `name` is how this host is reached beside the names of this machine.
pub fn check(
    method: &Method,
    target: &str,
    headers: &HeaderMap,
    cors: &Cors,
    name: Option<&str>,
) -> Result<(), Refused> {
    let refused = |status, why: String| Err(Refused { status, why });
    if method.as_str().len() + target.len() + " ".len() * 2 + "HTTP/1.1\r\n".len() > REQUEST_LINE_MAX {
        return refused(StatusCode::URI_TOO_LONG, String::new());
    }
    let text = |name: header::HeaderName| headers.get(name).map(|value| value.to_str().unwrap_or("?"));
    let host = text(header::HOST);
    // A page whose name was made to point here after it was loaded sends its own name.
    if let Some(host) = host.filter(|host| !is_ours(host, name)) {
        return refused(
            StatusCode::MISDIRECTED_REQUEST,
            format!("this host is not {host}; call it as localhost, or set WEBSITE_HOSTNAME to that name\n"),
        );
    }
    if [Method::GET, Method::HEAD, Method::OPTIONS].contains(method) {
        return Ok(());
    }
    let origin = text(header::ORIGIN);
    let is_own =
        |origin: &str| host.is_some_and(|host| origin.split_once("://").is_some_and(|(_, at)| at == host));
    let site = headers.get("sec-fetch-site").map(|value| value.to_str().unwrap_or("?"));
    let is_foreign = match origin {
        Some(origin) => !cors.allows(origin) && !is_own(origin),
        None => site.is_some_and(|site| !matches!(site, "same-origin" | "none")),
    };
    if is_foreign {
        let who = origin.unwrap_or("another site");
        return refused(
            StatusCode::FORBIDDEN,
            format!(
                "a page of {who} may not change anything here; --cors or Host.CORS names those that may\n"
            ),
        );
    }
    // What a page may send anywhere without being asked: these types, or none.
    let media = text(header::CONTENT_TYPE).unwrap_or_default().split(';').next().unwrap_or_default();
    let simple = ["", "text/plain", "application/x-www-form-urlencoded", "multipart/form-data"];
    let has_body = headers.contains_key(header::TRANSFER_ENCODING)
        || text(header::CONTENT_LENGTH).is_some_and(|length| length != "0");
    if has_body && simple.iter().any(|one| media.trim().eq_ignore_ascii_case(one)) {
        return refused(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "say what the body is: Content-Type application/json or application/yaml\n".to_owned(),
        );
    }
    Ok(())
}

/// Whether a `Host` names this machine, or the name that this host was given.
fn is_ours(host: &str, name: Option<&str>) -> bool {
    if name.is_some_and(|name| !name.is_empty() && name.eq_ignore_ascii_case(host)) {
        return true;
    }
    let alone = match host.rsplit_once(':') {
        Some((alone, port)) if port.bytes().all(|digit| digit.is_ascii_digit()) => alone,
        _ => host,
    };
    let address = alone.trim_start_matches('[').trim_end_matches(']').parse::<std::net::IpAddr>();
    alone.eq_ignore_ascii_case("localhost")
        || alone.to_ascii_lowercase().ends_with(".localhost")
        || name.is_some_and(|name| !name.is_empty() && name.eq_ignore_ascii_case(alone))
        || address.is_ok_and(|address| address.is_loopback())
}
