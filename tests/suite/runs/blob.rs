//! Blob storage: the client, artifacts, runs as documents, and the service on top of them when storage misbehaves.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use azure_core::credentials::{AccessToken, Secret, TokenCredential, TokenRequestOptions};
use backtest_functions::cli::settings::{Environment, RunStoreMode, Settings};
use backtest_functions::run::{Fence, Location, RunId, Status, Submission};
use backtest_functions::store::artifacts::{ArtifactStore, AzureArtifacts, NewFile};
use backtest_functions::store::blob::{BlobAccount, Condition, ConnectionString, Container, Directory};
use backtest_functions::store::delta::{Location as Lake, StorageOptions, Table};
use backtest_functions::store::identity::Identity;
use backtest_functions::store::runs::adls::AdlsRuns;
use backtest_functions::store::runs::{
    Claim, Claimant, Ending, Finish, Inserted, ListQuery, NewRun, RunStore,
};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use futures_util::TryStreamExt;
use serde_json::{Value, json};

use crate::support::azurite::{Storage, storage, with_tokens};
use crate::support::http_proxy::{Fault, Proxy};
use crate::support::service::{Handler, Home, eventually, long, momentum, program};
use crate::support::submission::submission;

const TEXT: &str = "text/plain";

async fn names(container: &Container, prefix: &str) -> Vec<String> {
    container.list(prefix).map_ok(|listed| listed.name).try_collect().await.unwrap()
}

#[tokio::test]
async fn a_blob_is_written_on_condition_and_read_in_ranges() {
    let Some(storage) = storage() else { return };
    let container = storage.container();
    assert!(names(&container, "").await.is_empty(), "a container that is not there holds nothing");
    assert!(container.get("a/b c.txt").await.unwrap().is_none());
    let first = container.put("a/b c.txt", "one".into(), TEXT, &Condition::Absent).await.unwrap().unwrap();
    assert!(container.put("a/b c.txt", "two".into(), TEXT, &Condition::Absent).await.unwrap().is_none());
    let unchanged = Condition::Unchanged(first.etag.clone());
    let second = container.put("a/b c.txt", "three".into(), TEXT, &unchanged).await.unwrap().unwrap();
    assert_ne!(first.etag, second.etag);
    assert!(container.put("a/b c.txt", "four".into(), TEXT, &unchanged).await.unwrap().is_none());
    let (content, stamp) = container.get("a/b c.txt").await.unwrap().unwrap();
    assert_eq!((&content[..], &stamp.etag), (&b"three"[..], &second.etag));
    assert!((chrono::Utc::now() - stamp.now).num_minutes().abs() < 1, "the reply has the account's time");
    assert_eq!(container.size("a/b c.txt").await.unwrap(), Some(5));
    assert_eq!(container.size("a/none").await.unwrap(), None);
    let part: Vec<Bytes> = container.read("a/b c.txt", 1..3).await.unwrap().try_collect().await.unwrap();
    assert_eq!(part.concat(), b"hr");
    container.put("b", Bytes::new(), TEXT, &Condition::Always).await.unwrap().unwrap();
    assert_eq!(names(&container, "").await, ["a/b c.txt", "b"]);
    assert_eq!(names(&container, "a/").await, ["a/b c.txt"]);
    container.delete("b").await.unwrap();
    container.delete("b").await.unwrap();
    assert_eq!(names(&container, "b").await, Vec::<String>::new());
    container.ping().await.unwrap();
}

/// An account SAS for everything in blob storage.
fn signature(storage: &Storage) -> String {
    let part = |name: &str| {
        storage.connection.split(';').find_map(|part| part.strip_prefix(name)?.strip_prefix('=')).unwrap()
    };
    let (account, expiry) = (part("AccountName"), "2099-01-01T00:00:00Z");
    let text = format!("{account}\nrwdlac\nb\nsco\n\n{expiry}\n\n\n2022-11-02\n\n");
    let signed = azure_core::hmac::hmac_sha256(&text, &Secret::new(part("AccountKey").to_owned())).unwrap();
    let query = [("sv", "2022-11-02"), ("ss", "b"), ("srt", "sco"), ("sp", "rwdlac"), ("se", expiry)];
    let mut query = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(query).finish();
    query.push_str(&format!(
        "&{}",
        url::form_urlencoded::Serializer::new(String::new()).append_pair("sig", &signed).finish()
    ));
    query
}

#[tokio::test]
async fn a_shared_access_signature_is_enough_and_stays_secret() {
    let Some(storage) = storage() else { return };
    let endpoint = storage.connection.rsplit_once("BlobEndpoint=").unwrap().1.to_owned();
    let reach = |endpoint: &str, signature: &str| {
        let text = format!("BlobEndpoint={endpoint};SharedAccessSignature={signature}");
        let connection = ConnectionString::parse(&text).unwrap();
        assert!(!format!("{connection:?}").contains("sig"), "{connection:?}");
        let account = BlobAccount::by_connection(connection).unwrap();
        assert!(!format!("{account:?}").contains("sig"), "{account:?}");
        account.container(&storage.container).unwrap()
    };
    let container = reach(&endpoint, &signature(&storage));
    container.put("x", "one".into(), TEXT, &Condition::Absent).await.unwrap().unwrap();
    assert_eq!(&container.get("x").await.unwrap().unwrap().0[..], b"one");
    assert_eq!(names(&container, "").await, ["x"]);

    let forged = signature(&storage).replace("rwdlac", "rwdl");
    let refused = reach(&endpoint, &forged).get("x").await.unwrap_err();
    let nowhere = reach("http://127.0.0.1:1/a", &forged).get("x").await.unwrap_err();
    assert!(!refused.is_retryable() && nowhere.is_retryable());
    for error in [refused, nowhere] {
        let said = format!("{error} {error:?}");
        assert!(!said.contains("sig=") && !said.contains("rwdl"), "{said}");
    }
}

#[tokio::test]
async fn a_server_that_proves_nothing_is_tried_a_few_times() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let tries = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&tries);
    tokio::spawn(async move {
        while let Ok((connection, _)) = listener.accept().await {
            counted.fetch_add(1, Ordering::Relaxed);
            drop(connection);
        }
    });
    let text = format!("AccountName=a;AccountKey=c2VjcmV0;BlobEndpoint=https://127.0.0.1:{port}");
    let account = BlobAccount::by_connection(ConnectionString::parse(&text).unwrap()).unwrap();
    let error = account.container("abc").unwrap().get("x").await.unwrap_err();
    assert!(error.is_retryable(), "{error}");
    let tries = tries.load(Ordering::Relaxed);
    assert!((2..=8).contains(&tries), "{tries} connections");
}

#[test]
fn connection_strings_and_directories_are_read_strictly() {
    let account = |text: &str| ConnectionString::parse(text).map(|read| read.account().to_owned());
    assert_eq!(account("UseDevelopmentStorage=true").unwrap(), "devstoreaccount1");
    let usual =
        "DefaultEndpointsProtocol=https;AccountName=acme;AccountKey=c2VjcmV0;EndpointSuffix=core.windows.net";
    assert_eq!(account(usual).unwrap(), "acme");
    assert_eq!(
        account("BlobEndpoint=https://acme.blob.core.windows.net/;SharedAccessSignature=?sv=1&sig=x%3D")
            .unwrap(),
        "acme"
    );
    for (text, fault) in [
        ("AccountName=acme", "neither AccountKey nor"),
        ("AccountKey=c2VjcmV0", "neither AccountName nor"),
        ("AccountName=acme;AccountKey=not base64", "not base64"),
        ("AccountName=acme;AccountKey=c2VjcmV0;BlobEndpoint=ftp://x", "not an http address"),
        ("nonsense", "without a '='"),
    ] {
        let error = account(text).unwrap_err().to_string();
        assert!(error.contains(fault) && !error.contains("c2VjcmV0"), "{text}: {error}");
    }

    let read = |text: &str| Directory::parse(text).map(|read| (read.account, read.container, read.prefix));
    assert_eq!(read("runs/a/b/").unwrap(), (None, "runs".into(), "a/b".into()));
    assert_eq!(read("runs").unwrap(), (None, "runs".into(), String::new()));
    assert_eq!(
        read("abfss://runs@acme.dfs.core.windows.net/a").unwrap(),
        (Some("acme".into()), "runs".into(), "a".into())
    );
    for text in
        ["", "R/x", "ab", "a--b/x", "runs/../x", "runs//x", "runs/a?b", "https://acme/x", "abfss://acme/x"]
    {
        assert!(read(text).is_err(), "{text}");
    }
    // Addresses are shown, so that a key in one would be, too.
    for text in [
        "https://acme.blob.core.windows.net/c/p?sv=1&sig=KEY",
        "abfss://runs:KEY@acme.dfs.core.windows.net/a",
    ] {
        let fault = Lake::parse(text).unwrap_err();
        assert!(fault.contains("neither a password nor a query") && !fault.contains("KEY"), "{fault}");
    }
}

/// Prices lie in the same account as results, and are reached by the same connection string.
#[tokio::test]
async fn a_backtest_reads_a_lake_in_storage() {
    let Some(storage) = storage() else { return };
    storage.container().ping().await.unwrap();
    let lake = format!("abfss://{}@devstoreaccount1.dfs.core.windows.net/lake", storage.container);
    let home = Home::empty();
    let said = |arguments: &[&str]| {
        let mut command = program();
        command.args(arguments).current_dir(home.path()).env("BACKTEST_LAKE", &lake);
        let output = command.env("AZURE_STORAGE_CONNECTION_STRING", &storage.connection).output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    said(&["lake", "sample", "--symbols", "3", "--days", "300"]);
    let config = "start_date: 2000-01-03\nend_date: 2001-12-31\nuniverse: {symbols: ['*']}\n\
                  strategy: {class: StaticUniverseStrategy}\n";
    std::fs::write(home.path().join("config.yaml"), config).unwrap();
    let summary: serde_json::Value =
        serde_json::from_str(&said(&["run", "config.yaml", "--out", "out", "--output", "json"])).unwrap();
    assert!(summary["trades"].as_u64().unwrap() >= 3, "{summary}");
}

/// Storage that does not answer is not a table that is broken: the run is tried again.
#[tokio::test]
async fn a_lake_whose_storage_does_not_answer_may_answer_later() {
    let nobody = "AccountName=acme;AccountKey=c2VjcmV0;BlobEndpoint=http://127.0.0.1:1/acme";
    let mut options: StorageOptions = ConnectionString::parse(nobody).unwrap().storage_options();
    options.0.insert("max_retries".to_owned(), "0".to_owned());
    let lake = Lake::parse("abfss://lake@acme.dfs.core.windows.net/gold/prices_daily").unwrap();
    let error = Table::open(&lake, &options).await.unwrap_err();
    assert!(error.is_retryable(), "{error:?}");
}

#[test]
fn storage_settings_fit_together_or_are_refused() {
    let read = |pairs: &[(&str, &str)]| {
        let environment: Environment =
            pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Settings::from(&environment).map_err(|error| error.to_string())
    };
    let (mode, account) = (("BACKTEST_RUN_STORE_MODE", "blob"), ("AZURE_STORAGE_ACCOUNT_NAME", "acme"));
    let dir = ("BACKTEST_ADLS_RUNS_DIR", "runs/team");
    assert!(read(&[mode]).unwrap_err().contains("BACKTEST_ADLS_RUNS_DIR: must be set"));
    assert!(read(&[mode, dir]).unwrap_err().contains("BACKTEST_ADLS_RUNS_DIR: needs a storage account"));
    assert!(read(&[("BACKTEST_ADLS_RUNS_DIR", "a/../b"), account]).unwrap_err().contains("container name"));
    let elsewhere = ("BACKTEST_ADLS_RUNS_DIR", "abfss://runs@other.dfs.core.windows.net/x");
    assert!(read(&[elsewhere, account]).unwrap_err().contains("account 'other'"));

    let settings = read(&[mode, dir, account]).unwrap();
    assert_eq!((settings.run_store, settings.identity), (RunStoreMode::Adls, Identity::Developer));
    assert_eq!(settings.containers, ["runs"], "without a list, what the service itself uses");
    let settings = read(&[elsewhere, ("IDENTITY_ENDPOINT", "http://x"), ("AZURE_CLIENT_ID", "c")]).unwrap();
    assert_eq!(settings.storage_account.as_deref(), Some("other"));
    assert_eq!(settings.identity, Identity::Managed { client_id: Some("c".into()) });
    let listed = read(&[dir, account, ("BACKTEST_ADLS_CONTAINER_ALLOWLIST", "one,two")]).unwrap();
    assert_eq!(listed.containers, ["one", "two"]);
}

fn artifacts(storage: &Storage) -> AzureArtifacts {
    let root = Directory::parse(&format!("{}/team", storage.container)).unwrap();
    AzureArtifacts::new(storage.account(), Some(root), vec!["shared".to_owned()])
}

fn id(text: &str) -> RunId {
    text.parse().unwrap()
}

async fn whole(store: &AzureArtifacts, at: &Location, name: &str, range: std::ops::Range<u64>) -> Vec<u8> {
    let chunks = store.read(at, name, range).await.unwrap().try_collect::<Vec<_>>().await.unwrap();
    chunks.concat()
}

#[tokio::test]
async fn a_name_is_written_once_whatever_its_size() {
    let Some(storage) = storage() else { return };
    let proxy = Proxy::before(storage.port);
    let store = artifacts(&storage.through(proxy.port));
    let at = store.location(None, &id("r"), Fence(3)).unwrap();
    assert_eq!(at, Location::Adls { container: storage.container.clone(), prefix: "team/r/f3".into() });
    // Three blocks, so it goes in pieces and comes back in pieces.
    let large: Bytes = (0..9_000_000_u32).map(|n| (n / 7) as u8).collect::<Vec<_>>().into();
    for (name, content) in [("small.csv", Bytes::from("a,b\n")), ("large.bin", large.clone())] {
        let file = |content| NewFile { name, content_type: "text/csv; charset=utf-8", content };
        store.create(&at, file(content.clone())).await.unwrap();
        store.create(&at, file(content.clone())).await.unwrap();
        let other = store.create(&at, file("other".into())).await.unwrap_err();
        assert_eq!(other.source.kind(), std::io::ErrorKind::AlreadyExists);
        assert_eq!(store.size(&at, name).await.unwrap(), Some(content.len() as u64));
        assert!(whole(&store, &at, name, 0..content.len() as u64).await == content, "{name}");
    }
    assert_eq!(whole(&store, &at, "large.bin", 4_194_300..4_194_310).await, large[4_194_300..4_194_310]);
    assert!(whole(&store, &at, "small.csv", 0..0).await.is_empty());
    let heads = proxy.heads();
    let typed = |part: &str| heads.iter().any(|head| head.contains(part) && head.contains("text/csv"));
    assert!(typed("small.csv") && typed("comp=blocklist"), "the media type is kept with the blob");
    for name in ["../r/f3/small.csv", "", "/x"] {
        assert!(store.size(&at, name).await.is_err(), "{name} is not a name");
    }
}

#[tokio::test]
async fn a_lost_reply_to_a_write_is_no_failure() {
    let Some(storage) = storage() else { return };
    let proxy = Proxy::before(storage.port);
    let store = artifacts(&storage.through(proxy.port));
    let at = store.location(None, &id("r"), Fence(1)).unwrap();
    let file = |name| NewFile { name, content_type: TEXT, content: "content".into() };
    store.create(&at, file("first")).await.unwrap();
    proxy.fail(Fault::LoseReply, "PUT", "second", 1);
    store.create(&at, file("second")).await.unwrap();
    assert_eq!(proxy.faults_left(), 0);
    assert_eq!(whole(&store, &at, "second", 0..7).await, b"content");
}

#[test]
fn a_config_reaches_allowed_containers_only() {
    let connection = ConnectionString::parse("AccountName=acme;AccountKey=c2VjcmV0").unwrap();
    let account = BlobAccount::by_connection(connection).unwrap();
    let store = AzureArtifacts::new(account, None, vec!["shared".to_owned()]);
    assert!(store.location(None, &id("r"), Fence(1)).is_err(), "there is no directory by default");
    let expected = Location::Adls { container: "shared".into(), prefix: "x/r/f1".into() };
    for dir in ["shared/x", "abfss://shared@acme.dfs.core.windows.net/x"] {
        store.check(dir).unwrap();
        assert_eq!(store.location(Some(dir), &id("r"), Fence(1)).unwrap(), expected);
    }
    assert!(store.check("private/x").unwrap_err().contains("BACKTEST_ADLS_CONTAINER_ALLOWLIST"));
    assert!(
        store.check("abfss://shared@other.dfs.core.windows.net/x").unwrap_err().contains("another account")
    );
}

fn new_run(name: &str, key: Option<&str>) -> NewRun {
    NewRun {
        id: id(name),
        submission: Submission {
            request_sha256: "request".into(),
            idempotency_key: key.map(str::to_owned),
            ..submission()
        },
        max_attempts: 3,
        announced: false,
    }
}

fn claimant(owner: &str) -> Claimant {
    Claimant {
        owner: owner.into(),
        lease: Duration::from_secs(60),
        timeout: Duration::from_secs(600),
        engine_version: "test".into(),
    }
}

#[tokio::test]
async fn a_transition_whose_reply_is_lost_happens_once() {
    let Some(storage) = storage() else { return };
    let proxy = Proxy::before(storage.port);
    let store = AdlsRuns::new(storage.through(proxy.port).container(), "team");
    // All tries lose their reply, so that only the document can tell.
    proxy.fail(Fault::LoseReply, "PUT", "documents%2Fr.json", 4);
    assert!(matches!(store.insert(&new_run("r", Some("key"))).await.unwrap(), Inserted::Created(_)));
    proxy.fail(Fault::LoseReply, "PUT", "documents%2Fr.json", 1);
    let Claim::Claimed(claimed) = store.claim(&id("r"), &claimant("one")).await.unwrap() else {
        panic!("the claim was lost with its reply")
    };
    proxy.fail(Fault::LoseReply, "PUT", "documents%2Fr.json", 4);
    let ending = Ending::Fail { reason: backtest_functions::run::Reason::InvalidData, error: "why".into() };
    let finish = store.finish(&claimed.lease, &ending).await.unwrap();
    assert!(matches!(finish, Finish::Done(Status::Failed)));
    assert_eq!(proxy.faults_left(), 0);
    let run = store.get(&id("r")).await.unwrap().unwrap();
    assert_eq!((run.attempt, run.version), (1, 3), "each transition happened once");
    let told: Vec<String> =
        store.events(&id("r")).await.unwrap().into_iter().map(|event| event.event).collect();
    assert_eq!(told, ["submitted", "claimed", "failed"]);
}

#[tokio::test]
async fn one_key_makes_one_run_however_many_submit_at_once() {
    let Some(storage) = storage() else { return };
    let store = Arc::new(AdlsRuns::new(storage.container(), "team"));
    let submits = (0..12).map(|number| {
        let store = Arc::clone(&store);
        tokio::spawn(async move {
            match store.insert(&new_run(&format!("r{number}"), Some("key"))).await.unwrap() {
                Inserted::Created(run) | Inserted::Replayed(run) => run.id,
                other => panic!("{other:?}"),
            }
        })
    });
    let ids = futures_util::future::join_all(submits.collect::<Vec<_>>()).await;
    let ids: std::collections::BTreeSet<RunId> = ids.into_iter().map(Result::unwrap).collect();
    assert_eq!(ids.len(), 1, "{ids:?}");
    let listed = store.list(&ListQuery { limit: 50, ..ListQuery::default() }).await.unwrap();
    assert_eq!(listed.runs.len(), 1);
}

#[tokio::test]
async fn a_submit_that_died_halfway_is_finished_by_the_same_request() {
    let Some(storage) = storage() else { return };
    let proxy = Proxy::before(storage.port);
    let store = AdlsRuns::new(storage.through(proxy.port).container(), "team");
    // The key is taken and the document never comes.
    proxy.fail(Fault::Unavailable, "PUT", "documents", 4);
    assert!(store.insert(&new_run("one", Some("key"))).await.unwrap_err().retryable);
    assert!(store.list(&ListQuery { limit: 5, ..ListQuery::default() }).await.unwrap().runs.is_empty());
    assert!(store.overdue(5).await.unwrap().runs.is_empty());
    let mut other = new_run("two", Some("key"));
    other.submission.request_sha256 = "another".into();
    assert!(matches!(store.insert(&other).await.unwrap(), Inserted::KeyReused));
    match store.insert(&new_run("two", Some("key"))).await.unwrap() {
        Inserted::Created(run) => assert_eq!(run.id, id("one"), "the key names the run"),
        other => panic!("{other:?}"),
    }
    assert_eq!(store.overdue(5).await.unwrap().runs.len(), 1);
}

/// Settings of a service that keeps everything in storage.
fn settings(storage: &Storage, mode: &'static str) -> Vec<(&'static str, String)> {
    vec![
        ("BACKTEST_RUN_STORE_MODE", mode.to_owned()),
        ("AZURE_STORAGE_CONNECTION_STRING", storage.connection.clone()),
        ("BACKTEST_ADLS_RUNS_DIR", format!("{}/team/runs", storage.container)),
        ("BACKTEST_ADLS_CONTAINER_ALLOWLIST", format!("{},shared", storage.container)),
    ]
}

async fn handler(home: &Home, settings: &[(&'static str, String)]) -> Handler {
    let settings: Vec<(&str, &str)> = settings.iter().map(|(name, value)| (*name, value.as_str())).collect();
    home.handler(&settings).await
}

/// The artifacts of a completed run, whole and in parts, are what its manifest says.
async fn check_results(handler: &Handler, id: &str) {
    let list = handler.get(&format!("/api/backtests/{id}/artifacts")).await.json();
    let list = list["artifacts"].as_array().unwrap().clone();
    assert!(list.len() >= 10);
    for artifact in &list {
        let path = format!("/api/backtests/{id}/artifacts/{}", artifact["name"].as_str().unwrap());
        let answer = handler.get(&path).await;
        assert_eq!(json!(backtest_functions::work::sha256_hex(&answer.body)), artifact["sha256"], "{path}");
        let request = handler.http.get(format!("{}{path}", handler.url)).header("range", "bytes=1-");
        let part = handler.send(request).await;
        assert_eq!((part.status.as_u16(), &part.body[..]), (206, &answer.body[1..]), "{path}");
    }
    assert_eq!(handler.get(&format!("/api/backtests/{id}/report")).await.status.as_u16(), 200);
}

async fn a_run_lives_in_storage(mode: &'static str) {
    let Some(storage) = storage() else { return };
    let home = Home::with_prices();
    let handler = handler(&home, &settings(&storage, mode)).await;
    let ready = handler.get("/api/readyz").await.json();
    assert_eq!(ready["parts"]["run_store"]["mode"], mode);
    assert_eq!(ready["parts"]["artifact_store"], json!({ "state": "ok", "kind": "adls" }));

    handler.submit(&json!({ "config": momentum(), "run_id": "r" })).await;
    assert!(handler.wake("r").await.status.is_success());
    let run = handler.run("r").await;
    assert_eq!((&run["status"], &run["attempt"]), (&json!("completed"), &json!(1)), "{run}");
    assert_eq!(
        (&run["output_dir"], &run["adls_container"], &run["adls_prefix"]),
        (&Value::Null, &json!(storage.container), &json!("team/runs/r/f1"))
    );
    check_results(&handler, "r").await;
    let listed = handler.get("/api/backtests?status=completed&q=MOMENT").await.json();
    assert_eq!(listed["runs"], json!([run]));

    let mut elsewhere = momentum();
    elsewhere["output"] = json!({ "adls_dir": "private/x" });
    let refused = handler.post("/api/backtests", &json!({ "config": elsewhere })).await.json();
    assert!(refused.to_string().contains("output.adls_dir"), "{refused}");
    elsewhere["output"] = json!({ "adls_dir": "shared/of/mine" });
    let named = format!("s-{}", storage.container);
    handler.submit(&json!({ "config": elsewhere, "run_id": named })).await;
    handler.wake(&named).await;
    let run = handler.run(&named).await;
    assert_eq!(run["adls_container"], "shared", "{run}");
    check_results(&handler, &named).await;

    handler.post("/api/backtests", &json!({ "config": momentum(), "run_id": "q" })).await;
    let canceled = handler.call(reqwest::Method::POST, "/api/backtests/q/cancel", None).await;
    assert_eq!((canceled.status.as_u16(), &canceled.json()["status"]), (200, &json!("canceled")));
    assert!(!home.path().join("results").join("r").exists(), "nothing was kept on this machine");
}

#[tokio::test]
async fn artifacts_live_in_storage_beside_a_file_of_runs() {
    a_run_lives_in_storage("sqlite").await;
}

#[tokio::test]
async fn runs_and_artifacts_live_in_storage() {
    a_run_lives_in_storage("adls").await;
}

#[tokio::test]
async fn a_killed_executor_is_taken_over_from_its_document() {
    let Some(storage) = storage() else { return };
    let home = Home::with_sample(200, 2500);
    let mut settings = settings(&storage, "adls");
    settings.push(("BACKTEST_LEASE_SECONDS", "6".to_owned()));
    let (mut one, two) = (handler(&home, &settings).await, handler(&home, &settings).await);
    one.submit(&json!({ "config": long(), "run_id": "r" })).await;
    one.dies_in("r", &two).await;
    eventually("reconcile announces the run", async || {
        let outputs = two.envelope("reconcile", &json!({ "timer": {} })).await.json()["Outputs"].clone();
        outputs["runs"].as_array().map(Vec::len)
    })
    .await;
    two.wake("r").await;
    let run = two.run("r").await;
    assert_eq!((&run["status"], &run["attempt"]), (&json!("completed"), &json!(2)), "{run}");
    assert_eq!(run["adls_prefix"], "team/runs/r/f2");
    let events = two.get("/api/backtests/r/events").await.json();
    let taken = events["events"].as_array().unwrap().iter().find(|one| one["event"] == "taken_over").unwrap();
    assert!(taken["detail"]["from"].as_str().is_some_and(|owner| !owner.is_empty()));
}

#[tokio::test]
async fn an_upload_cut_in_the_middle_publishes_nothing_and_is_tried_again() {
    let Some(storage) = storage() else { return };
    let home = Home::with_prices();
    let proxy = Proxy::before(storage.port);
    let handler = handler(&home, &settings(&storage.through(proxy.port), "adls")).await;
    // What was put is removed as soon as the attempt has failed; refused, it stays to be looked at.
    proxy.under(|head| (head.starts_with("DELETE ") && head.contains("f1%2F")).then_some(Fault::Unavailable));
    // One try and its three retries: two are cut, two are refused.
    proxy.fail(Fault::Cut, "PUT", "f1%2Fsummary.json", 2);
    proxy.fail(Fault::Unavailable, "PUT", "f1%2Fsummary.json", 2);
    handler.submit(&json!({ "config": momentum(), "run_id": "r" })).await;
    handler.wake("r").await;
    assert_eq!(proxy.faults_left(), 0);
    let run = handler.run("r").await;
    assert_eq!(
        (&run["status"], &run["status_reason"], &run["adls_prefix"]),
        (&json!("queued"), &json!("storage_unavailable"), &Value::Null),
        "{run}"
    );
    assert!(!run["error"].as_str().unwrap().contains("127.0.0.1"), "{run}");
    let left = names(&storage.container(), "team/runs/r/f1/").await;
    assert!(!left.is_empty() && !left.iter().any(|name| name.ends_with("manifest.json")), "{left:?}");
    assert_eq!(handler.get("/api/backtests/r/summary").await.status.as_u16(), 409);
    eventually("the retry is due and completes", async || {
        handler.wake("r").await;
        (handler.run("r").await["status"] == "completed").then_some(())
    })
    .await;
    let run = handler.run("r").await;
    assert_eq!((&run["attempt"], &run["adls_prefix"]), (&json!(2), &json!("team/runs/r/f2")));
    check_results(&handler, "r").await;
}

/// A client that shows where it is sent instead of going there.
fn stay() -> reqwest::Client {
    reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build().unwrap()
}

#[tokio::test]
async fn a_link_reads_one_file_for_a_while_and_does_nothing_else() {
    let Some(storage) = storage() else { return };
    let home = Home::with_prices();
    let handler = handler(&home, &settings(&storage, "sqlite")).await;
    handler.submit(&json!({ "config": momentum(), "run_id": "r" })).await;
    assert!(handler.wake("r").await.status.is_success());
    let path = "/api/backtests/r/artifacts/trades.csv";
    let bytes = handler.get(path).await;
    let http = stay();
    let asked = async |path: &str| {
        handler.send(http.get(format!("{}{path}", handler.url)).header("x-functions-key", "k")).await
    };
    let link = asked(&format!("{path}?redirect=true")).await;
    assert_eq!((link.status.as_u16(), link.header("cache-control"), link.body.len()), (302, "no-store", 0));
    let link = url::Url::parse(link.header("location")).unwrap();
    assert_eq!(link.port(), Some(storage.port));
    assert_eq!((part_of(&link, "sp"), part_of(&link, "sr")), ("r".into(), "b".into()));
    let left =
        chrono::DateTime::parse_from_rfc3339(&part_of(&link, "se")).unwrap().to_utc() - chrono::Utc::now();
    assert!((200..=300).contains(&left.num_seconds()), "{left}");

    let send = async |request: reqwest::RequestBuilder| handler.send(request).await;
    let file = send(http.get(link.clone())).await;
    assert_eq!((file.status.as_u16(), &file.body), (200, &bytes.body));
    for name in ["content-type", "content-disposition"] {
        assert_eq!(file.header(name), bytes.header(name), "{name}");
    }
    assert_eq!(send(http.head(link.clone())).await.status.as_u16(), 200);
    let part = send(http.get(link.clone()).header("range", "bytes=3-9")).await;
    assert_eq!((part.status.as_u16(), &part.body[..]), (206, &bytes.body[3..10]));

    let refused = async |what: &str, request: reqwest::RequestBuilder| {
        assert_eq!(send(request).await.status.as_u16(), 403, "{what}");
    };
    let write = http.put(link.clone()).header("x-ms-blob-type", "BlockBlob").body("other");
    refused("a write", write).await;
    refused("a removal", http.delete(link.clone())).await;
    let forged = |from: &str, to: &str| {
        assert!(link.as_str().contains(from), "{link}");
        link.as_str().replace(from, to)
    };
    let (signature, end) = (link.query().unwrap().rsplit_once("sig=").unwrap().1, part_of(&link, "se"));
    let other = if signature.starts_with('A') { "B" } else { "A" };
    let other = format!("{other}{}", &signature[1..]);
    refused("another signature", http.get(forged(signature, &other))).await;
    refused("a later end", http.get(forged(&format!("se={}", &end[..4]), "se=2099"))).await;
    refused("more rights", http.get(forged("sp=r", "sp=rw"))).await;
    refused("another file", http.get(forged("trades.csv?", "summary.json?"))).await;
    assert_eq!(handler.get(path).await.body, bytes.body, "nothing was written");

    // What is known already needs no link, and what is not there has none.
    let known = http.get(format!("{}{path}?redirect=true", handler.url));
    let known = send(known.header("if-none-match", bytes.header("etag"))).await;
    assert_eq!(known.status.as_u16(), 304);
    for (path, status) in [
        (format!("{path}?redirect=false"), 200),
        ("/api/backtests/r/artifacts/none.csv?redirect=true".to_owned(), 404),
        (format!("{path}?redirect=yes"), 400),
        ("/api/backtests/r/report?redirect=true".to_owned(), 400),
    ] {
        assert_eq!(asked(&path).await.status.as_u16(), status, "{path}");
    }
    let request = json!({ "req": {
        "Url": path, "Method": "GET", "Query": { "redirect": "true" }, "Headers": {},
        "Params": { "run_id": "r", "result": "artifacts/trades.csv" },
    }});
    let enveloped = &handler.envelope("results", &request).await.json()["Outputs"]["res"];
    assert_eq!(enveloped["statusCode"], 200, "an envelope is never answered with a redirection");
    assert_eq!(enveloped["body"].as_str().unwrap().as_bytes(), bytes.body);
}

fn part_of(link: &url::Url, name: &str) -> String {
    link.query_pairs().find(|(found, _)| found == name).unwrap().1.into_owned()
}

#[tokio::test]
async fn a_link_is_a_secret_and_a_signature_makes_none() {
    let Some(storage) = storage() else { return };
    let store = artifacts(&storage);
    let at = store.location(None, &id("r"), Fence(1)).unwrap();
    let file = NewFile { name: "a b+c%d.csv", content_type: TEXT, content: "content".into() };
    store.create(&at, file).await.unwrap();
    let lifetime = std::time::Duration::from_secs(60);
    let link = store.link(&at, "a b+c%d.csv", lifetime).await.unwrap().unwrap();
    assert!(!format!("{link:?}").contains("sig"), "{link:?}");
    let read = reqwest::get(link.reveal()).await.unwrap();
    assert_eq!(read.text().await.unwrap(), "content", "whatever is in a name");

    let endpoint = storage.connection.rsplit_once("BlobEndpoint=").unwrap().1.to_owned();
    let text = format!("BlobEndpoint={endpoint};SharedAccessSignature={}", signature(&storage));
    let account = BlobAccount::by_connection(ConnectionString::parse(&text).unwrap()).unwrap();
    let root = Directory::parse(&format!("{}/team", storage.container)).unwrap();
    let signed = AzureArtifacts::new(account, Some(root), Vec::new());
    assert!(signed.link(&at, "a b+c%d.csv", lifetime).await.unwrap().is_none());
}

/// Somebody with a token. The emulator looks at its claims and not at its signature.
#[derive(Debug)]
struct Somebody;

#[async_trait::async_trait]
impl TokenCredential for Somebody {
    async fn get_token(
        &self,
        _: &[&str],
        _: Option<TokenRequestOptions<'_>>,
    ) -> azure_core::Result<AccessToken> {
        let now = chrono::Utc::now().timestamp();
        let claims = json!({
            "iss": "https://sts.windows.net/tenant/", "aud": "https://storage.azure.com", "nbf": now - 60,
            "iat": now - 60, "exp": now + 3600, "oid": "11059fcc-5514-4800-b5f8-49808b9cfab6",
            "tid": "ab1f708d-50f6-404c-a006-d71b2ac7a606",
        });
        let encoded = |part: &Value| URL_SAFE_NO_PAD.encode(part.to_string());
        let token =
            format!("{}.{}.c2ln", encoded(&json!({ "alg": "RS256", "typ": "JWT" })), encoded(&claims));
        let end = azure_core::time::OffsetDateTime::now_utc() + azure_core::time::Duration::hours(1);
        Ok(AccessToken::new(token, end))
    }
}

#[test]
fn an_identity_is_lent_a_key_for_links() {
    let Some(emulator) = with_tokens() else { return };
    // Whom a process trusts is in its environment, so another one asks.
    let asked = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["runs::blob::with_an_identity", "--exact", "--ignored", "--nocapture"])
        .env("SSL_CERT_FILE", &emulator.certificate)
        .env("EMULATOR", &emulator.endpoint)
        .output()
        .unwrap();
    let said =
        format!("{}{}", String::from_utf8_lossy(&asked.stdout), String::from_utf8_lossy(&asked.stderr));
    assert!(asked.status.success() && said.contains("1 passed"), "{said}");
}

#[tokio::test]
#[ignore = "run by an_identity_is_lent_a_key_for_links, with the certificate that it trusts"]
async fn with_an_identity() {
    let Ok(endpoint) = std::env::var("EMULATOR") else { return };
    let endpoint = url::Url::parse(&endpoint).unwrap();
    let account = BlobAccount::by_credential("devstoreaccount1", endpoint, Arc::new(Somebody)).unwrap();
    let root = Directory::parse("results/team").unwrap();
    let store = AzureArtifacts::new(account, Some(root), Vec::new());
    let at = store.location(None, &id("r"), Fence(1)).unwrap();
    for name in ["a b.csv", "other.csv"] {
        let file = NewFile { name, content_type: "text/csv", content: "content".into() };
        store.create(&at, file).await.unwrap();
    }
    let link = store.link(&at, "a b.csv", std::time::Duration::from_secs(300)).await.unwrap().unwrap();
    let link = url::Url::parse(link.reveal()).unwrap();
    assert_eq!(part_of(&link, "spr"), "https");
    assert_eq!(part_of(&link, "skoid"), "11059fcc-5514-4800-b5f8-49808b9cfab6");
    let http = reqwest::Client::new();
    let read = http.get(link.clone()).send().await.unwrap();
    assert_eq!(read.status().as_u16(), 200);
    assert_eq!(read.headers()["content-disposition"], "inline; filename=\"a b.csv\"");
    assert_eq!(read.text().await.unwrap(), "content");
    let forged = |from: &str, to: &str| {
        assert!(link.as_str().contains(from), "{link}");
        link.as_str().replace(from, to)
    };
    let write = http.put(link.clone()).header("x-ms-blob-type", "BlockBlob").body("other");
    for refused in [
        write,
        http.get(forged("a%20b.csv?", "other.csv?")),
        http.get(forged("sp=r", "sp=rw")),
        http.get(forged("skoid=1", "skoid=2")),
    ] {
        assert_eq!(refused.send().await.unwrap().status().as_u16(), 403);
    }
}
