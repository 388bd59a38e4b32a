//! `GET /api/ui`: pages to look at runs in a browser. They are files inside the program and hold no data: what they
//! show they ask of the API, under the API's own auth, so everyone may have them. What each file does stands in its
//! first lines, in `pages/`.

use std::io::Write as _;
use std::sync::LazyLock;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};
use warp::http::header::{CACHE_CONTROL, CONTENT_ENCODING, CONTENT_SECURITY_POLICY, ETAG, VARY};

use super::call::Call;
use super::function::{Answer, Content, Function, Method, Operation};
use super::parameter::PathPart;
use super::reply::{Code, Refusal, Reply};
use super::schema::Shape;
use crate::work::{App, sha256_hex};

pub(super) const FUNCTION: Function =
    Function::anonymous("pages", "ui/{*file}", &[&GET_PAGES, &GET_PAGE_FILE]);

/// The file that is the pages' address itself.
const INDEX: &str = "index.html";
/// The file that a report is put into.
const FRAME: &str = "frame.html";

/// What the pages may do in a browser: speak with the service that they came from.
const POLICY: &str =
    "default-src 'self'; object-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
/// What a report may do inside them: show itself. It brings its style along, and nothing in it runs.
const FRAME_POLICY: &str =
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; frame-ancestors 'self'";

macro_rules! files {
    ($($name:literal: $media_type:literal,)*) => {
        [$(($name, $media_type, include_bytes!(concat!("pages/", $name)).as_slice()),)*]
    };
}

/// Name, media type and content of each.
const FILES: [(&str, &str, &[u8]); 17] = files! {
    "index.html": "text/html; charset=utf-8",
    "frame.html": "text/html; charset=utf-8",
    "icon.svg": "image/svg+xml",
    "app.css": "text/css; charset=utf-8",
    "app.js": "text/javascript; charset=utf-8",
    "api.js": "text/javascript; charset=utf-8",
    "chart.js": "text/javascript; charset=utf-8",
    "compare.js": "text/javascript; charset=utf-8",
    "dom.js": "text/javascript; charset=utf-8",
    "format.js": "text/javascript; charset=utf-8",
    "run.js": "text/javascript; charset=utf-8",
    "runs.js": "text/javascript; charset=utf-8",
    "signals.js": "text/javascript; charset=utf-8",
    "study.js": "text/javascript; charset=utf-8",
    "submit.js": "text/javascript; charset=utf-8",
    "table.js": "text/javascript; charset=utf-8",
    "yaml.js": "text/javascript; charset=utf-8",
};

/// Names all files of this build, so that a browser never mixes those of two.
static BUILD: LazyLock<String> = LazyLock::new(|| {
    let contents: Vec<&[u8]> = FILES.iter().map(|(_, _, content)| *content).collect();
    format!("\"{}\"", &sha256_hex(contents.concat())[..24])
});

/// The same files compressed, in the same order. A file that could not be is empty, and goes as it is.
static COMPRESSED: LazyLock<Vec<Bytes>> = LazyLock::new(|| {
    let compressed = |content: &[u8]| {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(content)?;
        encoder.finish()
    };
    FILES.iter().map(|(_, _, content)| compressed(content).unwrap_or_default().into()).collect()
});

const FILE: PathPart =
    PathPart { name: "file", description: "One of their files", shape: Shape::Plain(file_names) };

fn file_names() -> Value {
    json!({ "type": "string", "enum": FILES.map(|(name, ..)| name) })
}

const HTML: Content = Content { media_type: "text/html", shape: Shape::TEXT, example: None };

const GET_PAGES: Operation = Operation {
    id: "getPages",
    method: Method::Get,
    path: "ui",
    tag: "service",
    summary: "Pages to look at runs in a browser",
    description: "They hold no data: what they show they ask of the other calls, with the key or the sign-in of the person \
                  looks at them.",
    parameters: &[],
    bodies: &[],
    answers: &[Answer::document(200, "HTML", &[HTML]), Answer::NOT_MODIFIED],
    refusals: &[],
    handler: |_, call| Box::pin(async move { page(&call, INDEX) }),
};

const GET_PAGE_FILE: Operation = Operation {
    id: "getPageFile",
    path: "ui/{*file}",
    summary: "A file of these pages",
    description: "",
    parameters: &[&FILE],
    answers: &[
        Answer::document(
            200,
            "The file",
            &[
                HTML,
                Content { media_type: "text/css", ..HTML },
                Content { media_type: "text/javascript", ..HTML },
                Content { media_type: "image/svg+xml", ..HTML },
            ],
        ),
        Answer::NOT_MODIFIED,
    ],
    refusals: &[Code::NotFound],
    handler: |_: App, call| Box::pin(async move { page(&call, call.placeholder(FILE.name)) }),
    ..GET_PAGES
};

fn page(call: &Call, name: &str) -> Result<Reply, Refusal> {
    let Some(at) = FILES.iter().position(|(one, ..)| *one == name) else {
        return Err(Reply::problem(Code::NotFound, "the pages have no such file").into());
    };
    let (_, media_type, content) = FILES[at];
    let compressed = COMPRESSED.get(at).filter(|compressed| !compressed.is_empty() && takes_gzip(call));
    let reply = match (call.knows(&BUILD), compressed) {
        (true, _) => Reply::not_modified(),
        (false, Some(compressed)) => {
            Reply::text(compressed.clone(), media_type).with(CONTENT_ENCODING, "gzip")
        }
        (false, None) => Reply::text(Bytes::from_static(content), media_type),
    };
    let policy = if name == FRAME { FRAME_POLICY } else { POLICY };
    // A browser asks each time whether the build is still the same, which is cheaper than a page of two builds.
    // The tag is weak because it names both codings.
    let etag = format!("W/{}", *BUILD);
    let reply = reply.with(ETAG, &etag).with(CACHE_CONTROL, "no-cache").with(VARY, "Accept-Encoding");
    Ok(reply.with(CONTENT_SECURITY_POLICY, policy))
}

/// Whether the caller reads gzip. An envelope carries texts alone.
fn takes_gzip(call: &Call) -> bool {
    let codings = call.header("accept-encoding").unwrap_or_default();
    let is_taken = |coding: &str| {
        let (name, weight) = coding.split_once(';').unwrap_or((coding, ""));
        name.trim().eq_ignore_ascii_case("gzip")
            && !matches!(weight.trim(), "q=0" | "q=0.0" | "q=0.00" | "q=0.000")
    };
    !call.message.is_enveloped && codings.split(',').any(is_taken)
}
