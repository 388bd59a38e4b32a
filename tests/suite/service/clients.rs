//! Clients that generators make of the document: one in TypeScript that compiles, one in Python that submits a run.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::service::{Home, project};

/// A program that `make clients` installs below `target/`.
fn installed(program: &str) -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_BIN_EXE_backtests")).ancestors().nth(2)?.join("clients");
    let path = folder.join(program);
    if path.exists() {
        return Some(path);
    }
    assert!(std::env::var("CI").as_deref() != Ok("true"), "CI needs {}: `make clients`", path.display());
    let _ = writeln!(std::io::stderr(), "no {program} in target/clients: its generated client is not tried");
    None
}

fn succeeds(command: &mut Command) {
    let output = command.output().unwrap();
    assert!(
        output.status.success(),
        "{command:?}\n{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}

#[test]
fn a_typescript_client_compiles_against_the_document() {
    let Some(modules) = installed("node_modules") else { return };
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    std::os::unix::fs::symlink(&modules, at("node_modules")).unwrap();
    std::fs::copy(project("tests/support/clients/client.ts"), at("client.ts")).unwrap();
    let document = project("docs/openapi.json");
    let generator = modules.join("openapi-typescript/bin/cli.js");
    let mut generate = Command::new("node");
    generate.arg(generator).arg(document).arg("--output").arg(at("api.d.ts"));
    // A field with a default may be left out of a request; the generator takes it for one of an answer.
    succeeds(generate.args(["--default-non-nullable", "false"]));
    let compile = |name: &str| {
        let mut compiler = Command::new("node");
        compiler.arg(modules.join("typescript/bin/tsc")).args(["--noEmit", "--strict", "--target", "es2022"]);
        compiler.args(["--module", "esnext", "--moduleResolution", "bundler", "--lib", "es2022,dom"]);
        compiler.arg(name).current_dir(folder.path());
        compiler
    };
    succeeds(&mut compile("client.ts"));
    // The types are not so loose that anything would pass.
    let text = std::fs::read_to_string(at("client.ts")).unwrap();
    for (right, wrong) in [("start_date:", "begin_date:"), ("body: { config }", "body: { confg: config }")] {
        assert!(text.contains(right));
        std::fs::write(at("wrong.ts"), text.replace(right, wrong)).unwrap();
        assert!(!compile("wrong.ts").output().unwrap().status.success(), "{wrong} compiles");
    }
}

#[tokio::test]
async fn a_python_client_submits_and_reads_a_run() {
    let Some(generator) = installed("python/bin/openapi-python-client") else { return };
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let mut generate = Command::new(&generator);
    generate.args(["generate", "--meta", "none", "--path"]).arg(project("docs/openapi.json"));
    let said = generate.arg("--output-path").arg(at("backtest_functions_client")).output().unwrap();
    let said = String::from_utf8_lossy(&said.stdout).into_owned() + &String::from_utf8_lossy(&said.stderr);
    // It knows neither YAML bodies nor archives; a client of it submits objects.
    let warnings = said.matches("WARNING").count();
    let known = ["Unsupported content type application/yaml", "Unsupported content_type application/zip"];
    let known: usize = known.iter().map(|warning| said.matches(warning).count()).sum();
    assert!(warnings == known && !said.contains("Unable to") && !said.contains("rror"), "{said}");
    std::fs::copy(project("tests/support/clients/client.py"), at("client.py")).unwrap();

    let home = Home::with_prices();
    let handler = home.handler(&[]).await;
    let mut python = Command::new(generator.with_file_name("python"));
    python.arg("client.py").arg(&handler.url).current_dir(folder.path());
    succeeds(&mut python);
}
