//! What no compiler sees: that the Bicep files, the functions, the program, its migrations and the other pieces agree.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::bicep::rules::{POSTGRES_SKUS, ROLES};
use crate::bicep::syntax::{At, Declaration, Declared, Expr, File, Kind, Name, Property};
use crate::bicep::values::{DEPTH, Scope, Values, allowed, decorator, literal, property, unwrap};
use crate::bicep::{Diagnostic, Program};
use crate::provision::{DSN_SECRET, GROUPS, LOGINS, OUTPUTS, other_slot};

/// App settings that the platform or a library reads, not the program's own settings.
const PLATFORM: [&str; 7] = [
    "APPLICATIONINSIGHTS_AUTHENTICATION_STRING",
    "APPLICATIONINSIGHTS_CONNECTION_STRING",
    "AZURE_CLIENT_ID",
    "AzureWebJobsStorage__blobServiceUri",
    "AzureWebJobsStorage__clientId",
    "AzureWebJobsStorage__credential",
    "AzureWebJobsStorage__queueServiceUri",
];

/// Settings of the program that a deployment on Azure leaves alone: local files, the client, names from the platform.
const NOT_ON_AZURE: [&str; 12] = [
    "AZURE_STORAGE_CONNECTION_STRING",
    "BACKTEST_ALLOWED_DATA_DIRS",
    "BACKTEST_ALLOW_LOCAL_DATA",
    "BACKTEST_DB_PATH",
    "BACKTEST_FUNCTION_KEY",
    "BACKTEST_OUTPUT_DIR",
    "BACKTEST_POSTGRES_CONNECTIONS",
    "BACKTEST_POSTGRES_DSN",
    "BACKTEST_URL",
    "FUNCTIONS_CUSTOMHANDLER_PORT",
    "HOSTNAME",
    "IDENTITY_ENDPOINT",
];

/// Variables of the parameter files that nobody sets: a secret, and what `cargo infra provision` finds in Azure.
const FOUND_OUT: [&str; 3] =
    ["BACKTEST_BUDGET_START", "POSTGRES_ADMIN_PASSWORD", "POSTGRES_STORAGE_FOUND_GB"];

/// Connections that a handler opens at most: two for runs and signals, one for beats.
pub const CONNECTIONS_PER_HANDLER: u32 = 3;

/// Connections kept free for migrations and people.
pub const CONNECTIONS_FOR_OPERATORS: u32 = 5;

/// Everything outside of the Bicep files that they are held against.
#[derive(Debug, Clone)]
pub struct Surroundings {
    functions: Vec<(PathBuf, Value)>,
    host: Value,
    /// Names of settings that the program reads.
    read: BTreeSet<String>,
    migrations: String,
    /// Roles that the migrations grant something to.
    roles: BTreeSet<String>,
    /// Logins that the program makes, both slots of each.
    logins: BTreeSet<String>,
    readme: String,
    /// Workflows that deploy, or say what a deployment would do.
    workflows: Vec<(PathBuf, String)>,
}

/// A piece that cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// A file.
    #[error("read {0}")]
    File(PathBuf, #[source] std::io::Error),
    /// A JSON file.
    #[error("understand {0}")]
    Json(PathBuf, #[source] serde_json::Error),
}

impl Surroundings {
    /// Reads them from the project in `root`.
    pub fn load(root: &Path) -> Result<Self, ReadError> {
        let text = |path: &Path| {
            std::fs::read_to_string(root.join(path)).map_err(|error| ReadError::File(path.to_owned(), error))
        };
        let json = |path: &Path| {
            serde_json::from_str(&text(path)?).map_err(|error| ReadError::Json(path.to_owned(), error))
        };
        let list = |folder: &str| {
            let fault = |error| ReadError::File(folder.into(), error);
            let mut paths = Vec::new();
            for entry in std::fs::read_dir(root.join(folder)).map_err(fault)? {
                paths.push(Path::new(folder).join(entry.map_err(fault)?.file_name()));
            }
            paths.sort();
            Ok(paths)
        };
        let mut functions = Vec::new();
        for folder in list("functions")? {
            let path = folder.join("function.json");
            functions.push((path.clone(), json(&path)?));
        }
        let mut migrations = String::new();
        for path in list("migrations/postgres")? {
            migrations += &text(&path)?;
        }
        Ok(Self {
            functions,
            host: json(Path::new("host.json"))?,
            read: quoted_names(&text(Path::new("src/cli/settings.rs"))?),
            roles: grantees(&migrations),
            logins: names_of_fields(&text(Path::new(ROLES_OF_THE_PROGRAM))?),
            migrations,
            readme: text(Path::new("infra/README.md"))?,
            workflows: ["deploy", "plan"]
                .into_iter()
                .map(|name| {
                    let path = PathBuf::from(format!(".github/workflows/{name}.yml"));
                    Ok((path.clone(), text(&path)?))
                })
                .collect::<Result<_, ReadError>>()?,
        })
    }
}

struct Cross<'p> {
    program: &'p Program,
    around: &'p Surroundings,
    values: Values<'p>,
    found: Vec<Diagnostic>,
}

/// Finds everything on which the pieces do not agree.
pub fn check(program: &Program, around: &Surroundings) -> Vec<Diagnostic> {
    if program.files.iter().any(|file| !file.problems.is_empty()) {
        return Vec::new();
    }
    let mut cross = Cross { program, around, values: Values::new(program), found: Vec::new() };
    cross.app_settings();
    cross.queues();
    cross.containers();
    cross.roles();
    cross.connections();
    cross.timeouts();
    cross.outputs();
    cross.parameter_files();
    cross.series();
    cross.workflows();
    cross.found.sort();
    cross.found.dedup();
    cross.found
}

const START: At = At { line: 1, column: 1, start: 0, end: 0 };

/// Texts between quotes that look like names of variables.
fn quoted_names(source: &str) -> BTreeSet<String> {
    let like = |word: &&str| {
        word.contains('_') && word.chars().all(|letter| letter.is_ascii_uppercase() || letter == '_')
    };
    source.split('"').filter(like).map(str::to_owned).collect()
}

/// Where the program keeps its logins.
const ROLES_OF_THE_PROGRAM: &str = "src/store/roles.rs";

/// The texts behind `name:`.
fn names_of_fields(source: &str) -> BTreeSet<String> {
    source.split("name: \"").skip(1).filter_map(|rest| rest.split('"').next()).map(str::to_owned).collect()
}

/// The names behind `GRANT … TO`.
fn grantees(migrations: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for statement in migrations.split(';').filter(|statement| statement.contains("GRANT ")) {
        for name in statement.rsplit(" TO ").next().unwrap_or_default().split(',') {
            let name = name.trim();
            if !name.is_empty() && name.chars().all(|letter| letter.is_ascii_lowercase() || letter == '_') {
                found.insert(name.to_owned());
            }
        }
    }
    found
}

/// `HH:MM:SS` in seconds.
fn seconds(text: &str) -> Option<i64> {
    let parts: Vec<i64> = text.split(':').map(|part| part.parse().ok()).collect::<Option<_>>()?;
    let [hours, minutes, seconds] = parts.as_slice() else { return None };
    Some(hours * 3600 + minutes * 60 + seconds)
}

impl<'p> Cross<'p> {
    fn report(&mut self, path: &Path, at: At, code: &'static str, message: impl Into<String>) {
        self.found.push(Diagnostic { path: path.to_owned(), at, code, message: message.into() });
    }

    fn file(&self, path: &str) -> Option<(usize, &'p File)> {
        let program: &'p Program = self.program;
        let found = program.files.iter().enumerate().find(|(_, file)| file.path == Path::new(path));
        found.map(|(index, file)| (index, file.as_ref()))
    }

    /// A declaration of a file; without it nothing can be said, which is a finding.
    fn declaration(&mut self, path: &str, name: &str) -> Option<(Scope<'p>, &'p Declaration)> {
        let found =
            self.file(path).and_then(|(index, _)| Some((Scope::of(index), self.values.find(index, name)?)));
        if found.is_none() {
            self.report(
                Path::new(path),
                START,
                "cross",
                format!("`{name}` is not declared; the checks need it"),
            );
        }
        found
    }

    /// Resources of a type: scope and properties.
    fn resources(&self, kind: &str) -> Vec<(Scope<'p>, &'p Declaration, &'p [Property])> {
        let program: &'p Program = self.program;
        let mut found = Vec::new();
        for (index, file) in program.files.iter().enumerate() {
            for one in &file.declarations {
                if let Declared::Resource { kind: one_kind, existing: false, body } = &one.kind
                    && one_kind.text.split('@').next() == Some(kind)
                {
                    let (scope, body) = unwrap(&Scope::of(index), body);
                    if let Kind::Object(properties) = &body.kind {
                        found.push((scope, one, properties.as_slice()));
                    }
                }
            }
        }
        found
    }

    /// Names that the resources of a type come to.
    fn names(&self, kind: &str) -> BTreeSet<String> {
        let mut names = BTreeSet::new();
        for (scope, _, properties) in self.resources(kind) {
            if let Some(name) = property(properties, "name") {
                names.extend(self.values.texts(&scope, &name.value, DEPTH));
            }
        }
        names
    }

    /// The app settings: key and value.
    fn settings(&mut self) -> Vec<(Scope<'p>, &'p Name, &'p Expr)> {
        let mut found = Vec::new();
        for (scope, _, properties) in self.resources("Microsoft.Web/sites/config") {
            if property(properties, "name").and_then(|one| literal(&one.value)) != Some("appsettings") {
                continue;
            }
            let Some(value) = property(properties, "properties") else { continue };
            for (scope, shape) in self.values.shapes(&scope, &value.value, DEPTH) {
                if let Kind::Object(settings) = &shape.kind {
                    found.extend(
                        settings
                            .iter()
                            .filter_map(|one| Some((scope.clone(), one.key.as_ref()?, &one.value))),
                    );
                }
            }
        }
        found
    }

    fn app_settings(&mut self) {
        let path = Path::new("infra/modules/functions.bicep");
        let settings = self.settings();
        if settings.is_empty() {
            self.report(path, START, "settings", "no app settings are found");
            return;
        }
        let set: BTreeSet<&str> = settings.iter().map(|(_, name, _)| name.text.as_str()).collect();
        let around = self.around;
        let read: BTreeSet<&str> = around.read.iter().map(String::as_str).collect();
        let named_by_functions: BTreeSet<&str> =
            around.functions.iter().flat_map(|(_, function)| placeholders(function)).collect();
        for name in &read {
            if !set.contains(name) && !NOT_ON_AZURE.contains(name) && !name.starts_with("WEBSITE_") {
                let message =
                    format!("the program reads `{name}` (src/cli/settings.rs) and no app setting gives it");
                self.report(path, START, "settings", message);
            }
        }
        for (_, name, _) in &settings {
            let text = name.text.as_str();
            let known = read.contains(text)
                || named_by_functions.contains(text)
                || PLATFORM.contains(&text)
                || text == "AzureWebJobsStorage__tableServiceUri";
            if !known {
                let all = read.iter().copied().chain(named_by_functions.iter().copied()).chain(PLATFORM);
                let near = all.map(|one| (strsim::osa_distance(one, text), one)).min();
                let hint = near
                    .filter(|(distance, _)| *distance < 5)
                    .map_or_else(String::new, |(_, one)| format!("; did you mean `{one}`?"));
                self.report(
                    path,
                    name.at,
                    "settings",
                    format!("nothing reads the app setting `{text}`{hint}"),
                );
            }
        }
        for name in &PLATFORM {
            if !set.contains(name) {
                self.report(path, START, "settings", format!("the app setting `{name}` is missing"));
            }
        }
        for (index, (function, body)) in around.functions.iter().enumerate() {
            for name in placeholders(body) {
                if !set.contains(name) {
                    let function = around.functions[index].0.clone();
                    self.report(&function, START, "settings", format!("no app setting gives `%{name}%`"));
                }
            }
            for schedule in bindings(body).filter_map(|one| one["schedule"].as_str()) {
                let name = schedule.trim_matches('%');
                for (scope, _, value) in settings.iter().filter(|(_, key, _)| key.text == name) {
                    for text in self.values.texts(scope, value, DEPTH) {
                        if text.split_whitespace().count() != 6 {
                            let message = format!(
                                "`{text}` of {} has not the six fields of a schedule",
                                function.display()
                            );
                            self.report(path, value.at, "settings", message);
                        }
                    }
                }
            }
        }
    }

    fn queues(&mut self) {
        let queues = self.names("Microsoft.Storage/storageAccounts/queueServices/queues");
        let settings = self.settings();
        let around = self.around;
        let mut triggered = BTreeSet::new();
        for (path, function) in &around.functions {
            for binding in bindings(function) {
                let Some(queue) = binding["queueName"].as_str() else { continue };
                let mut names = vec![queue.to_owned()];
                for setting in placeholders(function) {
                    let values: Vec<String> = settings
                        .iter()
                        .filter(|(_, name, _)| name.text == setting)
                        .flat_map(|(scope, _, value)| self.values.texts(scope, value, DEPTH))
                        .collect();
                    names = names
                        .iter()
                        .flat_map(|name| {
                            values.iter().map(|value| name.replace(&format!("%{setting}%"), value))
                        })
                        .collect();
                }
                for name in names {
                    for needed in [name.clone(), format!("{}-poison", name.trim_end_matches("-poison"))] {
                        if !queues.contains(&needed) {
                            self.report(
                                path,
                                START,
                                "queue",
                                format!("no Bicep file makes the queue `{needed}`"),
                            );
                        }
                        triggered.insert(needed);
                    }
                }
                let connection = binding["connection"].as_str().unwrap_or("AzureWebJobsStorage");
                for part in ["queueServiceUri", "credential", "clientId"] {
                    let needed = format!("{connection}__{part}");
                    if !settings.iter().any(|(_, name, _)| name.text == needed) {
                        let message =
                            format!("the connection `{connection}` needs the app setting `{needed}`");
                        self.report(path, START, "queue", message);
                    }
                }
            }
        }
        let unused: Vec<_> = queues.difference(&triggered).cloned().collect();
        for name in unused {
            let path = Path::new("infra/modules/storage.bicep");
            self.report(path, START, "queue", format!("no function uses the queue `{name}`"));
        }
    }

    fn containers(&mut self) {
        let containers = self.names("Microsoft.Storage/storageAccounts/blobServices/containers");
        let app = "infra/modules/functions.bicep";
        for (scope, _, properties) in self.resources("Microsoft.Web/sites") {
            let mut packages = Vec::new();
            collect(
                &self.values,
                &scope,
                properties,
                &["functionAppConfig", "deployment", "storage", "value"],
                &mut packages,
            );
            if packages.is_empty() {
                self.report(Path::new(app), START, "container", "the package container is not found");
            }
            for (at, text) in packages {
                let (address, container) = text.rsplit_once('/').unwrap_or_default();
                if !containers.contains(container) {
                    let message = format!("no Bicep file makes the package container `{container}`");
                    self.report(Path::new(app), at, "container", message);
                }
                if !address.starts_with("https://") || !address.contains(".blob.") {
                    self.report(
                        Path::new(app),
                        at,
                        "container",
                        format!("`{address}` is not a blob endpoint"),
                    );
                }
            }
        }
        for (scope, name, value) in self.settings() {
            let service = match name.text.as_str() {
                "BACKTEST_ADLS_RUNS_DIR" => None,
                "AzureWebJobsStorage__blobServiceUri" => Some(".blob."),
                "AzureWebJobsStorage__queueServiceUri" => Some(".queue."),
                "AzureWebJobsStorage__tableServiceUri" => Some(".table."),
                _ => continue,
            };
            for text in self.values.texts(&scope, value, DEPTH) {
                let container = text.split('/').next().unwrap_or_default();
                let message = match service {
                    None if !containers.contains(container) => {
                        format!("no Bicep file makes the container `{container}`")
                    }
                    Some(service) if !text.starts_with("https://") || !text.contains(service) => {
                        format!("`{text}` is not an address of {service}")
                    }
                    _ => continue,
                };
                self.report(Path::new(app), value.at, "container", message);
            }
        }
        for (scope, _, properties) in self.resources("Microsoft.Storage/storageAccounts/managementPolicies") {
            let mut prefixes = Vec::new();
            collect(
                &self.values,
                &scope,
                properties,
                &["rules", "definition", "filters", "prefixMatch"],
                &mut prefixes,
            );
            for (at, text) in prefixes {
                if !containers.contains(text.split('/').next().unwrap_or_default()) {
                    let path = self.program.files[scope.file].path.clone();
                    self.report(&path, at, "container", format!("`{text}` lies in no container"));
                }
            }
        }
    }

    /// Database roles of the migrations and of the role step; roles that the deploying identity may hand out.
    fn roles(&mut self) {
        let migrations = Path::new("migrations/postgres");
        let around = self.around;
        for name in &around.roles {
            if !LOGINS.contains(&name.as_str()) && !GROUPS.contains(&name.as_str()) {
                let message = format!("the migrations grant to `{name}`, which the role step does not make");
                self.report(migrations, START, "role", message);
            }
        }
        for name in LOGINS.iter().chain(&GROUPS) {
            if !around.migrations.contains(name) {
                self.report(migrations, START, "role", format!("no migration knows the role `{name}`"));
            }
        }
        self.logins();
        let ids = |path: &str| -> BTreeSet<&'p str> {
            let text = self.file(path).map_or("", |(_, file)| file.text.as_str());
            ROLES.iter().map(|(id, _)| *id).filter(|id| text.contains(id)).collect()
        };
        let mut handed_out = ids("infra/modules/rbac.bicep");
        handed_out.extend(ids("infra/modules/lake-role.bicep"));
        let identities = "infra/bootstrap/identities.bicep";
        let Some((scope, list)) = self.declaration(identities, "assignableRoles") else { return };
        let Declared::Variable(value) = &list.kind else { return };
        let assignable: BTreeSet<String> = self
            .values
            .shapes(&scope, value, DEPTH)
            .into_iter()
            .flat_map(|(_, shape)| match &shape.kind {
                Kind::Array(items) => items.iter().filter_map(literal).map(str::to_owned).collect::<Vec<_>>(),
                _ => Vec::new(),
            })
            .collect();
        for id in handed_out.iter().filter(|id| !assignable.contains(**id)) {
            let name = ROLES.iter().find(|(one, _)| one == id).map_or("", |(_, name)| name);
            let message = format!("the deploying identity may not assign {id} ({name})");
            self.found.push(Diagnostic { path: identities.into(), at: list.name.at, code: "role", message });
        }
        for id in assignable.iter().filter(|id| !handed_out.contains(id.as_str())) {
            let message = format!("the deploying identity may assign {id}, which nothing hands out");
            self.found.push(Diagnostic { path: identities.into(), at: list.name.at, code: "role", message });
        }
    }

    /// Logins of the program, of this tool, of the runbook and of the vault.
    fn logins(&mut self) {
        let around = self.around;
        let slots: BTreeSet<String> =
            LOGINS.iter().flat_map(|login| [(*login).to_owned(), other_slot(login)]).collect();
        for name in slots.symmetric_difference(&around.logins) {
            let who =
                if around.logins.contains(name) { "cargo infra rotate" } else { "backtests migrate roles" };
            let message = format!("{who} does not know the login `{name}`");
            self.report(Path::new(ROLES_OF_THE_PROGRAM), START, "role", message);
        }
        for name in slots.iter().filter(|name| !around.readme.contains(&format!("`{name}`"))) {
            self.report(
                Path::new("infra/README.md"),
                START,
                "readme",
                format!("the login `{name}` is not explained"),
            );
        }
        let Some((_, secret)) = self.declaration("infra/modules/keyvault.bicep", "dsnName") else { return };
        if let Declared::Variable(value) = &secret.kind
            && literal(value) != Some(DSN_SECRET)
        {
            let message = format!("cargo infra writes the secret `{DSN_SECRET}`");
            self.report(Path::new("infra/modules/keyvault.bicep"), value.at, "role", message);
        }
    }

    /// Every group of instances can have one instance at least, on every preset.
    fn connections(&mut self) {
        let background = self.around.functions.iter().filter(|(_, function)| {
            !bindings(function).any(|one| one["type"].as_str() == Some("httpTrigger"))
        });
        let groups = 1 + u32::try_from(background.count()).unwrap_or(u32::MAX);
        let needed = groups * CONNECTIONS_PER_HANDLER + CONNECTIONS_FOR_OPERATORS;
        if !self.around.readme.contains(&format!("at most {CONNECTIONS_PER_HANDLER},")) {
            let message = format!(
                "a handler opens at most {CONNECTIONS_PER_HANDLER} connections; the text says otherwise"
            );
            self.report(Path::new("infra/README.md"), START, "readme", message);
        }
        let Some((scope, presets)) = self.declaration("infra/main.bicep", "presets") else { return };
        let Declared::Variable(Expr { kind: Kind::Object(sizes), .. }) = &presets.kind else { return };
        for size in sizes {
            let Kind::Object(preset) = &size.value.kind else { continue };
            let sku = property(preset, "sku").and_then(|one| literal(&one.value));
            let usable =
                POSTGRES_SKUS.iter().find(|(name, ..)| Some(*name) == sku).map_or(0, |(.., usable)| *usable);
            if usable < needed {
                let path = self.program.files[scope.file].path.clone();
                let message = format!(
                    "{} has {usable} usable connections; one instance of each of {groups} groups and operators need {needed}",
                    sku.unwrap_or("the preset")
                );
                self.report(&path, size.value.at, "connections", message);
            }
        }
        let mut known: Vec<&str> =
            sizes.iter().filter_map(|one| Some(one.key.as_ref()?.text.as_str())).collect();
        let Some((_, size)) = self.declaration("infra/main.bicep", "size") else { return };
        let mut offered: Vec<&str> = allowed(size).iter().filter_map(literal).collect();
        known.sort_unstable();
        offered.sort_unstable();
        if known != offered {
            let message = format!("offers {} and the presets are {}", offered.join(", "), known.join(", "));
            self.report(Path::new("infra/main.bicep"), size.name.at, "presets", message);
        }
    }

    /// What hangs below a database server waits for everything before it; a loop without items makes nobody wait.
    fn series(&mut self) {
        let program: &'p Program = self.program;
        for file in &program.files {
            let mut before: Vec<&str> = Vec::new();
            for one in &file.declarations {
                let Declared::Resource { kind, existing: false, body } = &one.kind else { continue };
                if !kind.text.starts_with("Microsoft.DBforPostgreSQL/flexibleServers/") {
                    continue;
                }
                let (_, body) = unwrap(&Scope::of(0), body);
                let Kind::Object(properties) = &body.kind else { continue };
                let waits_for: Vec<&str> = match property(properties, "dependsOn").map(|one| &one.value.kind)
                {
                    Some(Kind::Array(items)) => items
                        .iter()
                        .filter_map(|item| match &item.kind {
                            Kind::Name(name) => Some(name.as_str()),
                            _ => None,
                        })
                        .collect(),
                    _ => Vec::new(),
                };
                for missing in before.iter().filter(|name| !waits_for.contains(name)) {
                    let message = format!("`{}` does not wait for `{missing}`", one.name.text);
                    self.found.push(Diagnostic {
                        path: file.path.clone(),
                        at: one.name.at,
                        code: "series",
                        message,
                    });
                }
                before.push(&one.name.text);
            }
        }
    }

    /// The program ends a run itself, minutes before the host would kill it.
    fn timeouts(&mut self) {
        let host = Path::new("host.json");
        let around = self.around;
        let limit = around.host["functionTimeout"].as_str().and_then(seconds);
        let Some(limit) = limit else {
            self.report(host, START, "timeout", "`functionTimeout` is not written as HH:MM:SS");
            return;
        };
        let Some((_, parameter)) = self.declaration("infra/main.bicep", "runTimeoutSeconds") else { return };
        let most = match decorator(parameter, "maxValue") {
            Some([Expr { kind: Kind::Number(most), .. }]) => *most,
            _ => i64::MAX,
        };
        if most.saturating_add(120) > limit {
            let message =
                format!("a run may take {most} s and host.json ends everything after {limit} s; leave 120 s");
            self.report(Path::new("infra/main.bicep"), parameter.name.at, "timeout", message);
        }
        let executable = around.host["customHandler"]["description"]["defaultExecutablePath"].as_str();
        if executable != Some(crate::package::EXECUTABLE) {
            let message =
                format!("`defaultExecutablePath` is not `{}`, which is packed", crate::package::EXECUTABLE);
            self.report(host, START, "package", message);
        }
    }

    fn outputs(&mut self) {
        let Some((_, main)) = self.file("infra/main.bicep") else { return };
        let given: BTreeMap<&str, At> = main
            .declarations
            .iter()
            .filter(|one| matches!(one.kind, Declared::Output { .. }))
            .map(|one| (one.name.text.as_str(), one.name.at))
            .collect();
        for name in OUTPUTS.iter().filter(|name| !given.contains_key(**name)) {
            self.report(&main.path, START, "output", format!("the output `{name}` is missing"));
        }
        for (name, at) in given.iter().filter(|(name, _)| !OUTPUTS.contains(name)) {
            self.report(&main.path, *at, "output", format!("nothing reads the output `{name}`"));
        }
        let parameters =
            main.declarations.iter().filter(|one| matches!(one.kind, Declared::Parameter { .. }));
        for one in parameters.filter(|one| !self.around.readme.contains(&format!("`{}`", one.name.text))) {
            let message = format!("infra/README.md does not explain `{}`", one.name.text);
            self.found.push(Diagnostic { path: main.path.clone(), at: one.name.at, code: "readme", message });
        }
    }

    /// A parameter file is for the size that its name says, and each variable means one parameter in all of them.
    fn parameter_files(&mut self) {
        let program: &'p Program = self.program;
        let mut meanings: BTreeMap<&str, BTreeMap<&str, &Path>> = BTreeMap::new();
        for file in &program.files {
            for one in &file.declarations {
                let Declared::Assignment(value) = &one.kind else { continue };
                if one.name.text == "size"
                    && literal(value) != file.path.file_stem().and_then(|stem| stem.to_str())
                {
                    self.report(&file.path, value.at, "presets", "the file is named after another size");
                }
                if let Some(variable) = variable(value) {
                    meanings.entry(one.name.text.as_str()).or_default().insert(variable, &file.path);
                }
            }
        }
        for (parameter, variables) in meanings.into_iter().filter(|(_, variables)| variables.len() > 1) {
            for (variable, path) in variables {
                self.report(
                    path,
                    START,
                    "presets",
                    format!("`{parameter}` is read from `{variable}` only here"),
                );
            }
        }
    }
}

impl Cross<'_> {
    /// Every variable of the parameter files can be set in GitHub, but for those that `cargo infra provision` sets.
    fn workflows(&mut self) {
        let read = self.program.files.iter().flat_map(|file| {
            file.text.split("readEnvironmentVariable('").skip(1).filter_map(|rest| rest.split('\'').next())
        });
        let read: BTreeSet<&str> = read.filter(|name| !FOUND_OUT.contains(name)).collect();
        let around = self.around;
        for (path, text) in &around.workflows {
            for name in
                read.iter().filter(|name| !text.contains(&format!("\n      {name}: ${{{{ vars.{name} ")))
            {
                self.report(path, START, "workflow", format!("the variable `{name}` is not handed on"));
            }
        }
    }
}

/// The environment variable that a value is read from.
fn variable(value: &Expr) -> Option<&str> {
    match &value.kind {
        Kind::Call { function, arguments } if function.text == "readEnvironmentVariable" => {
            arguments.first().and_then(literal)
        }
        _ => crate::bicep::values::children(value).into_iter().find_map(variable),
    }
}

/// Texts at the end of a path of keys, through lists.
fn collect<'p>(
    values: &Values<'p>,
    scope: &Scope<'p>,
    properties: &'p [Property],
    keys: &[&str],
    found: &mut Vec<(At, String)>,
) {
    fn descend<'p>(
        values: &Values<'p>,
        scope: &Scope<'p>,
        expr: &'p Expr,
        keys: &[&str],
        found: &mut Vec<(At, String)>,
    ) {
        for (scope, shape) in values.shapes(scope, expr, DEPTH) {
            match (&shape.kind, keys.split_first()) {
                (Kind::Array(items), _) => {
                    for item in items {
                        descend(values, &scope, item, keys, found);
                    }
                }
                (Kind::Object(properties), Some((key, rest))) => {
                    if let Some(one) = property(properties, key) {
                        descend(values, &scope, &one.value, rest, found);
                    }
                }
                (_, None) => {
                    found.extend(values.texts(&scope, shape, DEPTH).into_iter().map(|text| (shape.at, text)));
                }
                _ => {}
            }
        }
    }
    if let Some(inner) = property(properties, "properties") {
        let keys = if keys.first() == Some(&"rules") { [&["policy"], keys].concat() } else { keys.to_vec() };
        descend(values, scope, &inner.value, &keys, found);
    }
}

fn bindings(function: &Value) -> impl Iterator<Item = &Value> {
    function["bindings"].as_array().into_iter().flatten()
}

/// Settings that a function names as `%NAME%`.
fn placeholders(function: &Value) -> Vec<&str> {
    let mut found = Vec::new();
    for binding in bindings(function) {
        for text in binding.as_object().into_iter().flat_map(|one| one.values()).filter_map(Value::as_str) {
            found.extend(text.split('%').skip(1).step_by(2));
        }
    }
    found.sort_unstable();
    found.dedup();
    found
}
