//! How a function states itself: what triggers it, and for HTTP the operations it answers, each with its method, path,
//! parameters, body, answers and refusals. `routes` finds the operation of a request in these tables, `openapi` describes
//! them, and the `function.json` that the host reads is written from them too.

use std::future::Future;
use std::pin::Pin;

use serde_json::{Map, Value, json};

use super::call::{Call, Message, Placeholders};
use super::parameter::Parameter;
use super::reply::{Code, Refusal, Reply};
use super::schema::Shape;
use crate::run::Wake;
use crate::work::App;

/// Name of the trigger binding of all HTTP functions.
pub(super) const REQUEST: &str = "req";
/// Name of the output binding of all HTTP functions.
pub(super) const RESPONSE: &str = "res";
/// Name of the trigger binding of all queue functions.
pub(super) const RUN: &str = "run";
/// Name of the trigger binding of all timer functions.
pub(super) const TIMER: &str = "timer";
/// Name of the queue output binding of all functions that have one.
pub(super) const RUNS: &str = "runs";

/// A function of the app: the twin of a folder in `functions/`.
pub(super) struct Function {
    /// Name of the folder.
    pub(super) name: &'static str,
    /// What calls it.
    pub(super) trigger: Trigger,
    /// Whether it has a queue output for wake-up messages. The host calls such a function by envelope.
    pub(super) announces: bool,
}

/// What calls a function.
pub(super) enum Trigger {
    /// A request at a route.
    Http {
        /// Template below the route prefix, in the host's syntax.
        route: &'static str,
        /// Whether the host asks for a key.
        access: Access,
        /// What may be asked there.
        operations: &'static [&'static Operation],
    },
    /// A message of a queue.
    Queue {
        /// Name of the queue, with the settings in it.
        queue: &'static str,
        /// What is done about it.
        handler: TriggerHandler,
    },
    /// A schedule.
    Timer {
        /// NCRONTAB expression, or the setting that holds it.
        schedule: &'static str,
        /// What is done about it.
        handler: TriggerHandler,
    },
}

/// Who may call an HTTP function.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Access {
    /// Callers with a function key.
    Key,
    /// Everyone, at any time: such calls are also answered by an instance that is busy.
    Anonymous,
}

/// A call of the API.
pub(super) struct Operation {
    /// Name in clients that are generated from the document.
    pub(super) id: &'static str,
    /// A read is also answered to `HEAD`.
    pub(super) method: Method,
    /// Template below the route prefix; `{*name}` stands for the rest of the path, slashes included.
    pub(super) path: &'static str,
    /// Group in the document.
    pub(super) tag: &'static str,
    /// One line.
    pub(super) summary: &'static str,
    /// More, if there is more to say.
    pub(super) description: &'static str,
    /// Every parameter it reads; others in the query are refused.
    pub(super) parameters: &'static [&'static dyn Parameter],
    /// The bodies it takes, by media type. None if it reads no body.
    pub(super) bodies: &'static [Content],
    /// What it answers when it does not refuse.
    pub(super) answers: &'static [Answer],
    /// What it may refuse with, beside what every call may.
    pub(super) refusals: &'static [Code],
    /// Answers it.
    pub(super) handler: Handler,
}

/// Method of an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Method {
    /// A read, also as `HEAD`.
    Get,
    /// Makes something, or asks for something to happen.
    Post,
    /// Puts something in the place of what is there.
    Put,
    /// Changes parts of something.
    Patch,
    /// Takes something away.
    Delete,
}

/// A described answer.
pub(super) struct Answer {
    /// HTTP status.
    pub(super) status: u16,
    /// When it is given.
    pub(super) description: &'static str,
    /// What it holds. None for an answer without a body.
    pub(super) contents: &'static [Content],
    /// Headers worth knowing.
    pub(super) headers: &'static [AnswerHeader],
}

/// A body of a media type.
pub(super) struct Content {
    pub(super) media_type: &'static str,
    /// What it looks like.
    pub(super) shape: Shape,
    /// One that works, where the shape has none.
    pub(super) example: Option<&'static str>,
}

/// A described header of an answer.
pub(super) struct AnswerHeader {
    pub(super) name: &'static str,
    /// What it says.
    pub(super) description: &'static str,
    /// Type in JSON Schema.
    pub(super) kind: &'static str,
}

/// The answer of an operation while it is worked on.
pub(super) type Answering = Pin<Box<dyn Future<Output = Result<Reply, Refusal>> + Send>>;

/// Answers an operation.
pub(super) type Handler = fn(App, Call) -> Answering;

/// What a queue or timer function is given.
pub(super) struct Triggered {
    /// The host's name of this invocation.
    pub(super) invocation: String,
    /// Values by binding name.
    pub(super) data: Map<String, Value>,
}

/// What a queue or timer function came to.
pub(super) enum Outcome {
    /// Done; the host sends the messages.
    Done(Vec<Wake>),
    /// The host shall deliver again.
    Again(String),
}

/// Does what a message or a schedule asks for.
pub(super) type TriggerHandler = fn(App, Triggered) -> Pin<Box<dyn Future<Output = Outcome> + Send>>;

impl Answer {
    /// One with a JSON document.
    pub(super) const fn document(
        status: u16,
        description: &'static str,
        contents: &'static [Content],
    ) -> Self {
        Self { status, description, contents, headers: &[] }
    }

    /// 304.
    pub(super) const NOT_MODIFIED: Self = Self::document(304, "The caller has it", &[]);

    /// With headers.
    pub(super) const fn with(self, headers: &'static [AnswerHeader]) -> Self {
        Self { headers, ..self }
    }
}

impl Content {
    /// A JSON document of this shape.
    pub(super) const fn json(shape: Shape) -> Self {
        Self { media_type: "application/json", shape, example: None }
    }
}

impl AnswerHeader {
    /// One whose value is a text.
    pub(super) const fn text(name: &'static str, description: &'static str) -> Self {
        Self { name, description, kind: "string" }
    }

    /// One whose value is a whole number.
    pub(super) const fn whole(name: &'static str, description: &'static str) -> Self {
        Self { name, description, kind: "integer" }
    }
}

impl Method {
    /// As it stands in a request, with `HEAD` where that is taken too.
    pub(super) fn names(self) -> &'static [&'static str] {
        match self {
            Self::Get => &["GET", "HEAD"],
            Self::Post => &["POST"],
            Self::Put => &["PUT"],
            Self::Patch => &["PATCH"],
            Self::Delete => &["DELETE"],
        }
    }
}

impl Function {
    /// An HTTP function that asks for a key and sends no messages.
    pub(super) const fn http(
        name: &'static str,
        route: &'static str,
        operations: &'static [&'static Operation],
    ) -> Self {
        let trigger = Trigger::Http { route, access: Access::Key, operations };
        Self { name, trigger, announces: false }
    }

    /// The same for everyone.
    pub(super) const fn anonymous(
        name: &'static str,
        route: &'static str,
        operations: &'static [&'static Operation],
    ) -> Self {
        let trigger = Trigger::Http { route, access: Access::Anonymous, operations };
        Self { name, trigger, announces: false }
    }

    /// The same with a queue output.
    pub(super) const fn announcing(self) -> Self {
        Self { announces: true, ..self }
    }

    /// What it answers over HTTP.
    pub(super) fn operations(&self) -> &'static [&'static Operation] {
        match self.trigger {
            Trigger::Http { operations, .. } => operations,
            Trigger::Queue { .. } | Trigger::Timer { .. } => &[],
        }
    }

    /// Whether everyone may call it.
    pub(super) fn is_anonymous(&self) -> bool {
        matches!(self.trigger, Trigger::Http { access: Access::Anonymous, .. })
    }

    /// Its `function.json`.
    pub(super) fn json(&self) -> Value {
        const STORAGE: &str = "AzureWebJobsStorage";
        let mut bindings = match &self.trigger {
            Trigger::Http { route, access, operations } => {
                let mut methods = Vec::new();
                for name in operations.iter().flat_map(|operation| operation.method.names()) {
                    let name = name.to_ascii_lowercase();
                    if !methods.contains(&name) {
                        methods.push(name);
                    }
                }
                let level = match access {
                    Access::Key => "function",
                    Access::Anonymous => "anonymous",
                };
                vec![
                    json!({ "type": "httpTrigger", "direction": "in", "name": REQUEST, "authLevel": level,
                            "methods": methods, "route": route }),
                    json!({ "type": "http", "direction": "out", "name": RESPONSE }),
                ]
            }
            // As bytes, the host neither encodes a message twice nor copies its fields over its own metadata.
            Trigger::Queue { queue, .. } => vec![json!({
                "type": "queueTrigger", "direction": "in", "name": RUN, "dataType": "binary",
                "queueName": queue, "connection": STORAGE,
            })],
            Trigger::Timer { schedule, .. } => vec![json!({
                "type": "timerTrigger", "direction": "in", "name": TIMER, "schedule": schedule,
            })],
        };
        if self.announces {
            bindings.push(json!({
                "type": "queue", "direction": "out", "name": RUNS, "queueName": QUEUE, "connection": STORAGE,
            }));
        }
        json!({ "bindings": bindings })
    }
}

/// The queue of wake-up messages.
pub(super) const QUEUE: &str = "%BACKTEST_QUEUE%";

/// The segments of a path as a client wrote it, decoded. A slash at the end counts as none.
pub(super) fn segments(path: &str) -> Vec<String> {
    let path = path.strip_prefix('/').unwrap_or(path);
    let path = path.strip_suffix('/').unwrap_or(path);
    let decoded = |part| percent_encoding::percent_decode_str(part).decode_utf8_lossy().into_owned();
    path.split('/').map(decoded).collect()
}

/// The segments of a path of which the host passes on only the route's placeholders, decoded.
pub(super) fn filled(route: &str, placeholders: &Map<String, Value>) -> Vec<String> {
    let mut segments = Vec::new();
    for part in route.split('/') {
        let Some(placeholder) = part.strip_prefix('{').and_then(|part| part.strip_suffix('}')) else {
            segments.push(part.to_owned());
            continue;
        };
        let name = placeholder.split(':').next().unwrap_or_default();
        let value = |name: &str| placeholders.get(name).and_then(Value::as_str).unwrap_or_default();
        match name.strip_prefix('*') {
            Some(rest) => {
                let rest = value(rest).trim_end_matches('/');
                segments.extend(rest.split('/').filter(|_| !rest.is_empty()).map(str::to_owned));
            }
            None => segments.push(value(name).to_owned()),
        }
    }
    segments
}

impl Operation {
    /// A call of it.
    pub(super) fn called(&self, placeholders: Placeholders, message: Message) -> Call {
        Call { id: self.id, parameters: self.parameters, placeholders, message }
    }

    /// The values of its placeholders in a path, if the path is one of its. As for the host, the case of the fixed words
    /// does not matter; that of the values does.
    pub(super) fn matches(&self, segments: &[String]) -> Option<Placeholders> {
        let mut values = Placeholders::new();
        let mut found = segments.iter();
        for part in self.path.split('/') {
            let given = found.next()?;
            match part.strip_prefix('{').and_then(|part| part.strip_suffix('}')) {
                _ if given.is_empty() => return None,
                None if part.eq_ignore_ascii_case(given) => {}
                None => return None,
                Some(name) => match name.strip_prefix('*') {
                    Some(name) => {
                        let rest: Vec<&str> =
                            std::iter::once(given).chain(found).map(String::as_str).collect();
                        values.insert(name, rest.join("/"));
                        return Some(values);
                    }
                    None => {
                        values.insert(name, given.clone());
                    }
                },
            }
        }
        found.next().is_none().then_some(values)
    }

    /// Path in the document, which has no sign for the rest of a path.
    pub(super) fn documented_path(&self) -> String {
        format!("/{PREFIX}/{}", self.path.replace("{*", "{"))
    }
}

/// The route prefix of the host.
pub(super) const PREFIX: &str = "api";
