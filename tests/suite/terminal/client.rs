//! The client commands against services that are elsewhere, closed, gone or hostile, and how a run is named to them.

use std::io::{BufRead, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Output, Stdio};
use std::sync::mpsc::{Receiver, channel};

use serde_json::{Value, json};

use crate::support::service::{Home, program, run, run_well};

/// A service that answers every request with what `answer` makes of its first line. Ends with the test program.
struct Pretender {
    url: String,
    /// The requests, heads only.
    seen: Receiver<String>,
}

impl Pretender {
    fn new(answer: impl Fn(&str) -> String + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (sender, seen) = channel();
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (head, length) = head_of(&stream);
                let mut body = vec![0; length];
                let _ = (&stream).read_exact(&mut body);
                let _ = (&stream).write_all(answer(head.lines().next().unwrap_or_default()).as_bytes());
                if sender.send(head).is_err() {
                    return;
                }
            }
        });
        Self { url, seen }
    }
}

/// The head of a request and the length of its body.
fn head_of(stream: &TcpStream) -> (String, usize) {
    // One byte at a time, so that the body is left where it is.
    let (mut head, mut byte) = (Vec::new(), [0]);
    let mut stream = stream;
    while !head.ends_with(b"\r\n\r\n") && matches!(stream.read(&mut byte), Ok(1)) {
        head.push(byte[0]);
    }
    let head = String::from_utf8_lossy(&head).to_lowercase();
    let length = head.split_once("content-length: ").and_then(|(_, rest)| rest.lines().next()?.parse().ok());
    (head, length.unwrap_or(0))
}

fn answer(status: &str, headers: &str, body: &str) -> String {
    let length = body.len();
    format!("HTTP/1.1 {status}\r\n{headers}content-length: {length}\r\nconnection: close\r\n\r\n{body}")
}

fn with_key(arguments: &[&str], folder: &Path) -> Output {
    let mut command = program();
    command.args(arguments).current_dir(folder).env("BACKTEST_FUNCTION_KEY", "sesame").stdin(Stdio::null());
    command.output().unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// A redirect would make a GET of a POST, and take the key along.
#[test]
fn redirects_are_named_instead_of_followed_and_the_key_stays_at_home() {
    let home = Home::empty();
    std::fs::write(home.path().join("a.yaml"), "start_date: 2020-01-01\n").unwrap();
    let elsewhere = Pretender::new(|_| answer("200 OK", "", r#"{"run_id":"r","runs":[]}"#));
    let to = elsewhere.url.clone();
    let service = Pretender::new(move |line| {
        let path = line.split(' ').nth(1).unwrap_or_default();
        answer("301 Moved", &format!("location: {to}{path}?sig=hidden\r\n"), "")
    });
    for call in ["submit a.yaml", "validate a.yaml", "cancel RUN20261120-0123456789ab", "list", "status r"] {
        let arguments: Vec<&str> = call.split(' ').chain(["--url", &service.url]).collect();
        let output = with_key(&arguments, home.path());
        let said = stderr(&output);
        assert_eq!(output.status.code(), Some(1), "{call}: {said}");
        assert!(said.contains(&format!("use --url {} ", elsewhere.url)), "{call}: {said}");
        assert!(!said.contains("hidden"), "{call}: {said}");
        assert!(service.seen.recv().unwrap().contains("x-functions-key: sesame"), "{call}");
    }
    assert!(elsewhere.seen.try_recv().is_err(), "somebody was sent there");

    // A file may lie in a storage account, which gets nothing of ours.
    let storage = Pretender::new(|_| answer("200 OK", "", "123456789"));
    let to = storage.url.clone();
    let service = Pretender::new(move |line| match line.contains("/artifacts ") {
        true => answer("200 OK", "", r#"{"artifacts":[]}"#),
        false => answer("302 Found", &format!("location: {to}/x?sig=s\r\n"), ""),
    });
    let id = "RUN20261120-0123456789ab";
    let output = with_key(&["fetch", id, "--url", &service.url, "--out", "got"], home.path());
    assert!(output.status.success(), "{}", stderr(&output));
    let there = storage.seen.recv().unwrap();
    assert!(
        there.starts_with("get /x?sig=s ") && !there.contains("sesame") && !there.contains("x-functions"),
        "{there}"
    );
}

#[test]
fn a_key_is_not_sent_over_plain_http_to_another_machine() {
    let home = Home::empty();
    let (url, secure) = ("http://service.invalid", "https://service.invalid");
    let output = with_key(&["list", "--url", url], home.path());
    let said = stderr(&output);
    assert!(
        output.status.code() == Some(2) && said.contains(secure) && said.contains("--insecure"),
        "{said}"
    );
    assert!(!said.contains("sesame"), "{said}");
    let output = with_key(&["list", "--url", url, "--insecure"], home.path());
    assert_eq!(output.status.code(), Some(1), "it was tried: {}", stderr(&output));
    assert_eq!(
        run(&["list", "--url", url], home.path()).status.code(),
        Some(1),
        "no key, nothing to protect"
    );
}

#[test]
fn nothing_that_a_service_says_steers_the_terminal() {
    let home = Home::empty();
    let evil = "\u{1b}]0;x\u{7}\u{9b}2J\u{202e}";
    let run_of = json!({ "run_id": "r", "status": evil, "run_name": evil, "error": evil, "runs": [
        { "run_id": evil, "status": evil, "run_name": evil },
    ] });
    let problem = json!({ "detail": evil, "title": evil, "errors": [{ "path": evil, "message": evil }] });
    let good = Pretender::new(move |_| answer("200 OK", "", &run_of.to_string()));
    let bad = Pretender::new(move |_| answer("400 Bad", "", &problem.to_string()));
    for url in [&good.url, &bad.url] {
        for call in
            ["list", "list --output json", "status r", "status r --output json", "events r", "cancel r"]
        {
            let arguments: Vec<&str> = call.split(' ').chain(["--url", url]).collect();
            let output = run(&arguments, home.path());
            for said in [output.stdout, output.stderr] {
                let said = String::from_utf8(said).unwrap();
                let steers = |c: char| c.is_control() && c != '\n' || c == '\u{202e}';
                assert!(!said.contains(steers), "{call}: {said:?}");
            }
        }
    }
}

/// What to do next stands in the message.
#[test]
fn a_service_that_cannot_be_used_is_answered_with_the_next_step() {
    let home = Home::empty();
    let closed = Pretender::new(|_| answer("401 Unauthorized", "", ""));
    let said = stderr(&run(&["list", "--url", &closed.url], home.path()));
    assert!(said.contains("asks for a key (401): set BACKTEST_FUNCTION_KEY"), "{said}");
    let said = stderr(&with_key(&["list", "--url", &closed.url], home.path()));
    assert!(said.contains("does not take the key of BACKTEST_FUNCTION_KEY"), "{said}");

    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let said = stderr(&run(&["list", "--url", &format!("http://{nobody}")], home.path()));
    assert!(said.contains("`backtests dev` starts a service here"), "{said}");

    // Without a scheme it is plain on this machine, and encrypted on any other.
    let open = Pretender::new(|_| answer("200 OK", "", r#"{"runs":[]}"#));
    let said = run_well(&["list", "--url", open.url.trim_start_matches("http://")], home.path());
    assert!(said.contains("`backtests submit CONFIG` makes one"), "{said}");
    let said = stderr(&run(&["list", "--url", "service.invalid"], home.path()));
    assert!(said.contains("reach https://service.invalid:"), "{said}");
    for wrong in ["ftp://a", "http://", "http://u:p@a", "http://a?x=1", "a b"] {
        let output = run(&["list", "--url", wrong], home.path());
        assert!(output.status.code() == Some(2) && stderr(&output).contains("--url:"), "{wrong}");
    }
}

/// Programs read why it did not work where they read answers.
#[test]
fn errors_are_problem_documents_for_programs() {
    let home = Home::empty();
    let documents = |arguments: &[&str]| -> Value {
        let output = run(arguments, home.path());
        assert!(!output.status.success());
        serde_json::from_slice(&output.stdout).unwrap()
    };
    let problem = json!({ "code": "invalid_config", "title": "t", "detail": "d", "status": 400,
        "errors": [{ "path": "end_date", "message": "is missing" }] });
    let sent = problem.clone();
    let service = Pretender::new(move |_| answer("400 Bad Request", "", &sent.to_string()));
    assert_eq!(documents(&["list", "--url", &service.url, "--output", "json"]), problem);

    std::fs::write(home.path().join("bad.yaml"), "start_date: 2020-01-01\n").unwrap();
    let found = documents(&["run", "bad.yaml", "--output", "json"]);
    assert_eq!(found["code"], "invalid_config");
    assert!(
        found["errors"].as_array().unwrap().iter().any(|fault| fault["path"] == "strategy.class"),
        "{found}"
    );
    let found = documents(&["list", "--url", "ftp://a", "--output", "json"]);
    assert!(found["code"] == "usage" && found["detail"].as_str().unwrap().contains("--url"), "{found}");
}

/// By hand, an id is rarely typed in full.
#[test]
fn runs_are_named_by_the_beginning_of_their_id_or_as_the_latest() {
    let home = Home::empty();
    let service = Pretender::new(|line| {
        let path = line.split(' ').nth(1).unwrap_or_default();
        let page = |ids: &[&str]| {
            let runs: Vec<Value> = ids.iter().map(|id| json!({ "run_id": id, "status": "failed" })).collect();
            answer("200 OK", "", &json!({ "runs": runs, "next_cursor": null }).to_string())
        };
        match path.strip_prefix("/api/backtests").unwrap_or_default() {
            "?limit=1" => page(&["newest"]),
            "?limit=1&status=failed" => page(&[]),
            "?q=alp&archived=any&limit=100" => page(&["alpha", "not-alp"]),
            "?q=bet&archived=any&limit=100" => page(&["beta-1", "beta-2"]),
            "?q=none&archived=any&limit=100" => page(&["has-none"]),
            "/newest" => answer("200 OK", "", r#"{"run_id":"newest","status":"queued"}"#),
            "/alpha" => answer("200 OK", "", r#"{"run_id":"alpha","status":"queued"}"#),
            _ => answer("404 Not Found", "", "{}"),
        }
    });
    for (name, found) in [("@latest", "newest"), ("alpha", "alpha"), ("alp", "alpha")] {
        let said = run_well(&["status", name, "--url", &service.url], home.path());
        assert!(said.lines().next().unwrap().ends_with(found), "{name}: {said}");
    }
    for (name, why) in [
        ("@latest-failed", "has no run that failed"),
        ("bet", "begins the ids of several runs: beta-1, beta-2"),
        ("none", "no run's id begins with 'none'; see `backtests list`"),
    ] {
        let said = stderr(&run(&["status", name, "--url", &service.url], home.path()));
        assert!(said.contains(why), "{name}: {said}");
    }
    assert_eq!(run(&["status", "@last", "--url", &service.url], home.path()).status.code(), Some(2));
}

#[test]
fn the_list_fits_a_terminal_and_sorts_by_figures() {
    let home = Home::empty();
    let one = |id: &str, sharpe: Value, name: &str| {
        json!({ "run_id": format!("RUN20261120-{id}"), "status": "completed", "run_name": name,
            "summary": { "total_return": 0.5, "sharpe_ratio": sharpe, "max_drawdown": -0.25 } })
    };
    let runs = json!({ "next_cursor": null, "runs": [
        one("000000000001", json!(null), "no figure"),
        one("000000000002", json!(0.5), &"a long name ".repeat(9)),
        one("000000000003", json!(1.25), "best"),
    ] });
    let service = Pretender::new(move |_| answer("200 OK", "", &runs.to_string()));
    let said = run_well(&["list", "--url", &service.url, "--sort", "sharpe"], home.path());
    let lines: Vec<&str> = said.lines().collect();
    assert!(lines.iter().all(|line| line.chars().count() <= 80), "{said}");
    let order: Vec<char> = lines.iter().skip(1).map(|line| line.chars().nth(23).unwrap()).collect();
    assert_eq!(order, ['3', '2', '1'], "{said}");
    let end = |line: &str, of: &str| line.find(of).unwrap() + of.len();
    assert_eq!(end(lines[0], "Sharpe"), end(lines[1], "1.25"), "numbers end under their heads:\n{said}");
    assert_eq!(end(lines[0], "drawdown"), end(lines[1], "-25.00 %"), "{said}");
    let asked = ["list", "--url", &service.url, "--submitted-after", "2026-11-20", "--submitted-by", "me"];
    run_well(&asked, home.path());
    let seen = service.seen.iter().nth(1).unwrap();
    assert!(seen.contains("submitted_after=2026-11-20t00%3a00%3a00z&submitted_by=me"), "{seen}");
    for wrong in [["--status", "done"], ["--submitted-after", "yesterday"], ["--sort", "luck"]] {
        let refused = run(&[&["list", "--url", &service.url], &wrong[..]].concat(), home.path());
        assert_eq!(refused.status.code(), Some(2), "{wrong:?}");
    }
    let help = run_well(&["list", "--help"], home.path());
    assert!(help.contains("queued, running, completed, failed, canceled"), "{help}");
}

/// A run that is watched in a pipe says each thing once, and Ctrl-C leaves it alone.
#[test]
fn watching_says_each_thing_once_and_how_to_come_back() {
    let home = Home::empty();
    let service = Pretender::new(|_| {
        answer(
            "200 OK",
            "",
            r#"{"run_id":"r","status":"running","progress":0.25,"progress_note":"day 5 of 20"}"#,
        )
    });
    let mut command = program();
    command.args(["watch", "r", "--url", &service.url]).current_dir(home.path());
    let mut child =
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    // Long enough for several looks and for a second line, if there were one.
    std::thread::sleep(std::time::Duration::from_millis(6500));
    std::process::Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    let said: Vec<String> =
        BufReader::new(child.stderr.take().unwrap()).lines().map_while(Result::ok).collect();
    assert_eq!(child.wait().unwrap().code(), Some(1));
    assert_eq!(said.len(), 2, "{said:?}");
    assert_eq!(said[0], "r: 25 % day 5 of 20");
    assert!(said[1].contains("the run goes on") && said[1].contains("`backtests watch r`"), "{said:?}");
}

#[test]
fn watch_stays_with_a_service_that_is_busy_for_a_while() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let server = std::thread::spawn(move || {
        let run = r#"{"run_id":"r","status":"completed"}"#;
        for (status, body) in [("503 Busy", ""), ("429 Busy", ""), ("200 OK", run)] {
            let (mut stream, _) = listener.accept().unwrap();
            BufReader::new(&stream).read_line(&mut String::new()).unwrap();
            let head = format!("HTTP/1.1 {status}\r\nretry-after: 1\r\ncontent-length: {}", body.len());
            write!(stream, "{head}\r\nconnection: close\r\n\r\n{body}").unwrap();
        }
    });
    let said = run_well(&["watch", "r", "--url", &url], Path::new("."));
    server.join().unwrap();
    assert!(said.contains("completed"), "{said}");
}

/// An answer is only as good as who gives it: a name that leads elsewhere, a file that is cut or another one.
#[test]
fn fetch_keeps_to_its_folder_and_to_whole_files() {
    let home = Home::empty();
    let fetch = |listed: &str, sent: &str| {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (listed, sent) = (format!(r#"{{"artifacts":[{listed}]}}"#), sent.to_owned());
        let server = std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let mut line = String::new();
                BufReader::new(&stream).read_line(&mut line).unwrap();
                let (body, length) = match line.as_str() {
                    "stop" => return,
                    _ if line.contains("/artifacts ") => (&listed, listed.len()),
                    _ => (&sent, 9),
                };
                let _ = write!(
                    stream,
                    "HTTP/1.1 200 OK\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}"
                );
            }
        });
        let output = run(&["fetch", "r", "--url", &url, "--out", "got"], home.path());
        std::net::TcpStream::connect(url.trim_start_matches("http://")).unwrap().write_all(b"stop").unwrap();
        server.join().unwrap();
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    for name in ["../out.csv", "/tmp/out.csv", "a/../../out.csv", ""] {
        let (code, said) = fetch(&format!(r#"{{"name":"{name}"}}"#), "123456789");
        assert!(code == Some(1) && said.contains("under the name"), "{name}: {said}");
    }
    let sha256 = "15e2b0d3c33891ebb0f1ef609ec419420c20e320ce94c65fbc8c3312448eb225";
    let file = format!(r#"{{"name":"a.csv","sha256":"{sha256}"}}"#);
    let (code, said) = fetch(&file, "1234");
    assert_eq!(code, Some(1), "a cut file: {said}");
    let (_, said) = fetch(&file, "987654321");
    assert!(said.contains("a.csv is not what the manifest says"), "{said}");
    let left: Vec<_> = std::fs::read_dir(home.path().join("got/r")).unwrap().collect();
    assert!(left.is_empty() && !home.path().join("out.csv").exists(), "{left:?}");
    fetch(&file, "123456789");
    assert_eq!(std::fs::read(home.path().join("got/r/a.csv")).unwrap(), b"123456789");
}
