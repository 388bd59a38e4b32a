//! The Bicep compiler: where it is, and what it says of the files. It builds and lints both templates, holds every file
//! against the formatter, and predicts what each parameter file would deploy. That prediction is the committed snapshot
//! `infra/<name>.snapshot.json`, so a change of a file shows what it changes in Azure.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};

use serde_json::Value;

use crate::azure::Failure;
use crate::files;

/// What is deployed, and what prepares a subscription for GitHub.
const TEMPLATES: [&str; 2] = ["infra/main.bicep", "infra/bootstrap/github-oidc.bicep"];

/// Tenant and subscription of the snapshots: names of resources are digests of them.
const PLACE: [&str; 6] = [
    "--tenant-id",
    "11111111-1111-4111-8111-111111111111",
    "--subscription-id",
    "22222222-2222-4222-8222-222222222222",
    "--location",
    "westeurope",
];

/// Calls of the compiler at a time. Each takes a core for some seconds and some hundred megabytes.
const AT_ONCE: usize = 2;

/// The compiler of this machine.
#[derive(Debug, Clone)]
pub struct Compiler {
    program: PathBuf,
}

/// What the compiler found.
#[derive(Debug)]
pub struct Report {
    /// Findings, in the order of the files; empty if all is well.
    pub findings: Vec<String>,
    /// `main.bicep` as Azure gets it; `None` if it does not compile.
    pub template: Option<Value>,
}

impl Compiler {
    /// The one that `BICEP` names, else `bicep` of the path, else the one that `az bicep install` put away. `None` if
    /// there is none of them; a `BICEP` that does not run is an error.
    pub fn find() -> Result<Option<Self>, Failure> {
        if let Some(named) = std::env::var_os("BICEP").filter(|name| !name.is_empty()) {
            let named = PathBuf::from(named);
            // A name is looked up on the path; a relative path is meant from here, wherever the compiler then runs.
            let is_path = named.parent().is_some_and(|folder| !folder.as_os_str().is_empty());
            let program = if is_path { std::path::absolute(&named).unwrap_or(named) } else { named };
            let compiler = Self { program };
            let answer = compiler.call(Path::new("."), &[], &["--version"]);
            return match answer {
                Ok(Answer { well: true, .. }) => Ok(Some(compiler)),
                Ok(Answer { errors, .. }) => {
                    Err(Failure::new(format!("BICEP={}: {}", compiler.program.display(), errors.trim())))
                }
                Err(failure) => Err(Failure::new(format!("BICEP is not a compiler: {failure}"))),
            };
        }
        let home = || std::env::var_os("HOME").or_else(|| std::env::var_os("USERPROFILE")).map(PathBuf::from);
        let of_az = std::env::var_os("AZURE_CONFIG_DIR")
            .map(PathBuf::from)
            .or_else(|| Some(home()?.join(".azure")))
            .map(|folder| folder.join("bin").join(format!("bicep{}", std::env::consts::EXE_SUFFIX)));
        let candidates = [Some(PathBuf::from("bicep")), of_az].into_iter().flatten();
        let mut compilers = candidates.map(|program| Self { program });
        Ok(compilers.find(|one| {
            one.call(Path::new("."), &[], &["--version"])
                .is_ok_and(|answer| answer.well && answer.words.contains("Bicep CLI"))
        }))
    }

    /// Everything the compiler has to say of the files below `root`; changes none of them.
    pub fn check(&self, root: &Path) -> Result<Report, Failure> {
        let variables = files::variables(root)?;
        let parameters = files::parameter_files(root)?;
        let mut jobs: VecDeque<Job<'_>> = VecDeque::new();
        for template in TEMPLATES {
            jobs.push_back(Job::Build(template));
        }
        for path in &parameters {
            jobs.push_back(Job::Snapshot(path));
        }
        jobs.push_back(Job::Format);
        let amount = jobs.len();
        let (jobs, done) =
            (Mutex::new(jobs.into_iter().enumerate().collect::<VecDeque<_>>()), Mutex::new(Vec::new()));
        let work = || {
            loop {
                let next = lock(&jobs).pop_front();
                let Some((place, job)) = next else { break };
                let outcome = self.run(root, &variables, &job);
                lock(&done).push((place, outcome));
            }
        };
        std::thread::scope(|scope| {
            for _ in 0..AT_ONCE.min(amount) {
                scope.spawn(work);
            }
        });
        let mut done = std::mem::take(&mut *lock(&done));
        done.sort_by_key(|(place, _)| *place);
        let mut report = Report { findings: Vec::new(), template: None };
        for (_, outcome) in done {
            let part = outcome?;
            // A fault of a module is said again by everything that uses it.
            for finding in part.findings {
                if !report.findings.contains(&finding) {
                    report.findings.push(finding);
                }
            }
            report.template = report.template.or(part.template);
        }
        Ok(report)
    }

    /// Formats the files below `root` and writes the snapshots anew.
    pub fn write(&self, root: &Path) -> Result<(), Failure> {
        let variables = files::variables(root)?;
        for pattern in ["infra/**/*.bicep", "infra/*.bicepparam"] {
            self.call(root, &variables, &["format", "--pattern", pattern])?.or_refuse("bicep format")?;
        }
        for path in files::parameter_files(root)? {
            self.snapshot(root, &variables, &path, "overwrite")?.or_refuse("bicep snapshot")?;
            put_in_order(&root.join(files::snapshot_of(&path)))?;
        }
        Ok(())
    }

    fn run(&self, root: &Path, variables: &[String], job: &Job<'_>) -> Result<Report, Failure> {
        match job {
            Job::Build(path) => self.build(root, variables, path),
            Job::Snapshot(path) => {
                let answer = self.snapshot(root, variables, path, "validate")?;
                let mut findings = answer.diagnostics(root);
                if !answer.well && !findings.iter().any(|one| one.contains(") : Error ")) {
                    let difference = without_colours(answer.words.trim());
                    findings.push(format!(
                        "{}: is not what the files deploy; if the change is meant, `cargo infra check --write`: \
                         {difference} {}",
                        files::snapshot_of(path).display(),
                        answer.errors.trim()
                    ));
                }
                Ok(Report { findings, template: None })
            }
            Job::Format => self.format(root, variables),
        }
    }

    /// Compiles a template; the linter's findings come with it.
    fn build(&self, root: &Path, variables: &[String], path: &str) -> Result<Report, Failure> {
        let answer = self.call(root, variables, &["build", path, "--stdout"])?;
        let mut findings = answer.diagnostics(root);
        if !answer.well && findings.is_empty() {
            findings.push(format!("{path}: {}", answer.errors.trim()));
        }
        let template = if answer.well && path == TEMPLATES[0] {
            let fault = |error| Failure::new(format!("bicep build {path} is not JSON: {error}"));
            Some(serde_json::from_str(&answer.words).map_err(fault)?)
        } else {
            None
        };
        Ok(Report { findings, template })
    }

    /// Lets a copy be formatted and compares.
    fn format(&self, root: &Path, variables: &[String]) -> Result<Report, Failure> {
        let fault = |error: std::io::Error| Failure::new(format!("copy the files to format them: {error}"));
        let copy = tempfile::tempdir().map_err(fault)?;
        let sources = files::sources(root)?;
        for (path, text) in &sources {
            let to = copy.path().join(path);
            std::fs::create_dir_all(to.parent().unwrap_or(copy.path())).map_err(fault)?;
            std::fs::write(to, text).map_err(fault)?;
        }
        let mut findings = Vec::new();
        for pattern in ["**/*.bicep", "**/*.bicepparam"] {
            let answer = self.call(copy.path(), variables, &["format", "--pattern", pattern])?;
            if !answer.well {
                findings.push(format!("bicep format: {}", answer.errors.trim()));
            }
        }
        for (path, text) in &sources {
            if std::fs::read_to_string(copy.path().join(path)).map_err(fault)? != *text {
                findings.push(format!(
                    "{}: is not formatted; `cargo infra check --write` does it",
                    path.display()
                ));
            }
        }
        Ok(Report { findings, template: None })
    }

    /// Builds a parameter file, and predicts what it would deploy.
    fn snapshot(
        &self,
        root: &Path,
        variables: &[String],
        path: &Path,
        mode: &str,
    ) -> Result<Answer, Failure> {
        let name = path.file_stem().unwrap_or_default().to_string_lossy();
        let (path, deployment) = (path.display().to_string(), format!("backtests-{name}"));
        let mut arguments = vec!["snapshot", &path, "--mode", mode, "--deployment-name", &deployment];
        arguments.extend(PLACE);
        self.call(root, variables, &arguments)
    }

    /// Calls the compiler in `folder`, without the variables that parameter files read.
    fn call(&self, folder: &Path, without: &[String], arguments: &[&str]) -> Result<Answer, Failure> {
        let mut command = Command::new(&self.program);
        command.args(arguments).current_dir(folder);
        for name in without {
            command.env_remove(name);
        }
        let output = command
            .output()
            .map_err(|error| Failure::new(format!("start {}: {error}", self.program.display())))?;
        Ok(Answer {
            well: output.status.success(),
            words: String::from_utf8_lossy(&output.stdout).into_owned(),
            errors: String::from_utf8_lossy(&output.stderr).into_owned(),
        })
    }
}

/// One call of the compiler.
#[derive(Debug)]
enum Job<'a> {
    /// Compile and lint a template.
    Build(&'a str),
    /// Build a parameter file and hold its snapshot against what is committed.
    Snapshot(&'a Path),
    /// Format all files.
    Format,
}

/// What a call came to.
#[derive(Debug)]
struct Answer {
    well: bool,
    words: String,
    errors: String,
}

impl Answer {
    /// The lines that find fault with a file, of any level, with paths as seen from `root`.
    fn diagnostics(&self, root: &Path) -> Vec<String> {
        let root = root.canonicalize().unwrap_or_else(|_| root.to_owned());
        let prefix = format!("{}{}", root.display(), std::path::MAIN_SEPARATOR);
        let is_one = |line: &&str| {
            [") : Error ", ") : Warning ", ") : Info "].iter().any(|level| line.contains(level))
        };
        let lines = self.errors.lines().chain(self.words.lines());
        lines.filter(is_one).map(|line| line.replacen(&prefix, "", 1)).collect()
    }

    fn or_refuse(self, what: &str) -> Result<(), Failure> {
        if self.well { Ok(()) } else { Err(Failure::new(format!("{what}: {}", self.errors.trim()))) }
    }
}

/// Sorts the outputs of a snapshot by name: the compiler writes them in another order every time.
fn put_in_order(path: &Path) -> Result<(), Failure> {
    let fault = |error: &dyn std::fmt::Display| Failure::new(format!("{}: {error}", path.display()));
    let text = std::fs::read_to_string(path).map_err(|error| fault(&error))?;
    let mut document: Value = serde_json::from_str(&text).map_err(|error| fault(&error))?;
    if let Some(outputs) = document["outputs"].as_object_mut() {
        outputs.sort_keys();
    }
    let text = serde_json::to_string_pretty(&document).map_err(|error| fault(&error))?;
    std::fs::write(path, text + "\n").map_err(|error| fault(&error))
}

/// A thread that panicked has its panic passed on by the scope; what it left is whole.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A text without the sequences that colour it: the compiler writes them into files and pipes too.
fn without_colours(text: &str) -> String {
    let mut plain = String::new();
    let mut parts = text.split('\u{1b}');
    plain.extend(parts.next());
    for part in parts {
        plain.push_str(part.split_once('m').map_or(part, |(_, rest)| rest));
    }
    plain
}
