//! The function app as it is on disk: `host.json`, each `function.json` and the settings, read once and checked as
//! a whole. Every fault is reported, with file and field. Running the app is for the other files.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;

use super::Options;
use super::guard::Cors;
use super::queue::is_queue_name;
use super::route::Route;
use crate::ncrontab::{Schedule, parse_time_span};

/// The value of a storage setting that names the queues on this disk.
pub const DISK_STORAGE: &str = "UseDevelopmentStorage=disk";

/// A function app that passed every check.
#[derive(Debug)]
pub struct App {
    /// Folder of `host.json`.
    pub root: PathBuf,
    /// How to start the handler.
    pub handler: HandlerCommand,
    /// First part of every public path, without slashes; may be empty.
    pub route_prefix: String,
    /// Longest run of one invocation; `None` is unlimited.
    pub function_timeout: Option<Duration>,
    /// Plain requests are passed on, buffered.
    pub forwarding: bool,
    /// Plain requests are passed on, streaming; goes before `forwarding`.
    pub proxying: bool,
    /// The queue settings of the whole app.
    pub queues: QueueSettings,
    /// Sorted by name without regard to case: the order in which routes are tried.
    pub functions: Vec<Function>,
    /// The environment of the handler, before the host's own five variables.
    pub environment: BTreeMap<String, String>,
    /// Largest request body in bytes.
    pub body_bytes_max: u64,
    /// Other sites that may call.
    pub cors: Cors,
    /// `Host.LocalHttpPort` of the local settings.
    pub local_port: Option<u16>,
    /// What stands in the local settings and has no effect here, one sentence each.
    pub without_effect: Vec<String>,
}

/// The command line of the handler, all `%X%` replaced.
#[derive(Debug)]
pub struct HandlerCommand {
    /// The program: a path, or a name to be found on `PATH`.
    pub program: PathBuf,
    /// Arguments, already split.
    pub arguments: Vec<String>,
    /// Where it runs.
    pub directory: PathBuf,
    /// How long it may take to answer its first request.
    pub initialization_timeout: Duration,
    /// A fixed port; `None` picks a free one.
    pub port: Option<u16>,
    /// Every stderr line counts as an error unless it contains `warn`.
    pub stderr_is_errors: bool,
}

/// `extensions.queues` of `host.json`.
#[derive(Debug, Clone)]
pub struct QueueSettings {
    /// Messages fetched at once.
    pub batch_size: usize,
    /// Fetch again once no more than this many are being worked on.
    pub new_batch_threshold: usize,
    /// Longest pause between two looks at an empty queue.
    pub polling_interval_max: Duration,
    /// Pause before a failed message is shown again.
    pub visibility_timeout: Duration,
    /// Executions before a message is moved to the poison queue.
    pub dequeue_count_max: u32,
    /// Message texts are base64 of the content.
    pub base64: bool,
}

/// One function of the app.
#[derive(Debug)]
pub struct Function {
    /// Name of its folder.
    pub name: String,
    /// What starts it.
    pub trigger: Trigger,
    /// Name of the trigger's binding.
    pub trigger_name: String,
    /// What the host does with its answer.
    pub outputs: Vec<Output>,
    /// Switched off by a setting.
    pub disabled: bool,
}

/// What starts a function.
#[derive(Debug)]
pub enum Trigger {
    /// A request.
    Http {
        /// Path below the prefix.
        route: Route,
        /// Upper case; `None` allows all.
        methods: Option<Vec<String>>,
        /// Who may call.
        auth: AuthLevel,
    },
    /// A message.
    Queue {
        /// Queue listened to.
        queue: String,
        /// The handler gets bytes instead of text.
        binary: bool,
    },
    /// A moment.
    Timer {
        /// NCRONTAB times at which it is called, UTC.
        schedule: Schedule,
        /// The expression, for people.
        expression: String,
        /// Also runs whenever the host starts.
        run_on_startup: bool,
        /// Occurrences missed while the host was down are made up for, once.
        monitored: bool,
    },
}

/// Who may call an HTTP function.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AuthLevel {
    /// Everybody.
    Anonymous,
    /// Holders of the function's key or of a host key.
    Function,
    /// Holders of the master key.
    Admin,
}

/// A declared output.
#[derive(Debug)]
pub struct Output {
    /// Binding name; `$return` is the answer's return value.
    pub name: String,
    /// Where it goes.
    pub kind: OutputKind,
}

/// Where an output goes.
#[derive(Debug)]
pub enum OutputKind {
    /// The answer to the request.
    Http,
    /// Messages into a queue.
    Queue {
        /// The queue, created on demand.
        queue: String,
        /// Strings are taken as they are, even when they look like base64.
        binary: bool,
    },
}

/// How a request reaches the handler.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HttpMode {
    /// Streamed through, untouched.
    Proxy,
    /// Rebuilt and buffered.
    Forward,
    /// Described in JSON.
    Envelope,
}

/// Every fault of an app, one a line.
#[derive(Debug, thiserror::Error)]
#[error("the function app has {} fault{}:{}", .0.len(), if .0.len() == 1 { "" } else { "s" }, list(.0))]
pub struct AppError(pub Vec<Fault>);

/// One thing wrong, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// File, relative to the app root where possible.
    pub file: String,
    /// Field in it, dotted; empty for the whole file.
    pub field: String,
    /// What is wrong.
    pub message: String,
}

impl App {
    /// Reads and checks everything.
    pub fn load(options: &Options) -> Result<App, AppError> {
        let mut reader =
            Reader { root: options.app_root.clone(), faults: Vec::new(), settings: Settings::default() };
        let host_json = reader.object(&options.app_root.join("host.json")).unwrap_or_default();
        let local = reader.local_settings(&options.local_settings);
        reader.settings = Settings::merge([&options.settings, &local.values, &options.environment]);
        let host = reader.host(&host_json);
        let handler = reader.handler(options, &host);
        let queues = reader.queues(&host, options.strict);
        let functions = reader.functions(options, &host);
        let function_timeout = match host.text("functionTimeout") {
            None => Some(Duration::from_secs(30 * 60)),
            Some("-1") => None,
            Some(_) => Some(reader.time_span(&host, "functionTimeout", Duration::ZERO)),
        };
        if function_timeout.is_some_and(|timeout| timeout < Duration::from_secs(1)) {
            reader.fault("host.json", "functionTimeout", "the shortest timeout is 1 second");
        }
        let app = App {
            root: options.app_root.clone(),
            handler,
            route_prefix: host
                .text("extensions.http.routePrefix")
                .unwrap_or("api")
                .trim_matches('/')
                .to_owned(),
            function_timeout,
            forwarding: reader.flag(&host, "customHandler.enableForwardingHttpRequest", false),
            proxying: reader.flag(&host, "customHandler.enableProxyingHttpRequest", false),
            queues,
            functions,
            body_bytes_max: reader.body_limit(),
            cors: options.cors.clone().unwrap_or(local.cors),
            local_port: local.port,
            without_effect: local.without_effect,
            environment: reader.settings.0,
        };
        if reader.faults.is_empty() { Ok(app) } else { Err(AppError(reader.faults)) }
    }

    /// How requests for this function travel. The plain ways need exactly one trigger and one HTTP output.
    pub fn http_mode(&self, function: &Function) -> HttpMode {
        let plain = matches!(function.outputs[..], [Output { kind: OutputKind::Http, .. }]);
        match (plain, self.proxying, self.forwarding) {
            (true, true, _) => HttpMode::Proxy,
            (true, false, true) => HttpMode::Forward,
            _ => HttpMode::Envelope,
        }
    }
}

fn list(faults: &[Fault]) -> String {
    faults.iter().fold(String::new(), |mut text, fault| {
        let separator = if fault.field.is_empty() { "" } else { ": " };
        // Writing to a string cannot fail.
        let _ = write!(text, "\n  {}{separator}{}: {}", fault.file, fault.field, fault.message);
        text
    })
}

/// The merged settings; later maps win over earlier ones.
#[derive(Debug, Default)]
struct Settings(BTreeMap<String, String>);

impl Settings {
    fn merge(maps: [&BTreeMap<String, String>; 3]) -> Settings {
        let pairs = maps.into_iter().flatten();
        Settings(pairs.map(|(name, value)| (name.clone(), value.clone())).collect())
    }

    /// Exact name first; else without regard to case, as the host's configuration reads names.
    fn get(&self, name: &str) -> Option<&str> {
        let exact = self.0.get(name);
        let found =
            exact.or_else(|| self.0.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, v)| v));
        found.map(String::as_str)
    }

    fn is_true(&self, name: &str) -> bool {
        self.get(name).is_some_and(|value| value == "1" || value.eq_ignore_ascii_case("true"))
    }

    /// Replaces each `%NAME%`; returns the text and the names that are not set, which vanish from it.
    fn expand(&self, text: &str) -> (String, Vec<String>) {
        let (mut result, mut unknown, mut rest) = (String::new(), Vec::new(), text);
        while let Some((before, after)) = rest.split_once('%')
            && let Some((name, after)) = after.split_once('%')
        {
            result.push_str(before);
            match self.get(name) {
                Some(value) => result.push_str(value),
                None => unknown.push(name.to_owned()),
            }
            rest = after;
        }
        result.push_str(rest);
        (result, unknown)
    }
}

/// `host.json` with all overrides applied, flat: `customHandler.description.arguments.0` and so on, lower case.
struct HostJson(BTreeMap<String, String>);

impl HostJson {
    fn text(&self, path: &str) -> Option<&str> {
        self.0.get(&path.to_ascii_lowercase()).map(String::as_str).filter(|text| !text.is_empty())
    }

    fn has_section(&self, path: &str) -> bool {
        let prefix = format!("{}.", path.to_ascii_lowercase());
        self.0.keys().any(|key| key.starts_with(&prefix))
    }

    /// An array, or one text holding a JSON array: that is how a setting can replace one.
    fn texts(&self, path: &str) -> Vec<String> {
        if let Some(text) = self.text(path) {
            return serde_json::from_str(text).unwrap_or_else(|_| vec![text.to_owned()]);
        }
        (0..)
            .map_while(|index| self.0.get(&format!("{}.{index}", path.to_ascii_lowercase())).cloned())
            .collect()
    }

    fn flatten(path: &str, value: &Value, into: &mut BTreeMap<String, String>) {
        let mut child = |key: &str, value: &Value| {
            let key = key.to_ascii_lowercase();
            HostJson::flatten(&if path.is_empty() { key } else { format!("{path}.{key}") }, value, into);
        };
        match value {
            Value::Object(entries) => entries.iter().for_each(|(key, value)| child(key, value)),
            Value::Array(items) => {
                items.iter().enumerate().for_each(|(index, value)| child(&index.to_string(), value));
            }
            Value::Null => (),
            Value::String(text) => {
                into.insert(path.to_owned(), text.clone());
            }
            Value::Bool(_) | Value::Number(_) => {
                into.insert(path.to_owned(), value.to_string());
            }
        }
    }
}

/// `local.settings.json`, which only local hosts read.
#[derive(Default)]
struct LocalSettings {
    values: BTreeMap<String, String>,
    port: Option<u16>,
    cors: Cors,
    without_effect: Vec<String>,
}

/// Collects faults while reading; every method goes on after a fault.
struct Reader {
    root: PathBuf,
    faults: Vec<Fault>,
    settings: Settings,
}

impl Reader {
    fn fault(&mut self, file: &str, field: &str, message: impl Into<String>) {
        self.faults.push(Fault { file: file.to_owned(), field: field.to_owned(), message: message.into() });
    }

    fn name_of(&self, path: &Path) -> String {
        let inside = path.strip_prefix(&self.root).ok();
        let beside = path.file_name().map(Path::new);
        inside
            .or(beside.filter(|_| path.ends_with("local.settings.json")))
            .unwrap_or(path)
            .display()
            .to_string()
    }

    /// A JSON object from a file; comments are allowed, as the host allows them.
    fn object(&mut self, path: &Path) -> Option<serde_json::Map<String, Value>> {
        let file = self.name_of(path);
        let text = match fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) => {
                self.fault(&file, "", format!("cannot be read: {error}"));
                return None;
            }
        };
        match serde_json::from_str(&without_comments(text.trim_start_matches('\u{feff}'))) {
            Ok(Value::Object(object)) => Some(object),
            Ok(_) => {
                self.fault(&file, "", "must be a JSON object");
                None
            }
            Err(error) => {
                self.fault(&file, "", format!("is not JSON: {error}"));
                None
            }
        }
    }

    fn local_settings(&mut self, path: &Path) -> LocalSettings {
        let mut local = LocalSettings::default();
        if !path.exists() {
            return local;
        }
        let file = self.name_of(path);
        let Some(object) = self.object(path) else { return local };
        if object.get("IsEncrypted").and_then(Value::as_bool) == Some(true) {
            self.fault(&file, "IsEncrypted", "encrypted settings cannot be read here; decrypt the file");
        }
        let values = &mut local.values;
        match object.get("Values") {
            Some(Value::Object(entries)) => {
                for (name, value) in entries {
                    match value {
                        Value::String(text) => drop(values.insert(name.clone(), text.clone())),
                        Value::Bool(_) | Value::Number(_) => {
                            drop(values.insert(name.clone(), value.to_string()));
                        }
                        _ => self.fault(&file, &format!("Values.{name}"), "must be a string"),
                    }
                }
            }
            None => (),
            Some(_) => self.fault(&file, "Values", "must be an object"),
        }
        match object.get("Host") {
            Some(Value::Object(entries)) => self.local_host(&file, entries, &mut local),
            None | Some(Value::Null) => (),
            Some(_) => self.fault(&file, "Host", "must be an object"),
        }
        let others = object.keys().filter(|name| !["IsEncrypted", "Values", "Host"].contains(&name.as_str()));
        local.without_effect.extend(others.map(|name| format!("{file}: {name} has no effect here")));
        local
    }

    /// Section `Host`: what the tools of the real host take from it.
    fn local_host(
        &mut self,
        file: &str,
        entries: &serde_json::Map<String, Value>,
        local: &mut LocalSettings,
    ) {
        let (mut origins, mut credentials) = ("", false);
        for (name, value) in entries {
            let path = format!("Host.{name}");
            match (name.to_ascii_lowercase().as_str(), value) {
                (_, Value::Null) => (),
                ("localhttpport", value) => {
                    let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
                    local.port = text.parse().ok().filter(|port| *port > 0);
                    if local.port.is_none() {
                        self.fault(file, &path, format!("`{text}` is not a port from 1 to 65535"));
                    }
                }
                ("cors", Value::String(text)) => origins = text,
                ("cors", _) => self.fault(file, &path, "must be origins in one string, joined by commas"),
                ("corscredentials", Value::Bool(flag)) => credentials = *flag,
                ("corscredentials", _) => self.fault(file, &path, "must be true or false"),
                _ => local.without_effect.push(format!("{file}: {path} has no effect here")),
            }
        }
        match Cors::parse(origins, credentials) {
            Ok(cors) => local.cors = cors,
            Err(why) => self.fault(file, "Host.CORS", why),
        }
    }

    fn host(&mut self, object: &serde_json::Map<String, Value>) -> HostJson {
        let mut flat = BTreeMap::new();
        HostJson::flatten("", &Value::Object(object.clone()), &mut flat);
        if !object.is_empty() && flat.get("version").map(String::as_str) != Some("2.0") {
            self.fault("host.json", "version", "must be \"2.0\"");
        }
        for (name, value) in &self.settings.0 {
            if let Some((prefix, path)) = name.split_once("__")
                && prefix.eq_ignore_ascii_case("AzureFunctionsJobHost")
            {
                flat.insert(path.replace("__", ".").to_ascii_lowercase(), value.clone());
            }
        }
        let host = HostJson(flat);
        if !host.texts("customHandler.http.routes").is_empty()
            || host.has_section("customHandler.http.routes")
        {
            self.fault(
                "host.json",
                "customHandler.http.routes",
                "cannot be combined with function.json files",
            );
        }
        host
    }

    fn handler(&mut self, options: &Options, host: &HostJson) -> HandlerCommand {
        const SECTION: &str = "customHandler.description";
        let default = Duration::from_secs(30);
        let initialization_timeout = self.time_span(host, "customHandler.initializationTimeout", default);
        let port = host.text("customHandler.port").map(str::to_owned);
        let port = port.and_then(|text| match text.parse::<u16>() {
            Ok(port) if port > 0 => Some(port),
            _ => {
                self.fault(
                    "host.json",
                    "customHandler.port",
                    format!("`{text}` is not a port from 1 to 65535"),
                );
                None
            }
        });
        let program = match (&options.executable, host.text(&format!("{SECTION}.defaultExecutablePath"))) {
            (_, None) => {
                self.fault("host.json", &format!("{SECTION}.defaultExecutablePath"), "is missing");
                PathBuf::new()
            }
            (Some(executable), Some(_)) => executable.clone(),
            (None, Some(text)) => self.program(&self.expand_or_drop(text), host),
        };
        let mut arguments: Vec<String> = host
            .texts(&format!("{SECTION}.arguments"))
            .iter()
            .map(|text| self.expand_or_drop(text))
            .collect();
        if let Some(path) = host.text(&format!("{SECTION}.defaultWorkerPath")) {
            arguments.push(format!("\"{}\"", self.expand_or_drop(path)));
        }
        let worker_arguments = host.texts(&format!("{SECTION}.workerArguments"));
        arguments.extend(worker_arguments.iter().map(|text| self.expand_or_drop(text)));
        let directory = host.text(&format!("{SECTION}.workingDirectory"));
        HandlerCommand {
            program,
            arguments: split_command_line(&arguments.join(" ")),
            directory: directory.map_or_else(|| self.root.clone(), |path| self.root.join(path)),
            initialization_timeout,
            port,
            stderr_is_errors: self.flag(host, &format!("{SECTION}.useStdErrorStreamForErrorsOnly"), true),
        }
    }

    /// A file below the worker directory if there is one, else a name for `PATH`.
    fn program(&self, text: &str, host: &HostJson) -> PathBuf {
        let directory = host.text("customHandler.description.workerDirectory");
        let candidate = directory.map_or_else(|| self.root.clone(), |path| self.root.join(path)).join(text);
        if candidate.exists() { candidate } else { PathBuf::from(text) }
    }

    /// Unknown names vanish, as the host deletes them from a command line.
    fn expand_or_drop(&self, text: &str) -> String {
        self.settings.expand(text).0
    }

    fn queues(&mut self, host: &HostJson, strict: bool) -> QueueSettings {
        const SECTION: &str = "extensions.queues";
        let path = |name: &str| format!("{SECTION}.{name}");
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let batch_size = self.number(host, &path("batchSize"), 16, 1..=32);
        let threshold_default = batch_size / 2 * u64::try_from(cores).unwrap_or(1);
        let polling_default = Duration::from_secs(if strict { 60 } else { 2 });
        let polling_interval_max = self.time_span(host, &path("maxPollingInterval"), polling_default);
        if polling_interval_max < Duration::from_millis(100) {
            self.fault("host.json", &path("maxPollingInterval"), "must be at least 100 ms");
        }
        let base64 = match host.text(&path("messageEncoding")).map(str::to_ascii_lowercase).as_deref() {
            None | Some("base64") => true,
            Some("none") => false,
            Some(other) => {
                self.fault(
                    "host.json",
                    &path("messageEncoding"),
                    format!("`{other}` is neither base64 nor none"),
                );
                true
            }
        };
        let threshold = self.number(host, &path("newBatchThreshold"), threshold_default, 0..=1000);
        let dequeue_count_max = self.number(host, &path("maxDequeueCount"), 5, 1..=u64::from(u32::MAX));
        QueueSettings {
            batch_size: usize::try_from(batch_size).unwrap_or(16),
            new_batch_threshold: usize::try_from(threshold).unwrap_or(0),
            polling_interval_max,
            visibility_timeout: self.time_span(host, &path("visibilityTimeout"), Duration::ZERO),
            dequeue_count_max: u32::try_from(dequeue_count_max).unwrap_or(5),
            base64,
        }
    }

    fn body_limit(&mut self) -> u64 {
        const NAME: &str = "FUNCTIONS_REQUEST_BODY_SIZE_LIMIT";
        const DEFAULT: u64 = 104_857_600;
        let text = self.settings.get(NAME).map(str::to_owned);
        match text.as_deref().map(str::parse) {
            None => DEFAULT,
            Some(Ok(bytes)) => bytes,
            Some(Err(_)) => {
                self.fault("settings", NAME, "must be a number of bytes");
                DEFAULT
            }
        }
    }

    fn functions(&mut self, options: &Options, host: &HostJson) -> Vec<Function> {
        let allowed = host.texts("functions");
        let mut functions = Vec::new();
        for folder in self.folders(&options.functions_dir) {
            let name = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let nested: Vec<PathBuf> = self
                .folders(&folder)
                .into_iter()
                .filter(|inner| inner.join("function.json").is_file())
                .collect();
            for inner in nested {
                let file = self.name_of(&inner.join("function.json"));
                self.fault(&file, "", "is nested too deep: the host only finds direct child folders");
            }
            let file = folder.join("function.json");
            if !file.is_file()
                || !allowed.is_empty() && !allowed.iter().any(|one| one.eq_ignore_ascii_case(&name))
            {
                continue;
            }
            functions.extend(self.function(&name, &file));
        }
        functions.sort_by_key(|function: &Function| function.name.to_ascii_lowercase());
        functions
    }

    /// Direct child folders, sorted. A folder that cannot be listed is a fault only when it is the first one.
    fn folders(&mut self, parent: &Path) -> Vec<PathBuf> {
        let entries = match fs::read_dir(parent) {
            Ok(entries) => entries,
            Err(error) => {
                let file = self.name_of(parent);
                self.fault(&file, "", format!("cannot be listed: {error}"));
                return Vec::new();
            }
        };
        let paths = entries.filter_map(|entry| Some(entry.ok()?.path()));
        let mut folders: Vec<PathBuf> = paths.filter(|path| path.is_dir()).collect();
        folders.sort();
        folders
    }

    fn function(&mut self, name: &str, path: &Path) -> Option<Function> {
        let object = self.object(path)?;
        let file = self.name_of(path);
        let faults_before = self.faults.len();
        let mut letters = name.chars();
        let well_named = letters.next().is_some_and(|first| first.is_ascii_alphabetic())
            && letters.all(|letter| letter.is_ascii_alphanumeric() || letter == '_' || letter == '-')
            && name.len() <= 128;
        if !well_named || name.eq_ignore_ascii_case("host") {
            self.fault(
                &file,
                "",
                format!("`{name}` is not a function name (letter, then letters, digits, `_`, `-`)"),
            );
        }
        let bindings = match object.get("bindings") {
            Some(Value::Array(bindings)) if !bindings.is_empty() => bindings.clone(),
            _ => {
                self.fault(&file, "bindings", "must be a list with at least one binding");
                return None;
            }
        };
        let (mut triggers, mut outputs, mut names) = (Vec::new(), Vec::new(), Vec::new());
        for (index, binding) in bindings.iter().enumerate() {
            let mut binding =
                Binding { reader: self, file: &file, path: format!("bindings[{index}]"), value: binding };
            let binding_name = binding.name();
            if names.contains(&binding_name.to_ascii_lowercase()) {
                binding.fault("name", format!("`{binding_name}` is used twice"));
            }
            names.push(binding_name.to_ascii_lowercase());
            match binding.read(name) {
                Some(Part::Trigger(trigger)) => triggers.push((binding_name, trigger)),
                Some(Part::Output(kind)) => outputs.push(Output { name: binding_name, kind }),
                None => (),
            }
        }
        let disabled = self.settings.is_true(&format!("AzureWebJobs.{name}.Disabled"))
            || object.get("disabled").and_then(Value::as_bool) == Some(true);
        if self.faults.len() > faults_before {
            return None;
        }
        let trigger_count = triggers.len();
        let (1, Some((trigger_name, trigger))) = (trigger_count, triggers.pop()) else {
            self.fault(&file, "bindings", format!("needs exactly one trigger, has {trigger_count}"));
            return None;
        };
        Some(Function { name: name.to_owned(), trigger, trigger_name, outputs, disabled })
    }

    fn time_span(&mut self, host: &HostJson, path: &str, default: Duration) -> Duration {
        let Some(text) = host.text(path) else { return default };
        parse_time_span(text).unwrap_or_else(|| {
            self.fault("host.json", path, format!("`{text}` is not a time span like 00:00:30"));
            default
        })
    }

    fn number(
        &mut self,
        host: &HostJson,
        path: &str,
        default: u64,
        range: std::ops::RangeInclusive<u64>,
    ) -> u64 {
        let Some(text) = host.text(path) else { return default };
        match text.parse() {
            Ok(number) if range.contains(&number) => number,
            _ => {
                let message = format!("`{text}` is not a number from {} to {}", range.start(), range.end());
                self.fault("host.json", path, message);
                default
            }
        }
    }

    fn flag(&mut self, host: &HostJson, path: &str, default: bool) -> bool {
        match host.text(path).map(str::to_ascii_lowercase).as_deref() {
            None => default,
            Some("true") => true,
            Some("false") => false,
            Some(other) => {
                self.fault("host.json", path, format!("`{other}` is neither true nor false"));
                default
            }
        }
    }

    fn check_storage(&mut self, connection: &str) {
        let identity = format!("{}__", connection.to_ascii_lowercase());
        let by_identity = self.settings.0.keys().any(|name| name.to_ascii_lowercase().starts_with(&identity));
        let is_disk = match self.settings.get(connection) {
            None | Some("") => true,
            Some(value) => value.eq_ignore_ascii_case(DISK_STORAGE),
        };
        let message = format!(
            "names a storage service, but this host keeps its queues on disk only; unset it or use `{DISK_STORAGE}`"
        );
        let fault = Fault { file: "settings".to_owned(), field: connection.to_owned(), message };
        if (by_identity || !is_disk) && !self.faults.contains(&fault) {
            self.faults.push(fault);
        }
    }
}

enum Part {
    Trigger(Trigger),
    Output(OutputKind),
}

/// One entry of `bindings`, with its place for messages.
struct Binding<'a> {
    reader: &'a mut Reader,
    file: &'a str,
    path: String,
    value: &'a Value,
}

impl Binding<'_> {
    fn fault(&mut self, field: &str, message: impl Into<String>) {
        let field = format!("{}.{field}", self.path);
        self.reader.fault(self.file, &field, message);
    }

    fn field(&self, name: &str) -> Option<&Value> {
        let entries = self.value.as_object()?;
        let value = entries.get(name).or_else(|| {
            entries.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value)
        });
        value.filter(|value| !value.is_null())
    }

    fn text(&mut self, name: &str) -> Option<String> {
        match self.field(name)? {
            Value::String(text) => Some(text.clone()),
            _ => {
                self.fault(name, "must be a string");
                None
            }
        }
    }

    fn flag(&mut self, name: &str, default: bool) -> bool {
        match self.field(name) {
            None => default,
            Some(Value::Bool(flag)) => *flag,
            Some(_) => {
                self.fault(name, "must be true or false");
                default
            }
        }
    }

    fn name(&mut self) -> String {
        let name = self.text("name").unwrap_or_default();
        let mut letters = name.chars();
        let regular = letters.next().is_some_and(|first| first.is_ascii_alphabetic())
            && letters.all(|letter| letter.is_ascii_alphanumeric());
        if !regular && name != "$return" {
            self.fault("name", format!("`{name}` must be a letter followed by letters and digits"));
        }
        name
    }

    /// A required text in which every `%NAME%` must be set.
    fn expanded(&mut self, name: &str) -> Option<String> {
        let Some(text) = self.text(name) else {
            if self.field(name).is_none() {
                self.fault(name, "is missing");
            }
            return None;
        };
        let (expanded, unknown) = self.reader.settings.expand(&text);
        for setting in &unknown {
            self.fault(name, format!("`%{setting}%` is not set"));
        }
        unknown.is_empty().then_some(expanded)
    }

    fn read(&mut self, function: &str) -> Option<Part> {
        let kind = self.text("type").unwrap_or_default();
        let (direction_due, part) = match kind.to_ascii_lowercase().as_str() {
            "httptrigger" => ("in", self.http_trigger(function).map(Part::Trigger)),
            "queuetrigger" => ("in", self.queue_trigger().map(Part::Trigger)),
            "timertrigger" => ("in", self.timer_trigger().map(Part::Trigger)),
            "http" => ("out", Some(Part::Output(OutputKind::Http))),
            "queue" => ("out", self.queue_output().map(Part::Output)),
            _ => {
                self.fault(
                    "type",
                    format!("`{kind}` is not one of httpTrigger, queueTrigger, timerTrigger, http, queue"),
                );
                return None;
            }
        };
        let direction = self.text("direction").unwrap_or_else(|| "in".to_owned());
        if !direction.eq_ignore_ascii_case(direction_due) {
            self.fault("direction", format!("`{kind}` goes `{direction_due}`, not `{direction}`"));
        }
        part
    }

    fn http_trigger(&mut self, function: &str) -> Option<Trigger> {
        let route = self.text("route").filter(|route| !route.is_empty());
        let route = match Route::parse(route.as_deref().unwrap_or(function)) {
            Ok(route) => Some(route),
            Err(error) => {
                self.fault("route", error.to_string());
                None
            }
        };
        let auth = match self.text("authLevel").map(|text| text.to_ascii_lowercase()).as_deref() {
            None | Some("function") => AuthLevel::Function,
            Some("anonymous") => AuthLevel::Anonymous,
            Some("admin") => AuthLevel::Admin,
            Some(other) => {
                self.fault("authLevel", format!("`{other}` is not one of anonymous, function, admin"));
                AuthLevel::Function
            }
        };
        let methods = self.methods();
        Some(Trigger::Http { route: route?, methods, auth })
    }

    fn methods(&mut self) -> Option<Vec<String>> {
        let Some(Value::Array(methods)) = self.field("methods") else {
            if self.field("methods").is_some() {
                self.fault("methods", "must be a list of strings");
            }
            return None;
        };
        let texts: Vec<Option<&str>> = methods.iter().map(Value::as_str).collect();
        if texts.contains(&None) {
            self.fault("methods", "must be a list of strings");
            return None;
        }
        let upper: Vec<String> = texts.into_iter().flatten().map(str::to_ascii_uppercase).collect();
        (!upper.is_empty()).then_some(upper)
    }

    fn queue_trigger(&mut self) -> Option<Trigger> {
        let (queue, binary) = (self.queue(), self.binary());
        Some(Trigger::Queue { queue: queue?, binary })
    }

    fn queue_output(&mut self) -> Option<OutputKind> {
        let (queue, binary) = (self.queue(), self.binary());
        Some(OutputKind::Queue { queue: queue?, binary })
    }

    fn queue(&mut self) -> Option<String> {
        let connection = self.text("connection").unwrap_or_else(|| "AzureWebJobsStorage".to_owned());
        self.reader.check_storage(&connection);
        let queue = self.expanded("queueName")?.to_ascii_lowercase();
        if !is_queue_name(&queue) {
            self.fault(
                "queueName",
                format!("`{queue}` is not a queue name (3 to 63 of a-z, 0-9 and single `-`)"),
            );
            return None;
        }
        Some(queue)
    }

    fn binary(&mut self) -> bool {
        match self.text("dataType").map(|text| text.to_ascii_lowercase()).as_deref() {
            None | Some("string") => false,
            Some("binary") => true,
            Some(other) => {
                self.fault("dataType", format!("`{other}` is neither string nor binary"));
                false
            }
        }
    }

    fn timer_trigger(&mut self) -> Option<Trigger> {
        let run_on_startup = self.flag("runOnStartup", false);
        let use_monitor = self.flag("useMonitor", true);
        let expression = self.expanded("schedule")?;
        match Schedule::parse(&expression) {
            Ok(schedule) => {
                let monitored = use_monitor && !schedule.is_denser_than_a_minute();
                Some(Trigger::Timer { schedule, expression, run_on_startup, monitored })
            }
            Err(error) => {
                self.fault("schedule", format!("`{expression}`: {error}"));
                None
            }
        }
    }
}

/// Blanks out `//` and `/* */` outside of strings; line numbers stay.
fn without_comments(text: &str) -> String {
    let mut result = String::with_capacity(text.len());
    let mut letters = text.chars().peekable();
    let mut in_string = false;
    while let Some(letter) = letters.next() {
        match (in_string, letter, letters.peek()) {
            (true, '\\', _) => {
                result.push(letter);
                result.extend(letters.next());
                continue;
            }
            (_, '"', _) => in_string = !in_string,
            (false, '/', Some('/')) => {
                letters.by_ref().take_while(|letter| *letter != '\n').for_each(drop);
                result.push('\n');
                continue;
            }
            (false, '/', Some('*')) => {
                letters.next();
                let mut previous = ' ';
                for letter in letters.by_ref() {
                    if letter == '\n' {
                        result.push('\n');
                    }
                    if previous == '*' && letter == '/' {
                        break;
                    }
                    previous = letter;
                }
                continue;
            }
            _ => (),
        }
        result.push(letter);
    }
    result
}

/// Splits at blanks; double quotes keep blanks together and vanish.
fn split_command_line(line: &str) -> Vec<String> {
    let (mut words, mut word, mut started, mut quoted) = (Vec::new(), String::new(), false, false);
    for letter in line.chars() {
        match letter {
            '"' => (started, quoted) = (true, !quoted),
            letter if letter.is_whitespace() && !quoted => {
                if started {
                    words.push(std::mem::take(&mut word));
                }
                started = false;
            }
            letter => {
                word.push(letter);
                started = true;
            }
        }
    }
    if started {
        words.push(word);
    }
    words
}
