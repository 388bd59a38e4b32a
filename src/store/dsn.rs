//! Connection strings of Postgres, in the words of libpq: read here and nowhere else, in both forms. Every key is
//! honoured, harmless or refused by its name; none is passed over. How a database is then reached is in [`pg`](super::pg).

use std::borrow::Cow;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use percent_encoding::{NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use tokio_postgres::Config;
use tokio_postgres::config::{
    ChannelBinding, Host, LoadBalanceHosts, SslMode, SslNegotiation, TargetSessionAttrs,
};

/// A connection string that cannot be used. Neither its text nor a value of it is ever repeated.
#[expect(missing_docs, reason = "the text of an error says what its fields are")]
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidDsn {
    /// It cannot be read.
    #[error("is not a Postgres connection string (postgres://user@host/database or key=value pairs)")]
    Unreadable,
    /// No host or no database user.
    #[error("names no {0}")]
    Missing(&'static str),
    /// An unknown parameter. What stands there may be the rest of a password, so its place is told instead.
    #[error(
        "has a parameter that Postgres does not know, number {0} of them; a password with special characters is percent-encoded in a URL, and quoted between key=value pairs"
    )]
    Unknown(usize),
    /// A parameter that this program does not honour.
    #[error("has {key}: {why}")]
    Refused {
        key: &'static str,
        /// Why, and what to do instead.
        why: &'static str,
    },
    /// A parameter with another value than those it may have.
    #[error("has {key}, which must be {must}")]
    Value {
        key: &'static str,
        /// What its value must be.
        must: &'static str,
    },
    /// Lists of different lengths.
    #[error("has {hosts} hosts and {others} of {key}; there must be one for each host{}", if *.key == "port" { ", or one for all" } else { "" })]
    Lists {
        key: &'static str,
        /// How many hosts there are.
        hosts: usize,
        /// How many of the others.
        others: usize,
    },
    /// Plain text over a network.
    #[error("has sslmode=disable, which is only for hosts of this machine")]
    Plain,
}

/// A connection string, read.
#[derive(Clone)]
pub(super) struct Dsn {
    /// What the driver is told.
    pub(super) config: Config,
    /// Who vouches for the server's certificate.
    pub(super) roots: Roots,
    /// The other parameters as they were given, for other programs that connect.
    others: Vec<(&'static str, String)>,
}

/// Who vouches for the server's certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Roots {
    Platform,
    File(PathBuf),
}

/// What becomes of a parameter.
enum Fate {
    /// It says where the database is, who logs in, and how.
    Honoured,
    /// The same for the rest of a connection, so that it goes along to other logins.
    Carried,
    /// It asks for what is so anyway, as long as it has one of these values.
    Only(&'static [&'static str], &'static str),
    /// It is for other programs, and what it asks of them is so here.
    Harmless,
    /// It asks for something that is not done here.
    Refused(&'static str),
}
use Fate::{Carried, Harmless, Honoured, Only, Refused};

const NO_FILES: &str = "is not read here; write what it names into the connection string";
const NO_CERTIFICATE: &str =
    "there are no client certificates here; log in with a password or with POSTGRES_AUTH=entra";
const NO_GSSAPI: &str = "there is no GSSAPI here; leave it out";
const NO_OAUTH: &str = "tokens come from POSTGRES_AUTH=entra";
const NO_REVOCATION: &str = "lists of revoked certificates are not read; leave it out";
const POOL: &str = "the pool is sized by BACKTEST_POSTGRES_CONNECTIONS; leave it out";
const FALSE: &[&str] = &["0", "false", "off", "no"];

/// Every parameter of libpq 18, and some that other drivers made known.
const KEYS: &[(&str, Fate)] = &[
    ("host", Honoured),
    ("hostaddr", Honoured),
    ("port", Honoured),
    ("dbname", Honoured),
    ("user", Honoured),
    ("password", Honoured),
    ("sslmode", Honoured),
    ("ssl", Honoured),
    ("sslrootcert", Honoured),
    ("application_name", Honoured),
    ("fallback_application_name", Honoured),
    ("target_session_attrs", Carried),
    ("load_balance_hosts", Carried),
    ("channel_binding", Carried),
    ("sslnegotiation", Carried),
    ("options", Carried),
    ("connect_timeout", Carried),
    ("tcp_user_timeout", Carried),
    ("keepalives", Carried),
    ("keepalives_idle", Carried),
    ("keepalives_interval", Carried),
    ("keepalives_count", Carried),
    ("client_encoding", Only(&["UTF8", "utf8", "UTF-8", "utf-8", "auto"], "UTF8")),
    ("gssencmode", Only(&["disable", "prefer"], "disable or prefer, as there is no GSSAPI here")),
    ("gssdelegation", Only(FALSE, "0, as there is no GSSAPI here")),
    ("replication", Only(FALSE, "false")),
    ("sslcompression", Only(FALSE, "0")),
    ("sslsni", Only(&["1", "true", "on", "yes"], "1, as the server is always told the name of the host")),
    (
        "sslcertmode",
        Only(&["disable", "allow"], "disable or allow, as there are no client certificates here"),
    ),
    ("ssl_min_protocol_version", Only(&["TLSv1", "TLSv1.1", "TLSv1.2"], "TLSv1.2 or older")),
    ("ssl_max_protocol_version", Only(&["TLSv1.3"], "TLSv1.3")),
    ("min_protocol_version", Only(&["3.0"], "3.0")),
    ("max_protocol_version", Only(&["3.0", "3.2", "latest"], "3.0, 3.2 or latest")),
    ("pgbouncer", Harmless),
    ("passfile", Refused(NO_FILES)),
    ("service", Refused(NO_FILES)),
    ("servicefile", Refused(NO_FILES)),
    ("sslcert", Refused(NO_CERTIFICATE)),
    ("sslkey", Refused(NO_CERTIFICATE)),
    ("sslpassword", Refused(NO_CERTIFICATE)),
    ("sslcrl", Refused(NO_REVOCATION)),
    ("sslcrldir", Refused(NO_REVOCATION)),
    ("sslkeylogfile", Refused("keys of connections are not written down; leave it out")),
    ("requiressl", Refused("write sslmode=require")),
    (
        "require_auth",
        Refused(
            "which way the server asks is not looked at; write sslmode=verify-full channel_binding=require",
        ),
    ),
    ("requirepeer", Refused("the owner of a socket is not looked at; leave it out")),
    ("krbsrvname", Refused(NO_GSSAPI)),
    ("gsslib", Refused(NO_GSSAPI)),
    ("scram_client_key", Refused("write a password")),
    ("scram_server_key", Refused("write a password")),
    ("oauth_issuer", Refused(NO_OAUTH)),
    ("oauth_client_id", Refused(NO_OAUTH)),
    ("oauth_client_secret", Refused(NO_OAUTH)),
    ("oauth_scope", Refused(NO_OAUTH)),
    ("connection_limit", Refused(POOL)),
    ("pool_timeout", Refused(POOL)),
];

/// The parameters of a connection string as they stand there, each with the name by which it is known. Of one that is
/// there twice the last counts, and one without a value is as good as missing.
#[derive(Default)]
struct Parameters {
    given: Vec<(&'static str, String)>,
    read: usize,
}

impl Parameters {
    fn of(dsn: &str) -> Result<Self, InvalidDsn> {
        let mut parameters = Self::default();
        match dsn.strip_prefix("postgres://").or(dsn.strip_prefix("postgresql://")) {
            Some(address) => parameters.read_url(address)?,
            None => parameters.read_pairs(dsn)?,
        }
        Ok(parameters)
    }

    fn put(&mut self, key: &str, value: String) -> Result<(), InvalidDsn> {
        self.read += 1;
        let (key, fate) =
            KEYS.iter().find(|(known, _)| *known == key).ok_or(InvalidDsn::Unknown(self.read))?;
        match fate {
            _ if value.is_empty() => return Ok(()),
            Refused(why) => return Err(InvalidDsn::Refused { key, why }),
            Only(values, must) if !values.contains(&value.as_str()) => {
                return Err(InvalidDsn::Value { key, must });
            }
            Only(..) | Harmless => return Ok(()),
            Honoured | Carried => {}
        }
        self.given.retain(|(given, _)| given != key);
        self.given.push((key, value));
        Ok(())
    }

    fn get(&self, key: &str) -> Option<&str> {
        self.given.iter().find(|(given, _)| *given == key).map(|(_, value)| value.as_str())
    }

    /// `[user[:password]@][host[:port],…][/database][?key=value&…]`, where everything may be percent-encoded.
    fn read_url(&mut self, address: &str) -> Result<(), InvalidDsn> {
        let (address, query) = address.split_once('?').unwrap_or((address, ""));
        let (authority, database) = address.split_once('/').unwrap_or((address, ""));
        let (login, places) = match authority.rsplit_once('@') {
            Some((login, places)) => (Some(login), places),
            None => (None, authority),
        };
        if let Some(login) = login {
            let (user, password) = login.split_once(':').unwrap_or((login, ""));
            self.put("user", decoded(user)?)?;
            self.put("password", decoded(password)?)?;
        }
        let (mut hosts, mut ports) = (Vec::new(), Vec::new());
        for place in places.split(',').filter(|_| !places.is_empty()) {
            // An address with colons stands in brackets.
            let (host, port) = match place.strip_prefix('[') {
                Some(rest) => {
                    let (host, port) = rest.split_once(']').ok_or(InvalidDsn::Unreadable)?;
                    (
                        host,
                        port.strip_prefix(':')
                            .or(port.is_empty().then_some(""))
                            .ok_or(InvalidDsn::Unreadable)?,
                    )
                }
                None => place.split_once(':').unwrap_or((place, "")),
            };
            hosts.push(decoded(host)?);
            ports.push(decoded(port)?);
        }
        self.put("host", hosts.join(","))?;
        if ports.iter().any(|port| !port.is_empty()) {
            self.put("port", ports.join(","))?;
        }
        self.put("dbname", decoded(database)?)?;
        self.read = 0;
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (key, value) = pair.split_once('=').ok_or(InvalidDsn::Unreadable)?;
            self.put(&decoded(key)?, decoded(value)?)?;
        }
        Ok(())
    }

    /// `key=value` pairs with white space between them; a value with white space stands in single quotes, and a backslash
    /// takes the next character as it is.
    fn read_pairs(&mut self, text: &str) -> Result<(), InvalidDsn> {
        let mut left = text.trim();
        while !left.is_empty() {
            let (key, after) = left.split_once('=').ok_or(InvalidDsn::Unreadable)?;
            let after = after.trim_start();
            let (value, rest) = pair_value(after).ok_or(InvalidDsn::Unreadable)?;
            self.put(key.trim(), value)?;
            left = rest.trim_start();
        }
        Ok(())
    }
}

/// A value and what stands after it; `None` if its quotes are not closed.
fn pair_value(text: &str) -> Option<(String, &str)> {
    let is_quoted = text.starts_with('\'');
    let mut value = String::new();
    let mut characters = text.char_indices().skip(usize::from(is_quoted));
    while let Some((index, character)) = characters.next() {
        match character {
            '\\' => value.push(characters.next()?.1),
            '\'' if is_quoted => return Some((value, text.get(index + 1..)?)),
            _ if character.is_whitespace() && !is_quoted => return Some((value, text.get(index..)?)),
            _ => value.push(character),
        }
    }
    (!is_quoted).then_some((value, ""))
}

fn decoded(text: &str) -> Result<String, InvalidDsn> {
    percent_decode_str(text).decode_utf8().map(Cow::into_owned).map_err(|_| InvalidDsn::Unreadable)
}

/// One of some words, or what must stand there.
fn word<T: Copy>(
    key: &'static str,
    value: &str,
    must: &'static str,
    words: &[(&str, T)],
) -> Result<T, InvalidDsn> {
    let found = words.iter().find(|(word, _)| *word == value);
    found.map(|(_, meaning)| *meaning).ok_or(InvalidDsn::Value { key, must })
}

fn whole(key: &'static str, value: &str) -> Result<u32, InvalidDsn> {
    value.trim().parse().map_err(|_| InvalidDsn::Value { key, must: "a whole number" })
}

/// Most servers that one string may name.
const SERVERS_MAX: usize = 100;

impl Dsn {
    /// Reads a connection string.
    ///
    /// `require`, `verify-ca` and `verify-full` all verify chain and host name. Without an `sslmode` a host of this machine
    /// is reached in plain text and every other one as with `require`.
    pub(super) fn read(dsn: &str) -> Result<Self, InvalidDsn> {
        let parameters = Parameters::of(dsn.trim())?;
        let mut config = Config::new();
        place(&parameters, &mut config)?;
        config.user(parameters.get("user").ok_or(InvalidDsn::Missing("user"))?);
        if let Some(password) = parameters.get("password") {
            config.password(password);
        }
        if let Some(database) = parameters.get("dbname") {
            config.dbname(database);
        }
        let own_name = parameters.get("application_name").or(parameters.get("fallback_application_name"));
        if let Some(name) = own_name {
            config.application_name(name);
        }
        config.ssl_mode(ssl_mode(&parameters, &config)?);
        let mut others = Vec::new();
        for (key, value) in parameters.given.iter().filter(|(given, _)| is_carried(given)) {
            set(&mut config, key, value)?;
            others.push((*key, value.clone()));
        }
        let roots = match parameters.get("sslrootcert") {
            None | Some("system") => Roots::Platform,
            Some(file) => Roots::File(file.into()),
        };
        Ok(Self { config, roots, others })
    }

    /// Whether a parameter stands there.
    pub(super) fn says(&self, key: &str) -> bool {
        self.others.iter().any(|(given, _)| *given == key)
    }

    /// What other programs call the way in which the server is verified.
    fn ssl_mode(&self) -> Option<&'static str> {
        match self.config.get_ssl_mode() {
            SslMode::Disable => None,
            SslMode::Prefer => Some("prefer"),
            _ => Some("verify-full"),
        }
    }

    /// The connection string of another login of the same database, with everything else that this one says. It is a
    /// secret.
    pub(super) fn of_login(&self, user: &str, password: &str) -> String {
        let encode = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
        let (hosts, addresses) = (self.config.get_hosts(), self.config.get_hostaddrs());
        let ports = self.config.get_ports();
        let servers = (0..hosts.len().max(addresses.len())).map(|number| {
            let host = hosts.get(number).map(host_text).or(addresses.get(number).map(IpAddr::to_string));
            let host = match host.unwrap_or_default() {
                socket if socket.starts_with('/') => encode(&socket),
                address if address.contains(':') => format!("[{address}]"),
                // Dots and dashes of names may stand as they are.
                name => name,
            };
            let port = ports.get(number).or(ports.first()).copied().unwrap_or(5432);
            format!("{host}:{port}")
        });
        let servers: Vec<String> = servers.collect();
        let database = self.config.get_dbname().or(self.config.get_user()).unwrap_or_default();
        let mut dsn = format!(
            "postgres://{}:{}@{}/{}",
            encode(user),
            encode(password),
            servers.join(","),
            encode(database)
        );
        let mut query: Vec<(&str, String)> = Vec::new();
        query.extend(self.ssl_mode().map(|mode| ("sslmode", mode.to_owned())));
        if let Roots::File(path) = &self.roots {
            query.push(("sslrootcert", path.display().to_string()));
        }
        if !hosts.is_empty() && !addresses.is_empty() {
            query.push(("hostaddr", joined(addresses)));
        }
        query.extend(self.others.iter().cloned());
        for (number, (key, value)) in query.iter().enumerate() {
            // Dashes and commas are no signs of a query.
            let value = encode(value).replace("%2D", "-").replace("%2C", ",").replace("%5F", "_");
            dsn.push_str(&format!("{}{key}={value}", if number == 0 { '?' } else { '&' }));
        }
        dsn
    }

    /// The same for programs of Postgres itself: variables that they read, the password among them. `roots` is what they
    /// call the roots of the platform.
    pub(super) fn libpq_environment(&self, roots: &str) -> Vec<(&'static str, String)> {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let mode = self.ssl_mode().unwrap_or("disable");
        let root = match &self.roots {
            Roots::Platform => roots.to_owned(),
            Roots::File(path) => path.display().to_string(),
        };
        let hosts: Vec<String> = self.config.get_hosts().iter().map(host_text).collect();
        let user = self.config.get_user();
        let mut variables = vec![
            ("PGHOST", hosts.join(",")),
            ("PGHOSTADDR", joined(self.config.get_hostaddrs())),
            ("PGPORT", joined(self.config.get_ports())),
            ("PGUSER", user.unwrap_or_default().to_owned()),
            ("PGDATABASE", self.config.get_dbname().or(user).unwrap_or_default().to_owned()),
            ("PGSSLMODE", mode.to_owned()),
            ("PGSSLROOTCERT", if mode == "verify-full" { root } else { String::new() }),
            ("PGPASSWORD", self.config.get_password().map(text).unwrap_or_default()),
        ];
        // The others, as far as libpq reads a variable for them.
        for (key, variable) in [
            ("target_session_attrs", "PGTARGETSESSIONATTRS"),
            ("load_balance_hosts", "PGLOADBALANCEHOSTS"),
            ("channel_binding", "PGCHANNELBINDING"),
            ("sslnegotiation", "PGSSLNEGOTIATION"),
            ("options", "PGOPTIONS"),
            ("connect_timeout", "PGCONNECT_TIMEOUT"),
        ] {
            let given = self.others.iter().find(|(other, _)| *other == key);
            variables.extend(given.map(|(_, value)| (variable, value.clone())));
        }
        variables.retain(|(_, value)| !value.is_empty());
        variables
    }
}

fn is_carried(key: &str) -> bool {
    KEYS.iter().any(|(known, fate)| *known == key && matches!(fate, Carried))
}

fn joined<T: ToString>(parts: &[T]) -> String {
    parts.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
}

/// Hosts, addresses and ports: lists of one length, of which that of the ports may have one for all.
fn place(parameters: &Parameters, config: &mut Config) -> Result<(), InvalidDsn> {
    let list = |key| parameters.get(key).map(|list| list.split(',').map(str::trim).collect::<Vec<_>>());
    let (hosts, addresses) = (list("host").unwrap_or_default(), list("hostaddr").unwrap_or_default());
    let servers = hosts.len().max(addresses.len());
    if servers == 0 || hosts.iter().chain(&addresses).any(|host| host.is_empty()) {
        return Err(InvalidDsn::Missing("host"));
    }
    if servers > SERVERS_MAX {
        return Err(InvalidDsn::Value { key: "host", must: "at most 100 hosts" });
    }
    if !hosts.is_empty() && !addresses.is_empty() && hosts.len() != addresses.len() {
        return Err(InvalidDsn::Lists { key: "hostaddr", hosts: hosts.len(), others: addresses.len() });
    }
    for host in hosts {
        config.host(host);
    }
    for address in addresses {
        let address = address.parse();
        config.hostaddr(address.map_err(|_| InvalidDsn::Value { key: "hostaddr", must: "an IP address" })?);
    }
    let ports = list("port").unwrap_or_else(|| vec!["5432"]);
    if ports.len() != 1 && ports.len() != servers {
        return Err(InvalidDsn::Lists { key: "port", hosts: servers, others: ports.len() });
    }
    for port in ports {
        let port = if port.is_empty() { "5432" } else { port };
        let lawful = port.parse().ok().filter(|port| *port != 0);
        config.port(lawful.ok_or(InvalidDsn::Value { key: "port", must: "a number from 1 to 65535" })?);
    }
    Ok(())
}

fn ssl_mode(parameters: &Parameters, config: &Config) -> Result<SslMode, InvalidDsn> {
    let local = config.get_hosts().iter().all(is_local)
        && config.get_hostaddrs().iter().all(std::net::IpAddr::is_loopback);
    let of_ssl = match parameters.get("ssl") {
        None => None,
        Some("true") => Some("require"),
        Some(_) => return Err(InvalidDsn::Value { key: "ssl", must: "true; sslmode says the rest" }),
    };
    match parameters.get("sslmode").or(of_ssl) {
        None if local => Ok(SslMode::Disable),
        Some("disable") if local => Ok(SslMode::Disable),
        Some("disable") => Err(InvalidDsn::Plain),
        Some("prefer") => Ok(SslMode::Prefer),
        None | Some("require" | "verify-ca" | "verify-full") => Ok(SslMode::Require),
        Some(_) => Err(InvalidDsn::Value {
            key: "sslmode",
            must: "one of disable, prefer, require, verify-ca, verify-full",
        }),
    }
}

/// Tells the driver a parameter that goes along to other logins.
fn set(config: &mut Config, key: &'static str, value: &str) -> Result<(), InvalidDsn> {
    let seconds = || Ok(Duration::from_secs(u64::from(whole(key, value)?)));
    // As in libpq, 0 leaves it to the system, or to us.
    let is_default = value.trim() == "0";
    match key {
        "target_session_attrs" => {
            if ["read-only", "standby", "prefer-standby"].contains(&value) {
                let why = "this program writes, and a standby takes no writes; write read-write";
                return Err(InvalidDsn::Refused { key, why });
            }
            // A primary that takes no writes would be of no use either.
            let words = [
                ("any", TargetSessionAttrs::Any),
                ("read-write", TargetSessionAttrs::ReadWrite),
                ("primary", TargetSessionAttrs::ReadWrite),
            ];
            config.target_session_attrs(word(key, value, "any, read-write or primary", &words)?);
        }
        "load_balance_hosts" => {
            let words = [("disable", LoadBalanceHosts::Disable), ("random", LoadBalanceHosts::Random)];
            config.load_balance_hosts(word(key, value, "disable or random", &words)?);
        }
        "channel_binding" => {
            let words = [
                ("disable", ChannelBinding::Disable),
                ("prefer", ChannelBinding::Prefer),
                ("require", ChannelBinding::Require),
            ];
            config.channel_binding(word(key, value, "disable, prefer or require", &words)?);
        }
        "sslnegotiation" => {
            let words = [("postgres", SslNegotiation::Postgres), ("direct", SslNegotiation::Direct)];
            config.ssl_negotiation(word(key, value, "postgres or direct", &words)?);
        }
        "options" => {
            config.options(value);
        }
        "keepalives" => {
            config.keepalives(whole(key, value)? != 0);
        }
        _ if is_default => {}
        "connect_timeout" => {
            config.connect_timeout(seconds()?);
        }
        "tcp_user_timeout" => {
            config.tcp_user_timeout(Duration::from_millis(u64::from(whole(key, value)?)));
        }
        "keepalives_idle" => {
            config.keepalives_idle(seconds()?);
        }
        "keepalives_interval" => {
            config.keepalives_interval(seconds()?);
        }
        "keepalives_count" => {
            config.keepalives_retries(whole(key, value)?);
        }
        _ => {}
    }
    Ok(())
}

fn host_text(host: &Host) -> String {
    match host {
        Host::Tcp(name) => name.clone(),
        #[cfg(unix)]
        Host::Unix(path) => path.display().to_string(),
    }
}

fn is_local(host: &Host) -> bool {
    match host {
        Host::Tcp(name) => {
            name == "localhost" || name.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
        }
        #[cfg(unix)]
        Host::Unix(_) => true,
    }
}
