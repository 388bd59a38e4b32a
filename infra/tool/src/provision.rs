//! `cargo infra provision`: one environment from nothing, or an existing one brought up to date. A second run changes
//! nothing that the first one made; above all, a server never moves.

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::azure::{Failure, POSTGRES_API, Refusal, Secret, Tools, mask, private_file, say};
use crate::catalogue::POSTGRES_SKUS;
use crate::environment::{as_administrator, server_path};
use crate::existing::{self, Existing};
use crate::handover::HandOver;
use crate::state::State;
use crate::{dropped, firewall};

/// Logins of the database in password mode. Each has a second slot, see [`other_slot`].
pub const LOGINS: [&str; 3] = ["api_service", "backtest_service", "ranking_writer"];

/// The login that the function app uses in password mode.
pub const APP_LOGIN: &str = "backtest_service";

/// Groups that grants are made to; the app's identity is a member of each.
pub const GROUPS: [&str; 3] = ["backtest_api", "backtest_executor", "ranking_sync"];

/// Sizes of an environment; each has a parameter file of its name.
pub const SIZES: [&str; 3] = ["dev", "team", "ha"];

/// Outputs of main.bicep.
pub const OUTPUTS: [&str; 12] = [
    "AZURE_RESOURCE_GROUP",
    "BACKTEST_APP_NAME",
    "BACKTEST_APP_URL",
    "BACKTEST_BUDGET_START",
    "BACKTEST_IDENTITY_NAME",
    "BACKTEST_IDENTITY_OBJECT_ID",
    "BACKTEST_KEY_VAULT",
    "POSTGRES_ADMIN_LOGIN",
    "POSTGRES_DATABASE",
    "POSTGRES_HOST",
    "POSTGRES_LOCATION",
    "POSTGRES_SERVER",
];

/// What a subscription must know of before anything can be made in it.
const PROVIDERS: [&str; 10] = [
    "Microsoft.DBforPostgreSQL",
    "Microsoft.Web",
    "Microsoft.App",
    "Microsoft.Storage",
    "Microsoft.KeyVault",
    "Microsoft.Insights",
    "Microsoft.OperationalInsights",
    "Microsoft.ManagedIdentity",
    "Microsoft.Network",
    "Microsoft.Consumption",
];

/// The one class of errors after which another region is worth a try.
const RESTRICTED: [&str; 3] = [
    "location is restricted for provisioning",
    "LocationIsOfferRestricted",
    "is restricted for the subscription in location",
];

/// Name of the vault's secret with the app's connection string, as in keyvault.bicep.
pub const DSN_SECRET: &str = "postgres-dsn";

/// The slot that takes over when the password of this one is to change.
pub fn other_slot(slot: &str) -> String {
    slot.strip_suffix("_b").map_or_else(|| format!("{slot}_b"), str::to_owned)
}

/// Name of the vault's secret with a login's connection string.
fn dsn_secret(login: &str) -> String {
    if login == APP_LOGIN {
        DSN_SECRET.to_owned()
    } else {
        format!("{DSN_SECRET}-{}", login.replace('_', "-"))
    }
}

/// Flags win over variables, variables over the parameter file.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Parameter file: dev, team or ha.
    #[arg(long, default_value = "dev", value_parser = SIZES)]
    pub size: String,
    /// Name of the environment.
    #[arg(long, env = "AZURE_ENV_NAME")]
    pub environment: Option<String>,
    /// Region of everything except the database.
    #[arg(long, env = "AZURE_LOCATION", default_value = "westeurope")]
    pub location: String,
    /// Region of the database, where it does not exist yet.
    #[arg(long, env = "POSTGRES_LOCATION")]
    pub postgres_location: Option<String>,
    /// Regions to try when the database's is restricted for this subscription, in order.
    #[arg(long, env = "POSTGRES_LOCATION_FALLBACK", value_delimiter = ',')]
    pub location_fallback: Vec<String>,
    /// Name of the database server.
    #[arg(long, env = "POSTGRES_SERVER")]
    pub server_name: Option<String>,
    /// Compute size of the server, for example Standard_D2ds_v5.
    #[arg(long, env = "POSTGRES_SKU")]
    pub sku_name: Option<String>,
    /// Tier of the compute size; follows from it.
    #[arg(long, env = "POSTGRES_TIER")]
    pub tier: Option<String>,
    /// Storage of the server in GiB.
    #[arg(long, env = "POSTGRES_STORAGE_GB")]
    pub storage_gb: Option<String>,
    /// Major version of Postgres.
    #[arg(long, env = "POSTGRES_VERSION")]
    pub postgres_version: Option<String>,
    /// Name of the database.
    #[arg(long, env = "POSTGRES_DATABASE")]
    pub database_name: Option<String>,
    /// public or private.
    #[arg(long, env = "BACKTEST_NETWORK", value_parser = ["public", "private", ""], hide_possible_values = true)]
    pub network: Option<String>,
    /// Admit every address inside Azure, those of other customers too.
    #[arg(long)]
    pub allow_azure_services: bool,
    /// First address that may connect.
    #[arg(long, requires = "allow_ip_range_end")]
    pub allow_ip_range_start: Option<Ipv4Addr>,
    /// Last address that may connect.
    #[arg(long, requires = "allow_ip_range_start")]
    pub allow_ip_range_end: Option<Ipv4Addr>,
    /// Also make logins with passwords for the service; the app then uses one of them, out of a key vault.
    #[arg(long)]
    pub create_app_users: bool,
    /// Print the passwords that were made. They are shown nowhere else, and never again.
    #[arg(long, conflicts_with = "secrets_file")]
    pub emit_secrets: bool,
    /// Write the passwords that were made into this file, readable by this user only.
    #[arg(long)]
    pub secrets_file: Option<PathBuf>,
    /// Register the resource providers first; not being allowed to is only mentioned.
    #[arg(long)]
    pub register_providers: bool,
    /// Leave the database's schema and roles alone.
    #[arg(long)]
    pub skip_database: bool,
    /// Only the database's schema and roles, for a deployment that somebody else made (azd).
    #[arg(long, conflicts_with = "skip_database")]
    pub only_database: bool,
    /// Change nothing: write into this file what the deployment would change, for `cargo infra gate`.
    #[arg(long, conflicts_with_all = ["only_database", "register_providers"])]
    pub what_if: Option<PathBuf>,
}

/// Tier of a compute size, by its prefix.
pub fn tier_of(sku: &str) -> Option<&'static str> {
    match sku.to_lowercase().strip_prefix("standard_")?.chars().next()? {
        'b' => Some("Burstable"),
        'd' => Some("GeneralPurpose"),
        'e' | 'm' => Some("MemoryOptimized"),
        _ => None,
    }
}

/// The tier for a compute size and tier as given; says what is wrong with a pair that Azure would refuse later.
pub fn pair(sku: Option<&str>, tier: Option<&str>) -> Result<Option<&'static str>, Failure> {
    let Some(sku) = sku else {
        return match tier {
            None => Ok(None),
            Some(tier) => {
                Err(Failure::new(format!("--tier {tier} stands alone; name the --sku-name it belongs to")))
            }
        };
    };
    let fitting = tier_of(sku).ok_or_else(|| {
        let known: Vec<&str> = POSTGRES_SKUS.iter().map(|(name, ..)| *name).collect();
        Failure::new(format!("--sku-name {sku} is of no tier; for example {}", known.join(", ")))
    })?;
    match tier {
        Some(tier) if !tier.eq_ignore_ascii_case(fitting) => Err(Failure::new(format!(
            "--sku-name {sku} and --tier {tier} do not go together: {sku} is {fitting}"
        ))),
        _ => Ok(Some(fitting)),
    }
}

/// The rules that the flags or the variable ask for, in JSON; `None` leaves it to the parameter file.
fn firewall_rules(args: &Args) -> Result<Option<String>, Failure> {
    let azure =
        args.allow_azure_services || variable("POSTGRES_ALLOW_AZURE_SERVICES").as_deref() == Some("true");
    if let (Some(first), Some(last)) = (args.allow_ip_range_start, args.allow_ip_range_end) {
        firewall::check(first, last, azure)?;
        let name = format!("range-{first}-{last}").replace('.', "-");
        let rule =
            json!({"name": name, "startIpAddress": first.to_string(), "endIpAddress": last.to_string()});
        return Ok(Some(json!([rule]).to_string()));
    }
    let Some(rules) = variable("POSTGRES_FIREWALL_RULES") else { return Ok(None) };
    firewall::check_all(&rules, azure)?;
    Ok(Some(rules))
}

/// Refuses the switch of signals where it would switch nothing: the app needs the connection for its runs.
fn check_signals() -> Result<(), Failure> {
    let off = variable("POSTGRES_SIGNALS").as_deref() == Some("false");
    if off && variable("BACKTEST_RUN_STORE_MODE").as_deref().unwrap_or("postgres") == "postgres" {
        return Err(Failure::new(SIGNALS_NEED_ADLS));
    }
    Ok(())
}

/// Why signals cannot be switched off by themselves.
pub const SIGNALS_NEED_ADLS: &str = "POSTGRES_SIGNALS=false needs BACKTEST_RUN_STORE_MODE=adls: while runs are in Postgres, signals \
     go there too; POSTGRES_SIGNALS_WRITE_REQUIRED=false lets the sync go on when they cannot";

/// A variable of this process, if it is filled.
fn variable(name: &str) -> Option<String> {
    filled(std::env::var(name).ok().as_ref())
}

/// An empty value counts as none: that is what a pipeline hands on for a variable that nobody set.
fn filled(value: Option<&String>) -> Option<String> {
    value.filter(|text| !text.trim().is_empty()).cloned()
}

/// Runs the command in the project at `root`.
pub fn run(tools: &Tools, root: &Path, args: &Args) -> Result<(), Failure> {
    // Everything that can be wrong is said before the first call.
    let sku = filled(args.sku_name.as_ref());
    let tier = pair(sku.as_deref(), filled(args.tier.as_ref()).as_deref())?;
    if let (Some(sku), Some("Burstable"), "ha") = (&sku, tier, args.size.as_str()) {
        return Err(Failure::new(format!("--size ha has a standby, which {sku} (Burstable) cannot have")));
    }
    let rules = firewall_rules(args)?;
    check_signals()?;
    let mut hand_over = HandOver::new(args.emit_secrets, args.secrets_file.clone())?;
    let environment = filled(args.environment.as_ref()).unwrap_or_else(|| args.size.clone());
    let mut state = State::load(root, &environment);
    if !args.only_database {
        let wanted = Wanted { tier, rules, environment: &environment };
        deploy(tools, root, args, wanted, &mut state, &mut hand_over)?;
    }
    if args.what_if.is_some() {
        return Ok(());
    }
    if !args.skip_database {
        database(tools, &state, &mut hand_over)?;
    }
    say(format_args!("environment {environment} is up to date"));
    Ok(())
}

/// Learns the outputs of the environment's last deployment, for commands on another machine than the one that made it.
pub fn outputs(tools: &Tools, environment: &str, state: &mut State) -> Result<(), Failure> {
    let name = format!("backtests-{environment}");
    let deployment = tools.az(&["deployment", "sub", "show", "--name", &name], &[])?;
    learn(state, &deployment["properties"]["outputs"], [])?;
    say(format_args!("environment {environment}: {}", state.require("BACKTEST_APP_URL")?));
    Ok(())
}

fn learn<const N: usize>(
    state: &mut State,
    outputs: &Value,
    further: [(&str, String); N],
) -> Result<(), Failure> {
    let outputs =
        OUTPUTS.iter().filter_map(|name| Some((*name, outputs[*name]["value"].as_str()?.to_owned())));
    state.learn(outputs.chain(further).map(|(name, value)| (name.to_owned(), value)))
}

/// What was asked for, checked.
struct Wanted<'a> {
    tier: Option<&'a str>,
    rules: Option<String>,
    environment: &'a str,
}

fn deploy(
    tools: &Tools,
    root: &Path,
    args: &Args,
    wanted: Wanted<'_>,
    state: &mut State,
    hand_over: &mut HandOver,
) -> Result<(), Failure> {
    let Wanted { tier, rules, environment } = wanted;
    let subscription = tools.subscription()?;
    if args.register_providers {
        for provider in PROVIDERS {
            match tools.az(&["provider", "register", "--namespace", provider], &[]) {
                Ok(_) => say(format_args!("registered {provider}")),
                Err(refusal) if refusal.says(&["AuthorizationFailed"]) => {
                    say(format_args!(
                        "may not register {provider}; an owner of the subscription may have done it"
                    ));
                }
                Err(refusal) => return Err(refusal.into()),
            }
        }
    }
    let mut variables: Vec<(&str, String)> =
        vec![("AZURE_ENV_NAME", environment.to_owned()), ("AZURE_LOCATION", args.location.clone())];
    let mut set = |name: &'static str, value: Option<String>| {
        if let Some(value) = value {
            variables.push((name, value));
        }
    };
    set("POSTGRES_SKU", filled(args.sku_name.as_ref()));
    set("POSTGRES_TIER", tier.map(str::to_owned));
    set("POSTGRES_DATABASE", filled(args.database_name.as_ref()));
    set("BACKTEST_NETWORK", filled(args.network.as_ref()));
    set("POSTGRES_ALLOW_AZURE_SERVICES", args.allow_azure_services.then(|| "true".to_owned()));
    set("POSTGRES_FIREWALL_RULES", rules);
    let administrator = administrator(tools)?;
    set("POSTGRES_ADMIN_NAME", Some(administrator.name.clone()));
    set("POSTGRES_ADMIN_OBJECT_ID", Some(administrator.id));
    set("POSTGRES_ADMIN_TYPE", Some(administrator.kind));

    let named = filled(args.server_name.as_ref());
    let last = state.get("POSTGRES_SERVER");
    let existing = existing::server(tools, &subscription, environment, named.as_deref(), last.as_deref())?;
    set("BACKTEST_BUDGET_START", existing::budget_start(tools, &subscription, environment));
    let (version, storage) = (filled(args.postgres_version.as_ref()), filled(args.storage_gb.as_ref()));
    set("POSTGRES_STORAGE_FOUND_GB", existing.as_ref().and_then(|server| server.storage(storage.as_deref())));
    set("POSTGRES_STORAGE_GB", storage);
    set(
        "POSTGRES_VERSION",
        match &existing {
            Some(server) => server.version(version),
            None => version,
        },
    );
    // A server that takes passwords goes on doing so, also when nobody asks for it again.
    let passwords = args.create_app_users
        || existing.as_ref().is_some_and(|server| server.passwords)
        || state.get("POSTGRES_PASSWORD_AUTH").is_some_and(|value| value == "true");
    let mut administrator_password = None;
    if passwords {
        set("POSTGRES_PASSWORD_AUTH", Some("true".to_owned()));
        let given = variable("POSTGRES_ADMIN_PASSWORD");
        if !existing.as_ref().is_some_and(|server| server.passwords) && given.is_none() {
            let password = Secret::generate()?;
            mask(password.reveal());
            set("POSTGRES_ADMIN_PASSWORD", Some(password.reveal().to_owned()));
            administrator_password = Some(password);
        }
    }
    let regions = match &existing {
        Some(Existing { name, region, .. }) => {
            set("POSTGRES_SERVER", Some(name.clone()));
            if filled(args.postgres_location.as_ref()).is_some_and(|asked| !same_region(&asked, region)) {
                say(format_args!(
                    "{name} stays in {region}: a server cannot move (see \"region move\" in infra/README.md)"
                ));
            }
            vec![region.clone()]
        }
        None => {
            set("POSTGRES_SERVER", named);
            let first = filled(args.postgres_location.as_ref()).or_else(|| state.get("POSTGRES_LOCATION"));
            let mut regions = vec![first.unwrap_or_else(|| args.location.clone())];
            for region in args.location_fallback.iter().filter(|region| !region.trim().is_empty()) {
                if !regions.iter().any(|known| same_region(known, region)) {
                    regions.push(region.clone());
                }
            }
            regions
        }
    };
    let deployment = Deployment {
        name: format!("backtests-{environment}"),
        location: &args.location,
        file: root.join("infra").join(format!("{}.bicepparam", args.size)).display().to_string(),
        subscription: &subscription,
        variables: &variables,
    };
    if let Some(file) = &args.what_if {
        return ask_what_if(tools, &deployment, &regions[0], file);
    }
    let deployed = deploy_somewhere(tools, &deployment, &regions, existing.is_some())?;
    let further =
        [("POSTGRES_ADMIN_NAME", administrator.name), ("POSTGRES_PASSWORD_AUTH", passwords.to_string())];
    learn(state, &deployed["outputs"], further)?;
    if let Some(password) = administrator_password {
        let login = state.get("POSTGRES_ADMIN_LOGIN").unwrap_or_default();
        hand_over.add(&[(login, password)])?;
    }
    dropped::remove(tools, &server_path(&subscription, state)?, &deployed["parameters"], administrator.named)
}

fn same_region(one: &str, other: &str) -> bool {
    let plain = |name: &str| name.replace(' ', "").to_lowercase();
    plain(one) == plain(other)
}

/// The server's administrator.
struct Administrator {
    name: String,
    id: String,
    /// User, Group or ServicePrincipal.
    kind: String,
    /// Whether somebody said so, or it is only the person who is signed in.
    named: bool,
}

/// The administrator as set, else the person who is signed in.
fn administrator(tools: &Tools) -> Result<Administrator, Failure> {
    if let (Some(id), Some(name)) = (variable("POSTGRES_ADMIN_OBJECT_ID"), variable("POSTGRES_ADMIN_NAME")) {
        let kind = variable("POSTGRES_ADMIN_TYPE").unwrap_or_else(|| "User".to_owned());
        return Ok(Administrator { name, id, kind, named: true });
    }
    let user = tools.az(&["ad", "signed-in-user", "show"], &[]).map_err(|refusal| {
        Failure::new(format!(
            "nobody is known as administrator of the database: sign in as a person, or set POSTGRES_ADMIN_OBJECT_ID, \
             POSTGRES_ADMIN_NAME and POSTGRES_ADMIN_TYPE ({})",
            refusal.words.trim()
        ))
    })?;
    match (user["userPrincipalName"].as_str(), user["id"].as_str()) {
        (Some(name), Some(id)) => {
            let (name, id) = (name.to_owned(), id.to_owned());
            Ok(Administrator { name, id, kind: "User".to_owned(), named: false })
        }
        _ => Err(Failure::new("az ad signed-in-user show names nobody")),
    }
}

/// One deployment, but for the region of its database.
struct Deployment<'a> {
    name: String,
    location: &'a str,
    file: String,
    subscription: &'a str,
    variables: &'a [(&'a str, String)],
}

/// Writes down what a deployment would change. With this level of validation it is enough to be allowed to read.
fn ask_what_if(tools: &Tools, deployment: &Deployment<'_>, region: &str, file: &Path) -> Result<(), Failure> {
    let Deployment { name, location, file: parameters, variables, .. } = deployment;
    let arguments = [
        ["deployment", "sub", "what-if"].as_slice(),
        &["--name", name, "--location", location, "--parameters", parameters],
        &["--validation-level", "ProviderNoRbac", "--no-pretty-print"],
    ]
    .concat();
    let answer = tools.az(&arguments, &with_region(variables, region))?;
    std::fs::write(file, format!("{answer:#}\n"))
        .map_err(|error| Failure::new(format!("write {}: {error}", file.display())))
}

fn with_region<'a>(variables: &'a [(&'a str, String)], region: &'a str) -> Vec<(&'a str, &'a str)> {
    let variables = variables.iter().map(|(name, value)| (*name, value.as_str()));
    variables.chain([("POSTGRES_LOCATION", region)]).collect()
}

/// Deploys with the database in the first of `regions` that takes it; one that exists stays where it is. Answers what
/// Azure says of the deployment.
fn deploy_somewhere(
    tools: &Tools,
    deployment: &Deployment<'_>,
    regions: &[String],
    exists: bool,
) -> Result<Value, Failure> {
    let Deployment { name, location, file, subscription, variables } = deployment;
    let mut refusals = Vec::new();
    for (position, region) in regions.iter().enumerate() {
        let last = position + 1 == regions.len();
        // Asking costs a second, being refused costs minutes.
        if !exists && !last && restricted(tools, subscription, region) {
            say(format_args!("{region} is restricted for this subscription; trying the next region"));
            refusals.push(region.clone());
            continue;
        }
        say(format_args!("deploying, with the database in {region}"));
        let arguments =
            ["deployment", "sub", "create", "--name", name, "--location", location, "--parameters", file];
        match tools.az(&arguments, &with_region(variables, region)) {
            Ok(mut deployment) => return Ok(deployment["properties"].take()),
            Err(refusal) if !exists && refusal.says(&RESTRICTED) => {
                say(format_args!("{region} is restricted for this subscription"));
                refusals.push(region.clone());
            }
            Err(refusal) => return Err(refusal.into()),
        }
    }
    Err(Failure::new(format!(
        "every region is restricted for this subscription: {}; name others with --location-fallback",
        refusals.join(", ")
    )))
}

/// Whether the region says that this subscription may not make servers there. No answer counts as no.
fn restricted(tools: &Tools, subscription: &str, region: &str) -> bool {
    let path = format!(
        "/subscriptions/{subscription}/providers/Microsoft.DBforPostgreSQL/locations/{region}/capabilities"
    );
    match tools.rest("get", &path, POSTGRES_API, None) {
        Ok(answer) => answer["value"].as_array().into_iter().flatten().any(|one| {
            one["restricted"].as_str() == Some("Enabled")
                || one["reason"].as_str().is_some_and(|reason| reason.to_lowercase().contains("restricted"))
        }),
        Err(Refusal { .. }) => false,
    }
}

/// Schema and roles.
fn database(tools: &Tools, state: &State, hand_over: &mut HandOver) -> Result<(), Failure> {
    let (server, dsn) = as_administrator(tools, state)?;
    let administrator = [("POSTGRES_DSN", dsn.reveal())];
    // The vault is asked before the database is touched: who may not read it learns that first.
    let vault = state.get("BACKTEST_KEY_VAULT");
    let mut to_make = Vec::new();
    if let Some(vault) = &vault {
        for login in LOGINS {
            if active_slot(tools, vault, login)?.is_none() {
                to_make.push(login);
            }
        }
    }
    for step in ["up", "verify"] {
        say(format_args!("backtests migrate {step}"));
        tools.backtests(&["migrate", step], &administrator)?;
    }
    let Some(vault) = vault else {
        let name = state.require("BACKTEST_IDENTITY_NAME")?;
        let id = state.require("BACKTEST_IDENTITY_OBJECT_ID")?;
        let member = format!("{name}={id}:{}", GROUPS.join(","));
        say(format_args!("backtests migrate roles: {name} is a member of {}", GROUPS.join(", ")));
        tools.backtests(&["migrate", "roles", "--entra", &member], &administrator)?;
        return Ok(());
    };
    let mut made = Vec::new();
    for login in to_make {
        let password = set_password(tools, &dsn, login, login)?;
        store_dsn(tools, &vault, login, login, &server.dsn(login, &password))?;
        made.push((login.to_owned(), password));
    }
    if made.is_empty() {
        say("the logins exist; `cargo infra rotate` changes their passwords");
        return Ok(());
    }
    hand_over.add(&made)
}

/// The slot of a login that the vault's connection string names; `None` without a connection string.
pub fn active_slot(tools: &Tools, vault: &str, login: &str) -> Result<Option<String>, Failure> {
    let secret = dsn_secret(login);
    // A tag says which, so that nobody needs to read the secret.
    let arguments =
        ["keyvault", "secret", "show", "--vault-name", vault, "--name", &secret, "--query", "tags"];
    let tags = match tools.az(&arguments, &[]) {
        Ok(tags) => tags,
        Err(refusal) if refusal.says(&["SecretNotFound", "not found"]) => return Ok(None),
        Err(refusal) if refusal.says(&["ForbiddenByRbac"]) => {
            return Err(Failure::new(format!(
                "you may not read and write the secrets of {vault}, not even as an owner of the subscription: give \
                 yourself the role and try again in some minutes, `az role assignment create --role \"Key Vault \
                 Secrets Officer\" --assignee \"$(az ad signed-in-user show --query id --output tsv)\" --scope \
                 \"$(az keyvault show --name {vault} --query id --output tsv)\"`"
            )));
        }
        Err(refusal) => return Err(refusal.into()),
    };
    match tags["login"].as_str() {
        None => Ok(Some(login.to_owned())),
        Some(slot) if slot == login || slot == other_slot(login) => Ok(Some(slot.to_owned())),
        Some(_) => {
            Err(Failure::new(format!("the tag `login` of the secret {secret} names no slot of {login}")))
        }
    }
}

/// Gives a slot of a login a password: the one that its variable says, else a new one.
pub fn set_password(
    tools: &Tools,
    administrator: &Secret,
    login: &str,
    slot: &str,
) -> Result<Secret, Failure> {
    let variable = format!("{}_PASSWORD", slot.to_uppercase());
    let password = match std::env::var(&variable).ok().filter(|value| !value.is_empty()) {
        Some(given) => Secret::new(given),
        None => Secret::generate()?,
    };
    mask(password.reveal());
    say(format_args!("backtests migrate roles: {slot} has a new password"));
    let variables = [("POSTGRES_DSN", administrator.reveal()), (variable.as_str(), password.reveal())];
    let mut arguments = vec!["migrate", "roles", "--only", slot];
    // The app has one connection string for all that it does.
    let everything = format!("{slot}={}", GROUPS.join(","));
    if login == APP_LOGIN {
        arguments.extend(["--member", everything.as_str()]);
    }
    tools.backtests(&arguments, &variables)?;
    Ok(password)
}

/// Puts a login's connection string into the vault, by way of a file that only we can read.
pub fn store_dsn(tools: &Tools, vault: &str, login: &str, slot: &str, dsn: &Secret) -> Result<(), Failure> {
    let file = private_file(dsn.reveal())?;
    let path = file.path().display().to_string();
    let (secret, tag) = (dsn_secret(login), format!("login={slot}"));
    let mut arguments = vec!["keyvault", "secret", "set", "--vault-name", vault, "--name", &secret];
    arguments.extend(["--file", &path, "--encoding", "utf-8", "--tags", &tag, "--query", "id"]);
    tools.az(&arguments, &[])?;
    Ok(())
}

/// Waits until the service says that it is ready, asking `times` times.
pub fn ready(tools: &Tools, url: &str, times: u32, pause: std::time::Duration) -> Result<(), Failure> {
    let address = format!("{url}/api/readyz");
    let mut words = String::new();
    for attempt in 0..times {
        if attempt > 0 {
            std::thread::sleep(pause);
        }
        match tools.az(&["rest", "--method", "get", "--url", &address, "--skip-authorization-header"], &[]) {
            Ok(_) => return Ok(()),
            Err(refusal) => words = refusal.words,
        }
    }
    Err(Failure::new(format!("{address} is not ready: {}", words.trim())))
}
