//! Migrations by way of `psql`, of this machine or of a container: for places where only that may speak to the database.
//! SQL goes in by standard input, the password by the environment; neither is ever an argument.

use std::io;
use std::process::Stdio;

use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

use super::migrations::{LOCK, MIGRATIONS, MigrateError, Migration, Standing};
use super::pg::Database;

/// How `psql` is started.
#[derive(Debug, Clone)]
pub enum Psql {
    /// The program on the path.
    Local,
    /// The one of a container image, on the network of this machine.
    Docker {
        /// Image of a container that has the program.
        image: String,
    },
}

/// What `psql` did not do.
#[expect(missing_docs, reason = "the text of an error says what its fields are")]
#[derive(Debug, thiserror::Error)]
pub enum PsqlError {
    /// It could not be started or spoken to.
    #[error("run {program}")]
    Start {
        program: &'static str,
        #[source]
        source: io::Error,
    },
    /// It failed; this is the end of what it said.
    #[error("{program} failed: {said}")]
    Failed {
        program: &'static str,
        /// Its last words.
        said: String,
    },
    /// The ledger is not as it should be.
    #[error(transparent)]
    Ledger(#[from] MigrateError),
}

impl Psql {
    /// Where the database stands with each file.
    pub async fn status(&self, database: &Database) -> Result<Vec<Standing>, PsqlError> {
        let exists = "SELECT count(*) FROM pg_catalog.pg_tables
                      WHERE schemaname = 'core' AND tablename = 'schema_migrations';";
        let lines = "SELECT version, sha256, extract(epoch FROM applied_at) FROM core.schema_migrations;";
        let ledger = match self.run(database, exists).await?.trim() {
            "0" => String::new(),
            _ => self.run(database, lines).await?,
        };
        let standing = |migration: &Migration| {
            let line = ledger.lines().map(|line| line.split('|').collect::<Vec<_>>()).find(|line| {
                line.len() == 3 && line[0].parse::<i32>().is_ok_and(|version| version == migration.version)
            });
            Standing {
                migration: *migration,
                applied_at: line.as_ref().and_then(|line| {
                    chrono::DateTime::from_timestamp_millis((line[2].parse::<f64>().ok()? * 1e3) as i64)
                }),
                edited: line.is_some_and(|line| line[1] != migration.sha256()),
            }
        };
        Ok(MIGRATIONS.iter().map(standing).collect())
    }

    /// As [`status`](Self::status), but an edited file is an error.
    pub async fn verify(&self, database: &Database) -> Result<Vec<Standing>, PsqlError> {
        let standings = self.status(database).await?;
        match standings.iter().find(|standing| standing.edited) {
            Some(edited) => Err(MigrateError::Edited { name: edited.migration.name }.into()),
            None => Ok(standings),
        }
    }

    /// Applies what is missing, each file in a transaction of its own, and answers what that was.
    pub async fn up(&self, database: &Database) -> Result<Vec<Migration>, PsqlError> {
        let mut applied = Vec::new();
        for Standing { migration, applied_at, .. } in self.verify(database).await? {
            if applied_at.is_some() {
                continue;
            }
            // A runner that waited here for another one applies the file again, which is harmless.
            let script = format!(
                "{LOCK};\n{sql}\nINSERT INTO core.schema_migrations (version, name, sha256)
                 VALUES ({version}, '{name}', '{sha256}') ON CONFLICT (version) DO NOTHING;",
                sql = migration.sql,
                version = migration.version,
                name = migration.name,
                sha256 = migration.sha256(),
            );
            self.run(database, &script).await?;
            applied.push(migration);
        }
        Ok(applied)
    }

    /// Runs a script in one transaction and answers what it printed: a line a row, columns parted by `|`.
    async fn run(&self, database: &Database, script: &str) -> Result<String, PsqlError> {
        let (program, mut command) = self.command(database);
        let start = |source| PsqlError::Start { program, source };
        let mut child = command
            .args(["--no-psqlrc", "--quiet", "--no-align", "--tuples-only", "--single-transaction"])
            .args(["--set=ON_ERROR_STOP=1", "--file=-"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(start)?;
        if let Some(mut input) = child.stdin.take() {
            // One that ends early says why on its standard error.
            let _ = input.write_all(script.as_bytes()).await;
        }
        let output = child.wait_with_output().await.map_err(start)?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            let said = said.lines().rev().take(5).collect::<Vec<_>>().into_iter().rev().collect::<Vec<_>>();
            return Err(PsqlError::Failed { program, said: said.join("\n") });
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    fn command(&self, database: &Database) -> (&'static str, Command) {
        match self {
            Self::Local => {
                let mut command = Command::new("psql");
                // Before version 16 `psql` does not know the roots of the platform by name.
                let bundle = "/etc/ssl/certs/ca-certificates.crt";
                let roots = if std::path::Path::new(bundle).exists() { bundle } else { "system" };
                command.envs(database.libpq_environment(roots));
                ("psql", command)
            }
            Self::Docker { image } => {
                let environment = database.libpq_environment("system");
                let mut command = Command::new("docker");
                command.args(["run", "--rm", "--interactive", "--network=host"]);
                // A name without a value: docker takes it from its own environment.
                command.args(environment.iter().map(|(name, _)| format!("--env={name}")));
                command.args([image.as_str(), "psql"]).envs(environment);
                ("docker", command)
            }
        }
    }
}
