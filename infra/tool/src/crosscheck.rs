//! What no compiler sees: that what is deployed agrees with the functions, the program, its migrations, the workflows
//! and the text, and that it opens no door. What is deployed is read from the committed snapshots.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::azure::{Failure, POSTGRES_API, WEB_API};
use crate::catalogue::{POSTGRES_SKUS, ROLES};
use crate::existing::BUDGET_API;
use crate::firewall::{self, AZURE_RULE};
use crate::provision::{DSN_SECRET, GROUPS, LOGINS, OUTPUTS, SIZES, other_slot};
use crate::snapshot::{Resource, Snapshot, written};
use crate::{files, package};

/// App settings that the platform or a library reads, not the program's own settings.
const PLATFORM: [&str; 9] = [
    "APPLICATIONINSIGHTS_AUTHENTICATION_STRING",
    "APPLICATIONINSIGHTS_CONNECTION_STRING",
    "AZURE_CLIENT_ID",
    "AzureWebJobsStorage__blobServiceUri",
    "AzureWebJobsStorage__clientId",
    "AzureWebJobsStorage__credential",
    "AzureWebJobsStorage__queueServiceUri",
    "AzureWebJobsStorage__tableServiceUri",
    BODY_LIMIT,
];

/// Setting of the host: the largest body of a request, in bytes.
const BODY_LIMIT: &str = "FUNCTIONS_REQUEST_BODY_SIZE_LIMIT";

/// What [`BODY_LIMIT`] may be: above what the program takes, so that it answers itself; below what fills an instance.
const BODY_LIMITS: std::ops::RangeInclusive<u64> = (2 << 20)..=(4 << 20);

/// Variables of the parameter files that nobody sets: a secret, and what `cargo infra provision` finds in Azure.
const FOUND_OUT: [&str; 3] =
    ["BACKTEST_BUDGET_START", "POSTGRES_ADMIN_PASSWORD", "POSTGRES_STORAGE_FOUND_GB"];

/// Connections that a handler opens at most: two for runs and signals, one for beats.
pub const CONNECTIONS_PER_HANDLER: u32 = 3;

/// Connections kept free for migrations and people.
pub const CONNECTIONS_FOR_OPERATORS: u32 = 5;

/// Seconds between the end of a run by itself and the end that the host makes.
const SECONDS_TO_SPARE: i64 = 120;

const SERVER: &str = "Microsoft.DBforPostgreSQL/flexibleServers";
const STORAGE: &str = "Microsoft.Storage/storageAccounts";
const CONTAINERS: &str = "Microsoft.Storage/storageAccounts/blobServices/containers";
const QUEUES: &str = "Microsoft.Storage/storageAccounts/queueServices/queues";
const SITES: &str = "Microsoft.Web/sites";
const VAULTS: &str = "Microsoft.KeyVault/vaults";

/// What every resource of a type says, whatever the options: type, place in its body, value.
const ALWAYS: [(&str, &str, &str); 20] = [
    (STORAGE, "/properties/allowSharedKeyAccess", "false"),
    (STORAGE, "/properties/allowBlobPublicAccess", "false"),
    (STORAGE, "/properties/allowCrossTenantReplication", "false"),
    (STORAGE, "/properties/supportsHttpsTrafficOnly", "true"),
    (STORAGE, "/properties/defaultToOAuthAuthentication", "true"),
    (STORAGE, "/properties/minimumTlsVersion", "TLS1_2"),
    (CONTAINERS, "/properties/publicAccess", "None"),
    (SITES, "/properties/httpsOnly", "true"),
    (SITES, "/properties/siteConfig/minTlsVersion", "1.2"),
    (SITES, "/properties/siteConfig/scmMinTlsVersion", "1.2"),
    (SITES, "/properties/siteConfig/ftpsState", "Disabled"),
    (SITES, "/properties/functionAppConfig/runtime/name", "custom"),
    ("Microsoft.Web/sites/basicPublishingCredentialsPolicies", "/properties/allow", "false"),
    ("Microsoft.Web/serverfarms", "/sku/name", "FC1"),
    (VAULTS, "/properties/enableRbacAuthorization", "true"),
    (VAULTS, "/properties/enablePurgeProtection", "true"),
    (VAULTS, "/properties/enableSoftDelete", "true"),
    ("Microsoft.Insights/components", "/properties/DisableLocalAuth", "true"),
    (SERVER, "/properties/authConfig/activeDirectoryAuth", "Enabled"),
    (SERVER, "/properties/storage/autoGrow", "Enabled"),
];

/// What they say too where the network is private.
const PRIVATE: [(&str, &str, &str); 5] = [
    (SERVER, "/properties/network/publicNetworkAccess", "Disabled"),
    (STORAGE, "/properties/publicNetworkAccess", "Disabled"),
    (STORAGE, "/properties/networkAcls/defaultAction", "Deny"),
    (VAULTS, "/properties/publicNetworkAccess", "Disabled"),
    (VAULTS, "/properties/networkAcls/defaultAction", "Deny"),
];

/// Everything outside of the snapshots that they are held against.
#[derive(Debug, Clone)]
pub struct Surroundings {
    /// Bicep files and their texts.
    sources: Vec<(PathBuf, String)>,
    functions: Vec<(PathBuf, Value)>,
    host: Value,
    /// Settings that the program declares, and whether the template gives them.
    declared: BTreeMap<String, bool>,
    migrations: String,
    /// Roles that the migrations grant something to.
    roles: BTreeSet<String>,
    /// Logins that the program makes, both slots of each.
    logins: BTreeSet<String>,
    readme: String,
    /// Workflows that deploy, or say what a deployment would do.
    workflows: Vec<(PathBuf, String)>,
}

impl Surroundings {
    /// Reads them from the project in `root`.
    pub fn load(root: &Path) -> Result<Self, Failure> {
        let text = |path: &str| files::read(root, Path::new(path));
        let json = |path: &Path| {
            serde_json::from_str(&files::read(root, path)?)
                .map_err(|error| Failure::new(format!("{} is not JSON: {error}", path.display())))
        };
        let mut functions = Vec::new();
        for folder in files::list(root, Path::new("functions"))? {
            let path = folder.join("function.json");
            functions.push((path.clone(), json(&path)?));
        }
        let mut migrations = String::new();
        for path in files::list(root, Path::new("migrations/postgres"))? {
            migrations += &files::read(root, &path)?;
        }
        let mut workflows = Vec::new();
        for name in ["deploy", "plan"] {
            let path = format!(".github/workflows/{name}.yml");
            workflows.push((PathBuf::from(&path), text(&path)?));
        }
        Ok(Self {
            sources: files::sources(root)?,
            functions,
            host: json(Path::new("host.json"))?,
            declared: declared(&json(Path::new(SETTINGS_OF_THE_PROGRAM))?)?,
            roles: grantees(&migrations),
            logins: names_of_fields(&text(ROLES_OF_THE_PROGRAM)?),
            migrations,
            readme: text("infra/README.md")?,
            workflows,
        })
    }

    fn source(&self, path: &str) -> &str {
        self.sources.iter().find(|(one, _)| one == Path::new(path)).map_or("", |(_, text)| text)
    }

    /// Parameter files and their texts.
    fn parameter_files(&self) -> impl Iterator<Item = (&Path, &str)> {
        let all = self.sources.iter().map(|(path, text)| (path.as_path(), text.as_str()));
        all.filter(|(path, _)| path.extension().is_some_and(|kind| kind == "bicepparam"))
    }
}

/// What the program declares: the answer of `backtests settings --declared --output json`, held to it by a test there.
const SETTINGS_OF_THE_PROGRAM: &str = "docs/settings.json";

/// Where the program keeps its logins.
const ROLES_OF_THE_PROGRAM: &str = "src/store/roles.rs";

const README: &str = "infra/README.md";
const MAIN: &str = "infra/main.bicep";

/// The settings of the program's list: name, and whether the template gives it.
fn declared(list: &Value) -> Result<BTreeMap<String, bool>, Failure> {
    let all = list["settings"].as_array().map(Vec::as_slice).unwrap_or_default();
    let pairs =
        all.iter().map(|one| Some((one["name"].as_str()?.to_owned(), one["azure"].as_str()? == "template")));
    let declared = pairs.collect::<Option<BTreeMap<_, _>>>().filter(|declared| !declared.is_empty());
    declared.ok_or_else(|| Failure::new(format!("{SETTINGS_OF_THE_PROGRAM} does not list settings by name")))
}

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

/// Ids of roles in a text: groups of 8, 4, 4, 4 and 12 hexadecimal digits.
fn ids(text: &str) -> BTreeSet<&str> {
    let like = |word: &&str| {
        let lengths: Vec<usize> = word.split('-').map(str::len).collect();
        lengths == [8, 4, 4, 4, 12] && word.chars().all(|letter| letter == '-' || letter.is_ascii_hexdigit())
    };
    text.split(|letter: char| letter != '-' && !letter.is_ascii_alphanumeric()).filter(like).collect()
}

/// A value as text; texts without their quotes.
fn shown(value: Option<&Value>) -> String {
    match value {
        None => "nothing".to_owned(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    }
}

/// Finds everything on which the pieces do not agree.
pub fn check(snapshots: &[Snapshot], around: &Surroundings) -> Vec<String> {
    let mut cross = Cross { around, found: BTreeSet::new() };
    for snapshot in snapshots {
        cross.app_settings(snapshot);
        cross.queues(snapshot);
        cross.containers(snapshot);
        cross.lifecycle(snapshot);
        cross.connections(snapshot);
        cross.run_time(snapshot);
        cross.outputs(snapshot);
        cross.values(snapshot);
        cross.doors_of_the_database(snapshot);
        cross.secrets(snapshot);
        cross.versions(snapshot);
    }
    cross.role_ids(snapshots);
    cross.roles_of_the_database();
    cross.logins();
    cross.host();
    cross.sizes(snapshots);
    cross.parameters();
    cross.parameter_files();
    cross.directives();
    cross.workflows();
    cross.found.into_iter().collect()
}

struct Cross<'a> {
    around: &'a Surroundings,
    /// Each as `path: what is wrong`.
    found: BTreeSet<String>,
}

impl Cross<'_> {
    fn report(&mut self, path: impl AsRef<Path>, message: impl std::fmt::Display) {
        self.found.insert(format!("{}: {message}", path.as_ref().display()));
    }

    /// The program's settings, the host's and those of the functions are those of the app.
    fn app_settings(&mut self, snapshot: &Snapshot) {
        let around = self.around;
        let set: BTreeSet<&str> = snapshot.app_settings().map(|(name, _)| name).collect();
        if set.is_empty() {
            self.report(&snapshot.path, "the app has no settings");
            return;
        }
        let read: BTreeSet<&str> = around.declared.keys().map(String::as_str).collect();
        let named_by_functions: BTreeSet<&str> =
            around.functions.iter().flat_map(|(_, function)| placeholders(function)).collect();
        for (name, given) in &around.declared {
            if *given && !set.contains(name.as_str()) {
                let message = format!(
                    "the program reads `{name}` ({SETTINGS_OF_THE_PROGRAM}) and the app does not set it"
                );
                self.report(&snapshot.path, message);
            }
        }
        for name in &set {
            if !read.contains(name) && !named_by_functions.contains(name) && !PLATFORM.contains(name) {
                let all = read.iter().copied().chain(named_by_functions.iter().copied()).chain(PLATFORM);
                let near = all.map(|one| (strsim::osa_distance(one, name), one)).min();
                let hint = near
                    .filter(|(distance, _)| *distance < 5)
                    .map_or_else(String::new, |(_, one)| format!("; did you mean `{one}`?"));
                self.report(&snapshot.path, format!("nothing reads the app setting `{name}`{hint}"));
            }
        }
        for name in PLATFORM.iter().filter(|name| !set.contains(**name)) {
            self.report(&snapshot.path, format!("the app setting `{name}` is missing"));
        }
        for (path, function) in &around.functions {
            for name in placeholders(function).into_iter().filter(|name| !set.contains(name)) {
                self.report(path, format!("no app setting gives `%{name}%`"));
            }
            for schedule in bindings(function).filter_map(|one| one["schedule"].as_str()) {
                let value = snapshot.setting(schedule.trim_matches('%')).unwrap_or(schedule);
                if value.split_whitespace().count() != 6 {
                    self.report(path, format!("its schedule `{value}` has not six fields"));
                }
            }
        }
    }

    /// Each queue of a function is made, with its poison queue, in the account that the connection names.
    fn queues(&mut self, snapshot: &Snapshot) {
        let around = self.around;
        let made: BTreeMap<&str, &str> =
            snapshot.of(QUEUES).map(|queue| (queue.own_name(), queue.owner())).collect();
        let mut used = BTreeSet::new();
        for (path, function) in &around.functions {
            for binding in bindings(function) {
                let Some(queue) = binding["queueName"].as_str() else { continue };
                let connection = binding["connection"].as_str().unwrap_or("AzureWebJobsStorage");
                let address = snapshot.setting(&format!("{connection}__queueServiceUri"));
                for part in ["queueServiceUri", "credential", "clientId"] {
                    let needed = format!("{connection}__{part}");
                    if snapshot.setting(&needed).is_none() {
                        self.report(
                            path,
                            format!("the connection `{connection}` needs the app setting `{needed}`"),
                        );
                    }
                }
                let mut name = queue.to_owned();
                for setting in placeholders(function) {
                    let value = snapshot.setting(setting).unwrap_or_default();
                    name = name.replace(&format!("%{setting}%"), value);
                }
                for needed in [name.clone(), format!("{}-poison", name.trim_end_matches("-poison"))] {
                    match made.get(needed.as_str()) {
                        None => self.report(path, format!("nothing makes the queue `{needed}`")),
                        Some(account) if !address.is_some_and(|one| written(one).contains(account)) => {
                            let message =
                                format!("the queue `{needed}` is not in the account of `{connection}`");
                            self.report(path, message);
                        }
                        Some(_) => {}
                    }
                    used.insert(needed);
                }
            }
        }
        for name in made.keys().filter(|name| !used.contains(**name)) {
            self.report(&snapshot.path, format!("no function uses the queue `{name}`"));
        }
    }

    /// Containers that the app is told of are made, in the account that it is told of.
    fn containers(&mut self, snapshot: &Snapshot) {
        let made: BTreeMap<&str, &str> =
            snapshot.of(CONTAINERS).map(|one| (one.own_name(), one.owner())).collect();
        let path = &snapshot.path;
        for app in snapshot.of(SITES) {
            let value =
                app.get("/properties/functionAppConfig/deployment/storage/value").and_then(Value::as_str);
            let parts = written(value.unwrap_or_default());
            let container = parts.last().copied().unwrap_or_default();
            let account = made.get(container);
            if account.is_none_or(|account| !parts.contains(account)) {
                self.report(
                    path,
                    format!("nothing makes the package container `{container}` in its account"),
                );
            }
            if !parts.iter().any(|part| part.starts_with("https://") && part.contains(".blob.")) {
                self.report(
                    path,
                    format!("the address of the packages is not of blobs: `{}`", value.unwrap_or_default()),
                );
            }
        }
        let results = snapshot.setting("BACKTEST_ADLS_RUNS_DIR").unwrap_or_default();
        let container = results.split('/').next().unwrap_or_default();
        if made.get(container).copied() != snapshot.setting("AZURE_STORAGE_ACCOUNT_NAME") {
            self.report(
                path,
                format!(
                    "nothing makes the container `{container}` of BACKTEST_ADLS_RUNS_DIR in the app's account"
                ),
            );
        }
        for service in ["blob", "queue", "table"] {
            let name = format!("AzureWebJobsStorage__{service}ServiceUri");
            let address = snapshot.setting(&name).unwrap_or_default();
            let is_right = written(address)
                .iter()
                .any(|part| part.starts_with("https://") && part.contains(&format!(".{service}.")));
            if !is_right {
                self.report(path, format!("`{name}` is not an address of a {service} service: `{address}`"));
            }
        }
    }

    /// What ages lies in a container that is made.
    fn lifecycle(&mut self, snapshot: &Snapshot) {
        let containers = snapshot.names(CONTAINERS);
        for policy in snapshot.of("Microsoft.Storage/storageAccounts/managementPolicies") {
            let rules = policy.get("/properties/policy/rules").and_then(Value::as_array);
            for rule in rules.into_iter().flatten() {
                let prefixes = rule.pointer("/definition/filters/prefixMatch").and_then(Value::as_array);
                let prefixes: Vec<&str> = prefixes.into_iter().flatten().filter_map(Value::as_str).collect();
                if prefixes.is_empty() {
                    self.report(
                        &snapshot.path,
                        "a rule of the lifecycle names no prefix: everything would age, the lake too",
                    );
                }
                for prefix in prefixes {
                    if !containers.contains(prefix.split('/').next().unwrap_or_default()) {
                        self.report(
                            &snapshot.path,
                            format!("`{prefix}` of the lifecycle lies in no container"),
                        );
                    }
                }
            }
        }
    }

    /// Every group of instances can have one instance at least.
    fn connections(&mut self, snapshot: &Snapshot) {
        let background = self.around.functions.iter().filter(|(_, function)| {
            !bindings(function).any(|one| one["type"].as_str() == Some("httpTrigger"))
        });
        let groups = 1 + u32::try_from(background.count()).unwrap_or(u32::MAX);
        let needed = groups * CONNECTIONS_PER_HANDLER + CONNECTIONS_FOR_OPERATORS;
        for server in snapshot.of(SERVER) {
            let sku = shown(server.get("/sku/name"));
            let known = POSTGRES_SKUS.iter().find(|(name, ..)| *name == sku);
            let Some((_, tier, usable)) = known else {
                self.report(&snapshot.path, format!("nobody knows how many connections {sku} has"));
                continue;
            };
            if *usable < needed {
                let message = format!(
                    "{sku} has {usable} usable connections; one instance of each of {groups} groups and operators need {needed}"
                );
                self.report(&snapshot.path, message);
            }
            let deployed = shown(server.get("/sku/tier"));
            if deployed != *tier {
                self.report(&snapshot.path, format!("{sku} is {tier}, not {deployed}"));
            }
        }
    }

    /// The program ends a run itself, minutes before the host would kill it; the host takes bodies of a size that fits.
    fn run_time(&mut self, snapshot: &Snapshot) {
        let limit = self.around.host["functionTimeout"].as_str().and_then(seconds);
        let most = snapshot.setting("BACKTEST_RUN_TIMEOUT_SECONDS").and_then(|text| text.parse::<i64>().ok());
        if let (Some(limit), Some(most)) = (limit, most)
            && most.saturating_add(SECONDS_TO_SPARE) > limit
        {
            let message = format!(
                "a run may take {most} s and host.json ends everything after {limit} s; leave {SECONDS_TO_SPARE} s"
            );
            self.report(&snapshot.path, message);
        }
        let body = snapshot.setting(BODY_LIMIT).unwrap_or_default();
        if !body.parse().is_ok_and(|bytes| BODY_LIMITS.contains(&bytes)) {
            let message = format!(
                "{BODY_LIMIT} is `{body}` and must be {} to {} bytes",
                BODY_LIMITS.start(),
                BODY_LIMITS.end()
            );
            self.report(&snapshot.path, message);
        }
    }

    fn outputs(&mut self, snapshot: &Snapshot) {
        let given: BTreeSet<&str> =
            snapshot.outputs().into_iter().flatten().map(|(name, _)| name.as_str()).collect();
        for name in OUTPUTS.iter().filter(|name| !given.contains(**name)) {
            self.report(&snapshot.path, format!("the output `{name}` is missing"));
        }
        for name in given.iter().filter(|name| !OUTPUTS.contains(name)) {
            self.report(&snapshot.path, format!("nothing reads the output `{name}`"));
        }
    }

    /// Values that would open a door.
    fn values(&mut self, snapshot: &Snapshot) {
        let is_private = snapshot.of("Microsoft.Network/privateEndpoints").next().is_some();
        let private = PRIVATE.iter().filter(|_| is_private);
        for (kind, pointer, wanted) in ALWAYS.iter().chain(private) {
            for resource in snapshot.of(kind) {
                let value = shown(resource.get(pointer));
                if value != *wanted {
                    let place = pointer.trim_start_matches('/').replace('/', ".");
                    let message = format!("{}: {place} is {value} and must be {wanted}", resource.name());
                    self.report(&snapshot.path, message);
                }
            }
        }
        if is_private
            && snapshot.of("Microsoft.DBforPostgreSQL/flexibleServers/firewallRules").next().is_some()
        {
            self.report(&snapshot.path, "the network is private and the database has firewall rules");
        }
    }

    /// Who may reach the database, and how: ranges of addresses, encryption, passwords.
    fn doors_of_the_database(&mut self, snapshot: &Snapshot) {
        for rule in snapshot.of("Microsoft.DBforPostgreSQL/flexibleServers/firewallRules") {
            let address = |key: &str| {
                let text = shown(rule.get(&format!("/properties/{key}")));
                text.parse::<Ipv4Addr>().map_err(|_| Failure::new(format!("`{text}` is not an IPv4 address")))
            };
            let ends = address("startIpAddress").and_then(|first| Ok((first, address("endIpAddress")?)));
            let verdict =
                ends.and_then(|(first, last)| firewall::check(first, last, rule.own_name() == AZURE_RULE));
            if let Err(fault) = verdict {
                self.report(&snapshot.path, format!("firewall rule {}: {fault}", rule.own_name()));
            }
        }
        let tls = snapshot
            .of("Microsoft.DBforPostgreSQL/flexibleServers/configurations")
            .find(|one| one.own_name() == "ssl_min_protocol_version");
        if shown(tls.and_then(|one| one.get("/properties/value"))) != "TLSv1.3" {
            self.report(&snapshot.path, "the database takes encryption older than TLS 1.3");
        }
        // A password needs a vault to be in.
        let with_vault = snapshot.of(VAULTS).next().is_some();
        for server in snapshot.of(SERVER) {
            let takes = shown(server.get("/properties/authConfig/passwordAuth"));
            if takes != if with_vault { "Enabled" } else { "Disabled" } {
                let has = if with_vault { "a" } else { "no" };
                self.report(&snapshot.path, format!("passwordAuth is {takes} and there is {has} key vault"));
            }
        }
        if snapshot.setting("POSTGRES_DSN").is_some_and(|dsn| {
            !dsn.is_empty() && !dsn.contains("sslmode=verify-full") && !dsn.contains("@Microsoft.KeyVault(")
        }) {
            self.report(&snapshot.path, "POSTGRES_DSN neither verifies the server nor comes from the vault");
        }
    }

    /// No secret is in an app setting or an output: those can be read by many.
    fn secrets(&mut self, snapshot: &Snapshot) {
        let settings = snapshot.app_settings().map(|(name, value)| (name, value.to_owned()));
        let outputs = snapshot.outputs().into_iter().flatten();
        let outputs = outputs.map(|(name, value)| (name.as_str(), shown(Some(value))));
        for (name, value) in settings.chain(outputs) {
            if ["administratorPassword", "listKeys(", "AccountKey="].iter().any(|word| value.contains(word)) {
                self.report(&snapshot.path, format!("`{name}` shows a secret"));
            }
        }
    }

    /// This tool speaks to the same versions of Azure's interfaces as the files.
    fn versions(&mut self, snapshot: &Snapshot) {
        for (kind, version) in
            [(SERVER, POSTGRES_API), (SITES, WEB_API), ("Microsoft.Consumption/budgets", BUDGET_API)]
        {
            for resource in snapshot.of(kind).map(Resource::api_version).filter(|one| *one != version) {
                let message =
                    format!("{kind} is made with version {resource} and cargo infra asks with {version}");
                self.report(&snapshot.path, message);
            }
        }
    }

    /// Roles that the app gets are known, and are those that the deploying identity may hand out.
    fn role_ids(&mut self, snapshots: &[Snapshot]) {
        let around = self.around;
        let name = |id: &str| ROLES.iter().find(|(one, _)| *one == id).map(|(_, name)| *name);
        let bicep =
            around.sources.iter().filter(|(path, _)| path.extension().is_some_and(|kind| kind == "bicep"));
        for (path, text) in bicep {
            for id in ids(text).into_iter().filter(|id| name(id).is_none()) {
                self.report(path, format!("{id} is not a built-in role that is known here"));
            }
        }
        let mut handed_out = BTreeSet::new();
        for snapshot in snapshots {
            for one in snapshot.of("Microsoft.Authorization/roleAssignments") {
                let role = shown(one.get("/properties/roleDefinitionId"));
                let id = role.rsplit('/').next().unwrap_or_default().to_owned();
                if name(&id).is_none() {
                    self.report(
                        &snapshot.path,
                        format!("`{role}` is not a built-in role that is known here"),
                    );
                }
                handed_out.insert(id);
            }
        }
        let identities = "infra/bootstrap/identities.bicep";
        let list = around.source(identities).split("var assignableRoles = [").nth(1);
        let list = list.and_then(|rest| rest.split(']').next()).unwrap_or_default();
        let assignable = ids(list);
        for id in handed_out.iter().filter(|id| !assignable.contains(id.as_str())) {
            let name = name(id).unwrap_or("?");
            self.report(identities, format!("the deploying identity may not assign {id} ({name})"));
        }
        for id in assignable.iter().filter(|id| !handed_out.contains(**id)) {
            self.report(
                identities,
                format!("the deploying identity may assign {id}, which nothing hands out"),
            );
        }
    }

    /// Roles that the migrations grant to are those that the role step makes.
    fn roles_of_the_database(&mut self) {
        let migrations = "migrations/postgres";
        let around = self.around;
        for name in &around.roles {
            if !LOGINS.contains(&name.as_str()) && !GROUPS.contains(&name.as_str()) {
                self.report(migrations, format!("they grant to `{name}`, which the role step does not make"));
            }
        }
        for name in LOGINS.iter().chain(&GROUPS) {
            if !around.migrations.contains(name) {
                self.report(migrations, format!("none knows the role `{name}`"));
            }
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
            self.report(ROLES_OF_THE_PROGRAM, format!("{who} does not know the login `{name}`"));
        }
        for name in slots.iter().filter(|name| !around.readme.contains(&format!("`{name}`"))) {
            self.report(README, format!("the login `{name}` is not explained"));
        }
        let vault = "infra/modules/keyvault.bicep";
        if !around.source(vault).contains(&format!("var dsnName = '{DSN_SECRET}'")) {
            self.report(vault, format!("`dsnName` is not `{DSN_SECRET}`, which cargo infra writes"));
        }
    }

    /// What host.json says by itself.
    fn host(&mut self) {
        let around = self.around;
        let limit = around.host["functionTimeout"].as_str().and_then(seconds);
        let most = files::bound(around.source(MAIN), "runTimeoutSeconds", "maxValue");
        match (limit, most) {
            (None, _) => self.report("host.json", "`functionTimeout` is not written as HH:MM:SS"),
            (_, None) => self.report(MAIN, "`runTimeoutSeconds` has no `@maxValue`"),
            (Some(limit), Some(most)) if most.saturating_add(SECONDS_TO_SPARE) > limit => {
                let message = format!(
                    "`runTimeoutSeconds` may be {most} and host.json ends everything after {limit} s; leave {SECONDS_TO_SPARE} s"
                );
                self.report(MAIN, message);
            }
            _ => {}
        }
        let executable = around.host["customHandler"]["description"]["defaultExecutablePath"].as_str();
        if executable != Some(package::EXECUTABLE) {
            let message =
                format!("`defaultExecutablePath` is not `{}`, which is packed", package::EXECUTABLE);
            self.report("host.json", message);
        }
        // A default lifts the host's own filter: every call of its Azure clients would be logged, and paid for.
        if !around.host["logging"]["logLevel"]["default"].is_null() {
            self.report("host.json", "`logLevel.default` lets the host log every request to storage");
        }
        if !around.readme.contains(&format!("at most {CONNECTIONS_PER_HANDLER},")) {
            let message = format!(
                "a handler opens at most {CONNECTIONS_PER_HANDLER} connections; the text says otherwise"
            );
            self.report(README, message);
        }
    }

    /// Each size has a file that is for it, and one more file shows every option.
    fn sizes(&mut self, snapshots: &[Snapshot]) {
        let there: BTreeSet<&str> = snapshots.iter().map(Snapshot::name).collect();
        for size in SIZES.iter().filter(|size| !there.contains(**size)) {
            self.report("infra", format!("`{size}.bicepparam` is missing"));
        }
        let around = self.around;
        for (path, text) in around.parameter_files() {
            let size = files::assignments(text).into_iter().find(|(name, _)| *name == "size");
            let size = size.map_or("", |(_, value)| value.trim_matches('\''));
            let stem = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
            if SIZES.contains(&stem) && size != stem {
                self.report(path, format!("the file is for `{size}`"));
            }
        }
    }

    /// Every parameter is explained, and the file with every option says something about each.
    fn parameters(&mut self) {
        let around = self.around;
        let every = "infra/every-option.bicepparam";
        let said: BTreeSet<&str> =
            files::assignments(around.source(every)).into_iter().map(|(name, _)| name).collect();
        for name in files::parameters(around.source(MAIN)) {
            if !around.readme.contains(&format!("`{name}`")) {
                self.report(README, format!("does not explain the parameter `{name}`"));
            }
            if !said.contains(name) && name != "thisMonth" {
                self.report(every, format!("leaves `{name}` as it is"));
            }
        }
    }

    /// Each variable means one parameter in all parameter files.
    fn parameter_files(&mut self) {
        let around = self.around;
        let mut meanings: BTreeMap<&str, BTreeMap<Vec<&str>, &Path>> = BTreeMap::new();
        for (path, text) in around.parameter_files() {
            for (name, value) in files::assignments(text) {
                let variables = files::variables_of(value);
                if !variables.is_empty() {
                    meanings.entry(name).or_default().insert(variables, path);
                }
            }
        }
        for (parameter, variables) in meanings.into_iter().filter(|(_, variables)| variables.len() > 1) {
            for (variables, path) in variables {
                self.report(path, format!("only here `{parameter}` is read from {}", variables.join(", ")));
            }
        }
    }

    /// Whoever silences the linter says why, in the line above.
    fn directives(&mut self) {
        let around = self.around;
        for (path, text) in &around.sources {
            let mut before = "";
            for line in text.lines() {
                if line.trim_start().starts_with("#disable-") && !before.trim_start().starts_with("//") {
                    self.report(path, format!("`{}` without a reason above it", line.trim()));
                }
                before = line;
            }
        }
    }

    /// Every variable of the parameter files can be set in GitHub, but for those that `cargo infra provision` sets.
    fn workflows(&mut self) {
        let around = self.around;
        let read: BTreeSet<&str> = around
            .parameter_files()
            .flat_map(|(_, text)| files::variables_of(text))
            .filter(|name| !FOUND_OUT.contains(name))
            .collect();
        for (path, text) in &around.workflows {
            for name in
                read.iter().filter(|name| !text.contains(&format!("\n      {name}: ${{{{ vars.{name} ")))
            {
                self.report(path, format!("the variable `{name}` is not handed on"));
            }
        }
    }
}

/// What hangs below a database server waits for everything before it, one at a time: the service refuses two changes at
/// once, and a loop without items makes nobody wait. `template` is main.bicep as it was compiled.
pub fn series(template: &Value) -> Vec<String> {
    let mut found = Vec::new();
    let mut servers = 0;
    for module in members(&template["resources"]) {
        let resources: Vec<&Value> = members(&module["properties"]["template"]["resources"]).collect();
        let mut before: Vec<&str> = Vec::new();
        for resource in resources {
            let kind = resource["type"].as_str().unwrap_or_default();
            servers += usize::from(kind == SERVER);
            let Some(part) = kind.strip_prefix(SERVER).and_then(|rest| rest.strip_prefix('/')) else {
                continue;
            };
            let waits: Vec<&str> =
                resource["dependsOn"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
            let name = resource["copy"]["name"].as_str();
            for missing in
                before.iter().filter(|one| !waits.iter().any(|wait| wait == *one || wait.contains(*one)))
            {
                found.push(format!("infra/modules/postgres.bicep: {part} do not wait for `{missing}`"));
            }
            if name.is_some() && resource["copy"]["mode"].as_str() != Some("serial") {
                found.push(format!(
                    "infra/modules/postgres.bicep: {part} are not made one by one (@batchSize(1))"
                ));
            }
            // A loop is waited for by its name, a single resource by its type.
            before.push(name.unwrap_or(kind));
        }
    }
    if servers == 0 {
        found.push(format!("{MAIN}: makes no database server that the checks can see"));
    }
    found
}

/// The members of a list or of an object.
fn members(value: &Value) -> Box<dyn Iterator<Item = &Value> + '_> {
    match value {
        Value::Array(items) => Box::new(items.iter()),
        Value::Object(items) => Box::new(items.values()),
        _ => Box::new(std::iter::empty()),
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
