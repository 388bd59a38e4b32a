//! A folder with stand-ins for `az`, `backtests` and `psql` that write down what they are given.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;
use tempfile::TempDir;

use super::project;

/// The stand-ins, and a project folder of its own for what the commands remember.
pub(crate) struct StandIn {
    folder: TempDir,
    answers: usize,
}

impl StandIn {
    /// With children that answer nothing.
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        for name in ["az", "backtests", "psql"] {
            let script = project().join("infra/tool/tests/support/child.sh");
            std::os::unix::fs::symlink(script, folder.path().join(name)).unwrap();
        }
        for file in ["answers", "calls", "variables", "files", "modes", "input"] {
            std::fs::write(folder.path().join(file), "").unwrap();
        }
        Self { folder, answers: 0 }
    }

    /// A signed-in person, a token, and an environment that can be deployed.
    pub(crate) fn for_provision(vault: &str) -> Self {
        let mut stand_in = Self::new();
        let outputs = [
            ("AZURE_RESOURCE_GROUP", "rg-backtests-dev"),
            ("BACKTEST_APP_NAME", "func-1"),
            ("BACKTEST_APP_URL", "https://func-1.example"),
            ("BACKTEST_IDENTITY_NAME", "id-backtests-dev"),
            ("BACKTEST_IDENTITY_OBJECT_ID", "7a0f"),
            ("BACKTEST_KEY_VAULT", vault),
            ("POSTGRES_ADMIN_LOGIN", "backtests_admin"),
            ("POSTGRES_DATABASE", "backtests"),
            ("POSTGRES_HOST", "psql-1.example"),
            ("POSTGRES_LOCATION", "westeurope"),
            ("POSTGRES_SERVER", "psql-1"),
        ];
        let outputs: serde_json::Map<String, Value> = outputs
            .into_iter()
            .map(|(name, value)| (name.to_owned(), serde_json::json!({"value": value})))
            .collect();
        stand_in.answer("account show", r#"{"id": "sub-1"}"#);
        stand_in.answer("signed-in-user", r#"{"id": "me-1", "userPrincipalName": "me@example"}"#);
        stand_in.answer("get-access-token", r#"{"accessToken": "T0ken/for+Postgres"}"#);
        stand_in.answer(
            "deployment sub create",
            &serde_json::json!({"properties": {"outputs": outputs}}).to_string(),
        );
        stand_in
    }

    fn add(&mut self, uses: u32, code: u8, part: &str, text: &str, first: bool) {
        self.answers += 1;
        let name = format!("answer-{}", self.answers);
        std::fs::write(self.path().join(&name), text).unwrap();
        let line = format!("{uses}\t{code}\t{name}\t{part}\n");
        let list = self.read("answers");
        let list = if first { line + &list } else { list + &line };
        std::fs::write(self.path().join("answers"), list).unwrap();
    }

    /// Answers calls that contain `part`.
    pub(crate) fn answer(&mut self, part: &str, text: &str) {
        self.add(99, 0, part, text, false);
    }

    /// Answers before all others.
    pub(crate) fn answer_first(&mut self, part: &str, text: &str) {
        self.add(99, 0, part, text, true);
    }

    /// Refuses calls that contain `part`, so often, before all other answers.
    pub(crate) fn refuse(&mut self, uses: u32, part: &str, words: &str) {
        self.add(uses, 1, part, words, true);
    }

    /// Refuses calls that contain `part`, so often, after all other answers.
    pub(crate) fn refuse_last(&mut self, uses: u32, part: &str, words: &str) {
        self.add(uses, 1, part, words, false);
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    fn read(&self, file: &str) -> String {
        std::fs::read_to_string(self.path().join(file)).unwrap()
    }

    /// Runs the tool.
    pub(crate) fn run(&self, arguments: &[&str], variables: &[(&str, &str)]) -> Ran {
        Ran { output: self.command(arguments, variables).output().unwrap() }
    }

    /// Runs the tool with its output in a file of this mode.
    pub(crate) fn run_into(
        &self,
        arguments: &[&str],
        variables: &[(&str, &str)],
        path: &Path,
        mode: u32,
    ) -> Ran {
        let file = std::fs::File::create(path).unwrap();
        file.set_permissions(std::os::unix::fs::PermissionsExt::from_mode(mode)).unwrap();
        let child = self.command(arguments, variables).stdout(file).stderr(Stdio::piped()).spawn().unwrap();
        Ran { output: child.wait_with_output().unwrap() }
    }

    fn command(&self, arguments: &[&str], variables: &[(&str, &str)]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_infra-tool"));
        command.args(arguments).arg("--root").arg(self.path()).env_clear();
        command.env("PATH", std::env::var_os("PATH").unwrap());
        command.env("INFRA_AZ", self.path().join("az")).env("INFRA_BACKTESTS", self.path().join("backtests"));
        command.env("INFRA_PSQL", self.path().join("psql"));
        command.env("STAND_IN", self.path()).envs(variables.iter().copied());
        command
    }

    /// Every call: the program and its arguments.
    pub(crate) fn calls(&self) -> Vec<Vec<String>> {
        self.read("calls").lines().map(|line| line.split('\t').map(str::to_owned).collect()).collect()
    }

    /// The calls that contain `part`, in one line each.
    pub(crate) fn calls_of(&self, part: &str) -> Vec<String> {
        self.calls().iter().map(|call| call.join(" ")).filter(|call| call.contains(part)).collect()
    }

    /// Lines `child<TAB>NAME=value` of what the children found in their environment.
    pub(crate) fn variables(&self) -> String {
        self.read("variables")
    }

    /// What `az` was told to read from files.
    pub(crate) fn files(&self) -> String {
        self.read("files")
    }

    /// What the children were given on their standard input.
    pub(crate) fn input(&self) -> String {
        self.read("input")
    }

    /// Modes of those files.
    pub(crate) fn modes(&self) -> String {
        self.read("modes")
    }

    /// Forgets the calls.
    pub(crate) fn forget(&self) {
        for file in ["calls", "variables", "files", "modes", "input"] {
            std::fs::write(self.path().join(file), "").unwrap();
        }
    }

    /// A variable as the last child saw it.
    pub(crate) fn variable(&self, child: &str, name: &str) -> Option<String> {
        let prefix = format!("{child}\t{name}=");
        self.variables().lines().rev().find_map(|line| line.strip_prefix(&prefix).map(str::to_owned))
    }

    /// What is remembered of the environment.
    pub(crate) fn remembered(&self) -> String {
        std::fs::read_to_string(self.path().join(".azure/dev/.env")).unwrap_or_default()
    }

    /// A file in the folder.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.path().join(name)
    }
}

/// How a command ended.
pub(crate) struct Ran {
    output: Output,
}

impl Ran {
    pub(crate) fn is_well(&self) -> bool {
        self.output.status.success()
    }

    pub(crate) fn well(self) -> String {
        let text = self.text();
        assert!(self.output.status.success(), "{text}");
        text
    }

    pub(crate) fn badly(self) -> String {
        assert!(!self.output.status.success(), "{}", self.text());
        self.text()
    }

    /// Everything that it printed.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.output.stdout).into_owned()
            + &String::from_utf8_lossy(&self.output.stderr)
    }
}
