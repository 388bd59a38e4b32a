//! The JSON conversation with the handler: how a trigger is described to it, and how its answer is read. Pure; the
//! call itself is in `invoke`.
//!
//! The host encodes oddly and so must this file: everything that is not an object travels as JSON text inside a
//! JSON string, bytes as plain base64, dates without fractions.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, Datelike, SecondsFormat, Utc};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::queue::Message;
use super::route::Parameters;

/// Name and value pairs.
pub type Pairs = Vec<(String, String)>;

/// The two parts of a call.
#[derive(Debug, Clone)]
pub struct Envelope {
    /// The trigger's value under the name of its binding.
    pub data: Map<String, Value>,
    /// What the host knows about the trigger.
    pub metadata: Map<String, Value>,
}

/// What the handler answered.
#[derive(Debug, Default, PartialEq)]
pub struct Answer {
    /// By name of the output binding; `None` if the answer has no outputs at all.
    pub outputs: Option<Map<String, Value>>,
    /// Value for `$return`.
    pub return_value: Value,
    /// Lines for the log of the invocation.
    pub logs: Vec<String>,
}

/// Why an answer does not complete the invocation, or fails it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AnswerError {
    /// The real host waits for ever.
    #[error(
        "the handler answered {status} with an empty body (or null): in Azure this call would hang until functionTimeout \
         and then the whole handler would be killed; answer at least `{{}}` as application/json"
    )]
    Empty {
        /// Status of the answer.
        status: u16,
    },
    /// The status says failure.
    #[error("the handler answered {status}")]
    Status {
        /// Status of the answer.
        status: u16,
    },
    /// The content type is not JSON.
    #[error(
        "the handler answered with content type `{content_type}`: only JSON is read (no MediaTypeFormatter is available)"
    )]
    NotJson {
        /// Content type of the answer; empty if there was none.
        content_type: String,
    },
    /// The text is not an answer object.
    #[error("the handler's answer is malformed ({why}): {text}")]
    Malformed {
        /// What the parser says.
        why: String,
        /// The beginning of the answer.
        text: String,
    },
    /// An output does not suit its binding.
    #[error("output `{name}`: {why}")]
    Output {
        /// Name of the binding.
        name: String,
        /// What is wrong.
        why: String,
    },
}

/// The answer to a request, read from an HTTP output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpAnswer {
    /// Status code.
    pub status: u16,
    /// Headers, content type included.
    pub headers: Pairs,
    /// Body as it goes to the caller, decoded.
    pub body: Vec<u8>,
}

/// A request as the envelope describes it.
#[derive(Debug)]
pub struct RequestParts {
    /// Scheme, host, path and query.
    pub url: String,
    /// Upper case.
    pub method: String,
    /// Pairs in order, decoded.
    pub query: Pairs,
    /// Pairs in order.
    pub headers: Pairs,
    /// Route parameters; `None` was left out.
    pub parameters: Parameters,
    /// The body, if it came with a length above zero.
    pub body: Option<bytes::Bytes>,
}

impl Envelope {
    /// A queue message. In text mode the properties of a JSON message leak into the metadata and replace what stands
    /// there, names compared without case; in binary mode they do not.
    pub fn of_message(
        function: &str,
        binding: &str,
        message: &Message,
        content: &[u8],
        binary: bool,
    ) -> Envelope {
        let mut metadata = Metadata::default();
        metadata.set("DequeueCount", json!(message.dequeue_count.to_string()));
        metadata.set("ExpirationTime", json!(date(message.expires_at)));
        metadata.set("Id", text(&message.id));
        metadata.set("InsertionTime", json!(date(message.inserted_at)));
        metadata.set("NextVisibleTime", json!(date(message.visible_at)));
        metadata.set("PopReceipt", text(&message.receipt));
        metadata.set("sys", sys(function));
        let data = if binary {
            json!(STANDARD.encode(content))
        } else {
            let content = String::from_utf8_lossy(content);
            metadata.absorb(&content);
            text(&content)
        };
        Envelope { data: Map::from_iter([(binding.to_owned(), data)]), metadata: metadata.finish() }
    }

    /// A timer tick. `status` is null for a timer without monitoring.
    pub fn of_tick(
        function: &str,
        binding: &str,
        adjust_for_dst: bool,
        status: &Value,
        past_due: bool,
    ) -> Envelope {
        let timer = json!({
            "Schedule": { "AdjustForDST": adjust_for_dst },
            "ScheduleStatus": status,
            "IsPastDue": past_due,
        });
        let mut metadata = Metadata::default();
        metadata.set("sys", sys(function));
        Envelope { data: Map::from_iter([(binding.to_owned(), timer)]), metadata: metadata.finish() }
    }

    /// A request for a function that the plain ways are closed to.
    pub fn of_request(function: &str, binding: &str, request: &RequestParts) -> Envelope {
        let mut headers = Map::new();
        for (name, value) in &request.headers {
            let values = headers.entry(name.clone()).or_insert_with(|| json!([]));
            if let Value::Array(values) = values {
                values.push(json!(value));
            }
        }
        let flat_headers = headers.iter().map(|(name, values)| (name.clone(), json!(joined(values))));
        let flat_headers = Value::Object(flat_headers.collect());
        let mut query = Map::new();
        for (name, value) in collapse(&request.query) {
            query.insert(name, json!(value));
        }
        let mut described = json!({
            "Url": request.url,
            "Method": request.method,
            "Query": query,
            "Headers": headers,
            "Params": request.parameters.iter().cloned().collect::<std::collections::BTreeMap<_, _>>(),
            "Identities": [{ "AuthenticationType": null, "IsAuthenticated": false, "Actor": null,
                "BootstrapContext": null, "Claims": [], "Label": null, "Name": null,
                "NameClaimType": "http://schemas.xmlsoap.org/ws/2005/05/identity/claims/name",
                "RoleClaimType": "http://schemas.microsoft.com/ws/2008/06/identity/claims/role" }],
        });
        let mut metadata = Metadata::default();
        // Here the last value of a name counts, while the request has them all.
        let last: Map<String, Value> =
            request.query.iter().map(|(name, value)| (name.clone(), json!(value))).collect();
        metadata.set("Query", Value::Object(last));
        metadata.set("Headers", flat_headers);
        metadata.set("sys", sys(function));
        for (name, value) in request.query.iter().filter(|(name, _)| !name.eq_ignore_ascii_case("code")) {
            metadata.set(name, text(value));
        }
        if let Some(body) = &request.body {
            let content_type =
                header(&request.headers, "content-type").unwrap_or_default().to_ascii_lowercase();
            let raw = content_type.starts_with("application/octet-stream")
                || content_type.starts_with("multipart/");
            if raw {
                described["Body"] = json!(STANDARD.encode(body));
            } else {
                let content = decoded(body);
                metadata.absorb(&content);
                described["Body"] = json!(content);
            }
        }
        // A route parameter goes before a property of the body that has its name.
        for (name, value) in &request.parameters {
            if let Some(value) = value {
                metadata.set(name, text(value));
            }
        }
        Envelope { data: Map::from_iter([(binding.to_owned(), described)]), metadata: metadata.finish() }
    }

    /// The bytes on the wire.
    pub fn to_bytes(&self) -> bytes::Bytes {
        json!({ "Data": self.data, "Metadata": self.metadata }).to_string().into()
    }
}

/// Metadata under construction; a name in other case replaces the value but keeps the first spelling.
#[derive(Default)]
struct Metadata(Map<String, Value>);

impl Metadata {
    fn set(&mut self, name: &str, value: Value) {
        let known = self.0.keys().find(|key| key.eq_ignore_ascii_case(name)).cloned();
        self.0.insert(known.unwrap_or_else(|| name.to_owned()), value);
    }

    /// Takes over the top-level properties of a JSON object, except nulls and lists.
    fn absorb(&mut self, content: &str) {
        let Ok(Value::Object(properties)) = serde_json::from_str(content.trim()) else { return };
        for (name, value) in &properties {
            match value {
                Value::Null | Value::Array(_) => (),
                Value::Object(_) => self.set(name, value.clone()),
                Value::String(word) => self.set(name, text(&bound(word))),
                Value::Bool(flag) => self.set(name, text(if *flag { "True" } else { "False" })),
                Value::Number(number) => self.set(name, text(&number.to_string())),
            }
        }
    }

    /// Names ending in `trigger` are left out.
    fn finish(self) -> Map<String, Value> {
        self.0.into_iter().filter(|(name, _)| !name.to_ascii_lowercase().ends_with("trigger")).collect()
    }
}

/// Text as a JSON string literal inside a JSON string.
fn text(value: &str) -> Value {
    json!(json!(value).to_string())
}

/// A property of a message as .NET prints it: what looks like a moment has become one, and loses its form.
fn bound(word: &str) -> String {
    let form = "%m/%d/%Y %H:%M:%S";
    if word.as_bytes().get(10) != Some(&b'T') {
        return word.to_owned();
    }
    match (DateTime::parse_from_rfc3339(word), word.parse::<chrono::NaiveDateTime>()) {
        (Ok(moment), _) => moment.to_utc().format(form).to_string(),
        (Err(_), Ok(moment)) => moment.format(form).to_string(),
        (Err(_), Err(_)) => word.to_owned(),
    }
}

/// The text of a body, whose byte order mark says how it is written; UTF-8 without one.
fn decoded(body: &[u8]) -> String {
    let wide = |bytes: &[u8], read: fn([u8; 2]) -> u16| {
        let units: Vec<u16> = bytes.as_chunks().0.iter().map(|pair| read(*pair)).collect();
        String::from_utf16_lossy(&units)
    };
    match body {
        [0xff, 0xfe, rest @ ..] => wide(rest, u16::from_le_bytes),
        [0xfe, 0xff, rest @ ..] => wide(rest, u16::from_be_bytes),
        [0xef, 0xbb, 0xbf, rest @ ..] => String::from_utf8_lossy(rest).into_owned(),
        plain => String::from_utf8_lossy(plain).into_owned(),
    }
}

fn sys(function: &str) -> Value {
    let now = Utc::now();
    let ticks = format!("{}.{:07}Z", now.format("%Y-%m-%dT%H:%M:%S"), now.timestamp_subsec_nanos() / 100);
    json!({ "MethodName": function, "UtcNow": ticks, "RandGuid": Uuid::new_v4().to_string() })
}

/// A date of the metadata: whole seconds, offset instead of `Z`, never past the year 9999.
fn date(time: DateTime<Utc>) -> String {
    if time.year() > 9999 {
        return "9999-12-31T23:59:59+00:00".to_owned();
    }
    time.to_rfc3339_opts(SecondsFormat::Secs, false)
}

fn joined(values: &Value) -> String {
    let values = values.as_array().map(Vec::as_slice).unwrap_or_default();
    values.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(",")
}

/// Repeated names become one, values joined by commas, in order of first appearance.
pub fn collapse(pairs: &Pairs) -> Pairs {
    let mut collapsed: Pairs = Vec::new();
    for (name, value) in pairs {
        match collapsed.iter_mut().find(|(known, _)| known.eq_ignore_ascii_case(name)) {
            Some((_, values)) => {
                values.push(',');
                values.push_str(value);
            }
            None => collapsed.push((name.clone(), value.clone())),
        }
    }
    collapsed
}

/// The first header of that name, compared without case.
pub fn header<'a>(headers: &'a Pairs, name: &str) -> Option<&'a str> {
    headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
}

impl Answer {
    /// Reads an answer to an envelope.
    pub fn read(status: u16, content_type: Option<&str>, body: &[u8]) -> Result<Answer, AnswerError> {
        if !(200..300).contains(&status) {
            return Err(AnswerError::Status { status });
        }
        if body.is_empty() {
            return Err(AnswerError::Empty { status });
        }
        let media_type = content_type.unwrap_or_default().split(';').next().unwrap_or_default().trim();
        if !["application/json", "text/json"].iter().any(|known| known.eq_ignore_ascii_case(media_type)) {
            return Err(AnswerError::NotJson { content_type: content_type.unwrap_or_default().to_owned() });
        }
        let malformed = |why: String| AnswerError::Malformed {
            why,
            text: String::from_utf8_lossy(body).chars().take(500).collect(),
        };
        let entries = match serde_json::from_slice(body) {
            Ok(Value::Null) => return Err(AnswerError::Empty { status }),
            Ok(Value::Object(entries)) => entries,
            Ok(_) => return Err(malformed("not an object".to_owned())),
            Err(error) => return Err(malformed(error.to_string())),
        };
        let mut answer = Answer::default();
        for (name, value) in entries {
            match (name.to_ascii_lowercase().as_str(), value) {
                (_, Value::Null) => (),
                ("outputs", Value::Object(outputs)) => answer.outputs = Some(outputs),
                ("outputs", _) => return Err(malformed("`Outputs` is not an object".to_owned())),
                ("returnvalue", value) => answer.return_value = value,
                ("logs", Value::Array(lines)) => answer.logs = lines.iter().map(plain_text).collect(),
                ("logs", _) => return Err(malformed("`Logs` is not a list".to_owned())),
                _ => (),
            }
        }
        Ok(answer)
    }

    /// The value for a binding; `None` or null writes nothing.
    pub fn output(&self, binding: &str) -> Option<&Value> {
        let value = match binding {
            "$return" => Some(&self.return_value),
            _ => self.outputs.as_ref().and_then(|outputs| outputs.get(binding)),
        };
        value.filter(|value| !value.is_null())
    }

    /// The response for the HTTP output of that name.
    pub fn http(&self, binding: &str) -> Result<HttpAnswer, AnswerError> {
        let fault = |why: &str| AnswerError::Output { name: binding.to_owned(), why: why.to_owned() };
        let text = |body: Vec<u8>| {
            let headers = vec![("content-type".to_owned(), "text/plain; charset=utf-8".to_owned())];
            HttpAnswer { status: 200, headers, body }
        };
        let nothing = HttpAnswer { status: 204, headers: Vec::new(), body: Vec::new() };
        let entries = match (binding, &self.outputs) {
            ("$return", _) => match &self.return_value {
                Value::Null => return Ok(nothing),
                Value::Object(entries) => entries,
                // Like every text of an answer, it is taken for base64 if it can be.
                Value::String(word) => {
                    return Ok(text(from_base64(word).unwrap_or_else(|| word.clone().into_bytes())));
                }
                other => return Ok(text(other.to_string().into_bytes())),
            },
            (_, None) => return Ok(nothing),
            (_, Some(outputs)) => match outputs.get(binding) {
                None => return Ok(text(b"{}".to_vec())),
                Some(Value::Object(entries)) => entries,
                Some(_) => {
                    return Err(fault("must be a JSON object with `statusCode`, `headers` and `body`"));
                }
            },
        };
        let field = |name: &str| {
            let found = entries.iter().find(|(key, _)| key.eq_ignore_ascii_case(name));
            found.map(|(_, value)| value).filter(|value| !value.is_null())
        };
        // One that cannot be used counts as none.
        let status = field("statusCode").and_then(|value| plain_text(value).parse::<u16>().ok());
        let status = status.filter(|status| (100..1000).contains(status)).unwrap_or(200);
        let mut headers = Pairs::new();
        match field("headers") {
            Some(Value::Object(entries)) => {
                for (name, value) in entries {
                    let text = plain_text(value);
                    if value.is_array() || value.is_object() || !text.is_ascii() {
                        return Err(fault(&format!("header `{name}` must be text of ASCII characters")));
                    }
                    headers.push((name.clone(), text));
                }
            }
            Some(_) => return Err(fault("`headers` is not an object")),
            None => (),
        }
        let body = match field("body") {
            None => Vec::new(),
            Some(Value::String(text)) => text.clone().into_bytes(),
            Some(value @ (Value::Object(_) | Value::Array(_))) => {
                serde_json::to_vec_pretty(value).map_err(|error| fault(&error.to_string()))?
            }
            Some(value) => value.to_string().into_bytes(),
        };
        if header(&headers, "content-type").is_none() && !body.is_empty() {
            headers.push(("content-type".to_owned(), "text/plain; charset=utf-8".to_owned()));
        }
        Ok(HttpAnswer { status, headers, body })
    }
}

/// The messages that a value for a queue output stands for. A string that happens to be base64 is decoded first,
/// unless the binding is binary; a list, or a string holding a JSON list, is one message per item. Objects are written
/// anew with indents, and a text that begins like one must be one; the error says what it is instead.
pub fn messages(value: &Value, binary: bool) -> Result<Vec<Vec<u8>>, String> {
    let item = |value: &Value| match value {
        Value::Null => None,
        Value::Object(_) => Some(format!("{value:#}").into_bytes()),
        value => Some(plain_text(value).into_bytes()),
    };
    let items = |items: &[Value]| items.iter().filter_map(item).collect();
    Ok(match value {
        Value::String(word) if binary => match serde_json::from_str(word) {
            Ok(Value::Array(list)) => items(&list),
            _ => vec![word.clone().into_bytes()],
        },
        Value::String(word) => match (from_base64(word), serde_json::from_str(word)) {
            (Some(bytes), _) => vec![bytes],
            (None, Ok(Value::Array(list))) => items(&list),
            (None, Ok(object @ Value::Object(_))) => items(&[object]),
            (None, Err(error)) if word.trim_start().starts_with('{') => {
                return Err(format!("the text begins like JSON and is none: {error}"));
            }
            (None, _) => vec![word.clone().into_bytes()],
        },
        Value::Array(list) => items(list),
        other => item(other).into_iter().collect(),
    })
}

/// Base64 as .NET reads it: blanks are skipped, padding is required; an empty string does not count.
pub fn from_base64(text: &str) -> Option<Vec<u8>> {
    let compact: String = text.chars().filter(|letter| !matches!(letter, ' ' | '\t' | '\r' | '\n')).collect();
    if compact.is_empty() {
        return None;
    }
    STANDARD.decode(compact).ok()
}

/// Content as stored in a queue with base64 encoding.
pub fn to_base64(content: &[u8]) -> String {
    STANDARD.encode(content)
}

fn plain_text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}
