//! The release: what is in it, that it is the same every time, and that it works.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use infra_tool::package::{EXECUTABLE, Needs, Packing, needs, pack, unpack};

use super::project;

/// As it is deployed.
const FOR_AZURE: Packing = Packing { any_glibc: false, compress: true };

/// As this machine can run it, without waiting for it to become small.
const FOR_HERE: Packing = Packing { any_glibc: true, compress: false };

/// The service's program of the same build, made if it is not there.
fn program() -> PathBuf {
    let tool = Path::new(env!("CARGO_BIN_EXE_infra-tool"));
    let program = tool.with_file_name(EXECUTABLE);
    if !program.is_file() {
        let status = Command::new(env!("CARGO"))
            .args(["build", "--locked", "--quiet", "--bin", EXECUTABLE])
            .current_dir(project())
            .status()
            .unwrap();
        assert!(status.success());
    }
    program
}

/// The smallest file that counts as a program: a header for x86-64 with one program header.
fn smallest() -> Vec<u8> {
    let mut elf = vec![0_u8; 64 + 56];
    elf[..5].copy_from_slice(b"\x7fELF\x02");
    elf[18] = 62;
    elf[32] = 64;
    elf[54] = 56;
    elf[56] = 1;
    elf
}

#[test]
fn a_release_has_everything_in_its_place() {
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join("program");
    std::fs::write(&program, smallest()).unwrap();
    let (one, two) = (folder.path().join("one.zip"), folder.path().join("deeper/two.zip"));
    let release = pack(&project(), &program, &one, FOR_AZURE).unwrap();
    pack(&project(), &program, &two, FOR_AZURE).unwrap();
    assert_eq!(std::fs::read(&one).unwrap(), std::fs::read(&two).unwrap(), "two runs give two zips");

    let entries = unpack(&one).unwrap();
    let mut expected = vec![EXECUTABLE.to_owned(), "host.json".to_owned()];
    for function in std::fs::read_dir(project().join("functions")).unwrap() {
        expected.push(format!("{}/function.json", function.unwrap().file_name().into_string().unwrap()));
    }
    expected.sort();
    assert_eq!(release.entries, expected);
    for (name, mode, bytes) in &entries {
        let executable = name == EXECUTABLE;
        assert_eq!(mode & 0o777, if executable { 0o755 } else { 0o644 }, "{name}");
        let source = match name.as_str() {
            EXECUTABLE => program.clone(),
            "host.json" => project().join(name),
            function => project().join("functions").join(function),
        };
        assert!(*bytes == std::fs::read(source).unwrap(), "{name} differs from its source");
    }
    // "Made by Unix" is in the upper byte of the version that wrote an entry; without it modes mean nothing.
    let bytes = std::fs::read(&one).unwrap();
    let headers: Vec<_> = bytes.windows(4).enumerate().filter(|(_, part)| part == b"PK\x01\x02").collect();
    assert!(headers.len() >= entries.len());
    for (at, _) in headers.iter().rev().take(entries.len()) {
        assert_eq!(bytes[at + 5], 3);
    }
}

#[test]
fn a_program_that_the_platform_cannot_run_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("release.zip");
    let script = folder.path().join("script");
    std::fs::write(&script, "#!/bin/sh\n").unwrap();
    let error = pack(&project(), &script, &out, FOR_HERE).unwrap_err().to_string();
    assert!(error.contains("is not a 64-bit ELF program"), "{error}");

    // The same with a loader and versions of glibc.
    let mut elf = smallest();
    assert_eq!(needs(&elf), Ok(Needs::Nothing));
    elf[64] = 3;
    elf.extend(b"\0GLIBC_2.9\0GLIBC_2.38\0GLIBC_2.4\0GLIBC_PRIVATE\0");
    assert_eq!(needs(&elf), Ok(Needs::Glibc(2, 38)));
    let young = folder.path().join("young");
    std::fs::write(&young, &elf).unwrap();
    let error = pack(&project(), &young, &out, FOR_AZURE).unwrap_err().to_string();
    assert!(error.contains("needs glibc 2.38"), "{error}");
    elf[18] = 183;
    assert!(needs(&elf).unwrap_err().contains("x86-64"));
}

#[test]
fn an_unpacked_release_completes_a_backtest() {
    let folder = tempfile::tempdir().unwrap();
    let zip = folder.path().join("release.zip");
    pack(&project(), &program(), &zip, FOR_HERE).unwrap();
    let app = folder.path().join("app");
    for (name, mode, bytes) in unpack(&zip).unwrap() {
        let path = app.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, bytes).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
    }
    let run = |arguments: &[&str]| {
        let mut command = Command::new(app.join(EXECUTABLE));
        command.args(arguments).current_dir(&app).stdin(Stdio::null()).env_remove("BACKTEST_LAKE");
        command
    };
    let prices = project().join("examples/data/wiki5_ohlcv_daily.parquet");
    let import = ["lake", "import", prices.to_str().unwrap(), "--lake", ".backtests/lake"];
    assert!(run(&import).output().unwrap().status.success());

    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let log = std::fs::File::create(folder.path().join("log")).unwrap();
    // The host, as packed: it starts the handler that host.json names.
    let mut host = run(&["dev", "--app-root", ".", "--port", &port.to_string()])
        .stdout(log.try_clone().unwrap())
        .stderr(log)
        .spawn()
        .unwrap();
    let url = format!("http://127.0.0.1:{port}");
    let config = project().join("examples/momentum.yaml");
    let submit = ["submit", config.to_str().unwrap(), "--watch", "--output", "json"];
    // Listening comes first; a connection that is refused means that it has not come yet.
    let mut said = String::new();
    for _ in 0..300 {
        if std::net::TcpStream::connect(("127.0.0.1", port)).is_ok() {
            let output = run(&submit).env("BACKTEST_URL", &url).output().unwrap();
            said = String::from_utf8_lossy(&output.stdout).into_owned()
                + &String::from_utf8_lossy(&output.stderr);
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    // Ctrl-C, so that the host takes its handler along.
    let stopped = Command::new("kill").args(["-INT", &host.id().to_string()]).status().unwrap();
    host.wait().unwrap();
    let log = std::fs::read_to_string(folder.path().join("log")).unwrap();
    assert!(stopped.success());
    assert!(
        said.contains("\"status\":\"completed\"") || said.contains("\"status\": \"completed\""),
        "{said}\n{log}"
    );
}
