//! What the Bicep compiler notices in changed copies of the files, and what a machine without one does.

use std::io::Write as _;
use std::path::Path;
use std::process::Command;

use infra_tool::bicep::Compiler;
use infra_tool::crosscheck;

use super::{copy, project};

/// The compiler of this machine; `None`, said in one line, without one.
fn compiler() -> Option<Compiler> {
    let found = Compiler::find().unwrap();
    if found.is_none() {
        // Past the capture of the test harness.
        let _ = writeln!(std::io::stderr(), "skipped: no Bicep compiler (BICEP, bicep, az bicep install)");
    }
    found
}

/// A copy of the files with some texts exchanged; each must be there.
fn changed(changes: &[(&str, &str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    copy(&project().join("infra"), &folder.path().join("infra"));
    for (file, old, new) in changes {
        let path = folder.path().join(file);
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.contains(old), "{file} no longer has {old}");
        std::fs::write(&path, text.replace(old, new)).unwrap();
    }
    folder
}

#[test]
fn a_fault_of_every_kind_is_noticed() {
    let Some(compiler) = compiler() else { return };
    let waits = "    dependsOn: [\n      database\n      firewall\n    ]\n";
    let folder = changed(&[
        // A finding of the linter.
        ("infra/modules/keyvault.bicep", "#disable-next-line use-recent-api-versions\n", ""),
        // A change of what is deployed.
        ("infra/main.bicep", "backupDays: 35", "backupDays: 14"),
        // Not as the formatter writes it.
        ("infra/modules/identity.bicep", "  location: location", "    location: location"),
        // Changes of a server that could meet.
        ("infra/modules/postgres.bicep", waits, ""),
        ("infra/modules/postgres.bicep", "@batchSize(1)\nresource firewall", "resource firewall"),
        // Parameter files that do not fit the template.
        ("infra/dev.bicepparam", "int(readEnvironmentVariable('POSTGRES_STORAGE_GB', '0'))", "'32'"),
        ("infra/ha.bicepparam", "param size = 'ha'", "param size = 'huge'"),
        ("infra/every-option.bicepparam", "param postgresStorageGB = 512", "param postgresStorageGB = 500"),
    ]);
    let report = compiler.check(folder.path()).unwrap();
    let mut found = report.findings;
    found.extend(report.template.iter().flat_map(crosscheck::series));
    for expected in [
        "infra/modules/keyvault.bicep(39,61) : Warning use-recent-api-versions",
        "infra/team.snapshot.json: is not what the files deploy",
        "infra/modules/identity.bicep: is not formatted",
        "postgres.bicep: configurations do not wait for `firewall`",
        "postgres.bicep: configurations do not wait for `Microsoft.DBforPostgreSQL/flexibleServers/databases`",
        "postgres.bicep: firewallRules are not made one by one",
        "infra/dev.bicepparam(20,",
        "infra/ha.bicepparam(8,",
        "'500' doesn't exist, available properties are '0, 32, 64, 128",
    ] {
        assert!(found.iter().any(|one| one.contains(expected)), "{expected}: {found:#?}");
    }
}

#[test]
fn without_a_compiler_the_snapshots_are_still_checked() {
    let empty = tempfile::tempdir().unwrap();
    let check = |root: &Path, bicep: Option<&str>| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_infra-tool"));
        command.args(["check", "--root"]).arg(root).env("PATH", empty.path()).env("HOME", empty.path());
        command.env_remove("BICEP").env_remove("AZURE_CONFIG_DIR");
        if let Some(bicep) = bicep {
            command.env("BICEP", bicep);
        }
        let output = command.output().unwrap();
        (
            output.status.success(),
            String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap(),
        )
    };
    let (well, said) = check(&project(), None);
    assert!(
        well && said.lines().next().unwrap().starts_with("skipped: there is no Bicep compiler"),
        "{said}"
    );
    let (well, said) = check(&project(), Some("no-such-compiler"));
    assert!(!well && said.contains("BICEP is not a compiler"), "{said}");
}
