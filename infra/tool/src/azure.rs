//! Child processes: `az` for Azure, `backtests` and `psql` for the database. Arguments may be seen by everybody on the machine, so
//! secrets travel in the environment or in files that only this user can read.

use std::ffi::OsStr;
use std::fmt;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

/// Version of the Postgres interface, as in the Bicep files.
pub const POSTGRES_API: &str = "2025-08-01";

/// Version of the function app interface, as in the Bicep files.
pub const WEB_API: &str = "2025-03-01";

/// A value that must not be seen.
#[derive(Clone)]
pub struct Secret(String);

impl Secret {
    /// Keeps a value from being seen.
    pub fn new(value: impl Into<String>) -> Self {
        Self(value.into())
    }

    /// A password of 40 letters and digits from the operating system's source of randomness.
    pub fn generate() -> Result<Self, Failure> {
        const LETTERS: &[u8; 62] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
        loop {
            let mut password = String::new();
            while password.len() < 40 {
                let mut byte = [0];
                getrandom::fill(&mut byte)
                    .map_err(|error| Failure::new(format!("no randomness: {error}")))?;
                // 248 is the last multiple of 62 below 256: above it the first letters would be likelier.
                if byte[0] < 248 {
                    password.push(char::from(LETTERS[usize::from(byte[0] % 62)]));
                }
            }
            let has = |kind: fn(&u8) -> bool| password.as_bytes().iter().any(kind);
            if has(u8::is_ascii_uppercase) && has(u8::is_ascii_lowercase) && has(u8::is_ascii_digit) {
                return Ok(Self(password));
            }
        }
    }

    /// The value, for the one who needs it.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(secret)")
    }
}

/// A step that failed, in words for the person who asked for it.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Failure(String);

impl Failure {
    /// With these words.
    pub fn new(message: impl Into<String>) -> Self {
        Self(message.into())
    }
}

/// A child process that ended badly.
#[derive(Debug)]
pub struct Refusal {
    what: String,
    /// What it said.
    pub words: String,
}

impl Refusal {
    /// Whether the words contain one of these, in any case.
    pub fn says(&self, any: &[&str]) -> bool {
        let words = self.words.to_lowercase();
        any.iter().any(|one| words.contains(&one.to_lowercase()))
    }
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        Self(format!("{} failed: {}", refusal.what, refusal.words.trim()))
    }
}

/// How children are started.
#[derive(Debug, Clone)]
pub struct Tools {
    /// The Azure CLI.
    pub az: PathBuf,
    /// The service's program.
    pub backtests: PathBuf,
    /// The Postgres client.
    pub psql: PathBuf,
    /// The subscription, if not the one that `az` is set to.
    pub subscription: Option<String>,
}

impl Tools {
    fn run(
        &self,
        program: &OsStr,
        arguments: &[&str],
        variables: &[(&str, &str)],
        input: &str,
    ) -> Result<String, Refusal> {
        let short: Vec<&str> = arguments.iter().copied().take_while(|one| !one.starts_with('-')).collect();
        let what = format!("{} {}", PathBuf::from(program).display(), short.join(" "));
        let refuse = |words: String| Refusal { what: what.clone(), words };
        let mut command = Command::new(program);
        // An empty variable is none; a parameter file would take it for a value.
        for (name, _) in std::env::vars_os().filter(|(_, value)| value.is_empty()) {
            command.env_remove(name);
        }
        for (name, value) in variables {
            if value.is_empty() {
                command.env_remove(name)
            } else {
                command.env(name, value)
            };
        }
        let mut child = command
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| refuse(error.to_string()))?;
        if let Some(mut stdin) = child.stdin.take() {
            // One that ends early says why on its standard error.
            let _ = stdin.write_all(input.as_bytes());
        }
        let output = child.wait_with_output().map_err(|error| refuse(error.to_string()))?;
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
        }
        let mut words = String::from_utf8_lossy(&output.stderr).into_owned();
        if words.trim().is_empty() {
            words = String::from_utf8_lossy(&output.stdout).into_owned();
        }
        // Whatever the child repeats of what it was given in secret goes no further.
        for (name, value) in variables {
            if is_secret(name) && value.len() > 3 {
                words = words.replace(value, "(secret)");
            }
        }
        Err(refuse(words))
    }

    /// Calls `az`; its answer is JSON, or nothing.
    pub fn az(&self, arguments: &[&str], variables: &[(&str, &str)]) -> Result<Value, Refusal> {
        let mut all = arguments.to_vec();
        all.extend(["--only-show-errors", "--output", "json"]);
        if let Some(subscription) = &self.subscription
            && arguments.first() != Some(&"rest")
        {
            all.extend(["--subscription", subscription]);
        }
        let text = self.run(self.az.as_os_str(), &all, variables, "")?;
        if text.trim().is_empty() {
            return Ok(Value::Null);
        }
        serde_json::from_str(&text).map_err(|error| Refusal {
            what: format!("az {}", arguments.iter().take(2).copied().collect::<Vec<_>>().join(" ")),
            words: format!("its answer is not JSON: {error}"),
        })
    }

    /// Calls the management interface of Azure through `az rest`. A body holds no secrets: it is an argument.
    pub fn rest(
        &self,
        method: &str,
        path: &str,
        version: &str,
        body: Option<&Value>,
    ) -> Result<Value, Refusal> {
        let url = format!("{path}?api-version={version}");
        let body = body.map(Value::to_string);
        let mut arguments = vec!["rest", "--method", method, "--url", &url];
        if let Some(body) = &body {
            arguments.extend(["--body", body]);
        }
        self.az(&arguments, &[])
    }

    /// Deletes a resource and waits until it is gone: a server refuses two changes at once.
    pub fn delete(&self, path: &str, version: &str) -> Result<(), Refusal> {
        self.az(&["resource", "delete", "--ids", path, "--api-version", version], &[]).map(|_| ())
    }

    /// Calls the service's program.
    pub fn backtests(&self, arguments: &[&str], variables: &[(&str, &str)]) -> Result<String, Refusal> {
        self.run(self.backtests.as_os_str(), arguments, variables, "")
    }

    /// Lets `psql` print what a query finds, as a person or identity that `az` is signed in as. It can change nothing.
    pub fn psql(
        &self,
        server: &Server,
        login: &str,
        password: &Secret,
        sql: &str,
    ) -> Result<String, Refusal> {
        // Before version 16 `psql` does not know the roots of the platform by name.
        let bundle = "/etc/ssl/certs/ca-certificates.crt";
        let roots = if Path::new(bundle).exists() { bundle } else { "system" };
        let roots = std::env::var("PGSSLROOTCERT").unwrap_or_else(|_| roots.to_owned());
        let variables = [
            ("PGHOST", server.host.as_str()),
            ("PGDATABASE", &server.database),
            ("PGUSER", login),
            ("PGPASSWORD", password.reveal()),
            ("PGSSLMODE", "verify-full"),
            ("PGSSLROOTCERT", &roots),
            ("PGCONNECT_TIMEOUT", "30"),
            ("PGOPTIONS", "-c default_transaction_read_only=on -c statement_timeout=60s"),
            // These would win over the host above, and send the password elsewhere.
            ("PGSERVICE", ""),
            ("PGHOSTADDR", ""),
        ];
        let arguments = ["--no-psqlrc", "--quiet", "--pset=footer=off", "--set=ON_ERROR_STOP=1", "--file=-"];
        self.run(self.psql.as_os_str(), &arguments, &variables, sql)
    }

    /// The subscription's id.
    pub fn subscription(&self) -> Result<String, Failure> {
        if let Some(subscription) = &self.subscription {
            return Ok(subscription.clone());
        }
        let account = self.az(&["account", "show"], &[])?;
        let id =
            account["id"].as_str().ok_or_else(|| Failure::new("az account show names no subscription"))?;
        Ok(id.to_owned())
    }

    /// What the database takes for the password of the person or identity that `az` is signed in as.
    pub fn database_token(&self) -> Result<Secret, Failure> {
        let token = self.az(&["account", "get-access-token", "--resource-type", "oss-rdbms"], &[])?;
        let token =
            token["accessToken"].as_str().ok_or_else(|| Failure::new("az gives no token for Postgres"))?;
        mask(token);
        Ok(Secret::new(token))
    }
}

fn is_secret(name: &str) -> bool {
    ["PASSWORD", "DSN", "KEY", "TOKEN"].iter().any(|word| name.contains(word))
}

/// Asks a GitHub runner to black out a value in its log.
pub fn mask(value: &str) {
    if std::env::var_os("GITHUB_ACTIONS").is_some() {
        say(format_args!("::add-mask::{value}"));
    }
}

/// A line for the person who asked.
#[expect(clippy::print_stdout, reason = "it is a command")]
pub fn say(line: impl fmt::Display) {
    println!("{line}");
}

/// The database.
#[derive(Debug, Clone)]
pub struct Server {
    /// Its address.
    pub host: String,
    /// The database's name.
    pub database: String,
}

impl Server {
    /// A connection string for a login.
    pub fn dsn(&self, login: &str, password: &Secret) -> Secret {
        let escape = |text: &str| -> String {
            text.bytes()
                .map(|byte| match byte {
                    b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' => {
                        char::from(byte).to_string()
                    }
                    other => format!("%{other:02X}"),
                })
                .collect()
        };
        let (login, password) = (escape(login), escape(password.reveal()));
        Secret(format!(
            "postgres://{login}:{password}@{}:5432/{}?sslmode=verify-full",
            self.host, self.database
        ))
    }
}

/// A file that only this user can read, gone when it is dropped.
pub fn private_file(content: &str) -> Result<tempfile::NamedTempFile, Failure> {
    let fault = |error: std::io::Error| Failure::new(format!("write a private file: {error}"));
    // Made with mode 0600.
    let mut file = tempfile::NamedTempFile::new().map_err(fault)?;
    file.write_all(content.as_bytes()).map_err(fault)?;
    file.flush().map_err(fault)?;
    Ok(file)
}
