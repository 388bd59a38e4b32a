//! A copy of everything that the cross-checks read, each time with one change that must be noticed.

use std::path::Path;

use infra_tool::crosscheck::{self, Surroundings};
use infra_tool::snapshot::Snapshot;

use super::{copy, project};

/// Files and folders that the cross-checks read.
const READ: [&str; 7] = [
    ".github/workflows",
    "functions",
    "migrations/postgres",
    "host.json",
    "docs/settings.json",
    "src/store/roles.rs",
    "infra",
];

/// What the cross-checks find in the project at `root`.
fn found(root: &Path) -> Vec<String> {
    crosscheck::check(&Snapshot::load_all(root).unwrap(), &Surroundings::load(root).unwrap())
}

/// A file, what stands in it, what stands there instead, and a part of what is then found.
type Case = (&'static str, &'static str, &'static str, &'static str);

/// Beside the snapshots.
const AROUND: [Case; 28] = [
    (
        "src/store/roles.rs",
        "\"ranking_writer_b\"",
        "\"ranking_writer_2\"",
        "rotate does not know the login `ranking_writer_2`",
    ),
    (
        "src/store/roles.rs",
        "\"ranking_writer_b\"",
        "\"ranking_writer_2\"",
        "roles does not know the login `ranking_writer_b`",
    ),
    ("infra/README.md", "`api_service_b`", "`api_service_2`", "the login `api_service_b` is not explained"),
    ("infra/README.md", "opens at most 3,", "opens at most 4,", "a handler opens at most 3 connections"),
    (
        "infra/README.md",
        "`runTimeoutSeconds`",
        "`timeout`",
        "does not explain the parameter `runTimeoutSeconds`",
    ),
    ("infra/modules/keyvault.bicep", "'postgres-dsn'", "'postgres'", "`dsnName` is not `postgres-dsn`"),
    (
        "migrations/postgres/0003_ranking_signals.sql",
        "TO ranking_writer;",
        "TO somebody;",
        "they grant to `somebody`",
    ),
    (
        "migrations/postgres/0007_group_roles.sql",
        "ranking_sync",
        "ranking_writers",
        "none knows the role `ranking_sync`",
    ),
    (
        "docs/settings.json",
        "\"RANKING_TOP_N\"",
        "\"RANKING_TOP\"",
        "nothing reads the app setting `RANKING_TOP_N`",
    ),
    (
        "docs/settings.json",
        "\"RANKING_TOP_N\"",
        "\"RANKING_TOP\"",
        "reads `RANKING_TOP` (docs/settings.json) and the app does not set it",
    ),
    (
        "functions/execute/function.json",
        "%BACKTEST_QUEUE%",
        "%BACKTEST_QEUE%",
        "no app setting gives `%BACKTEST_QEUE%`",
    ),
    (
        "functions/execute/function.json",
        "%BACKTEST_QUEUE%",
        "other",
        "nothing makes the queue `other-poison`",
    ),
    (
        "functions/execute/function.json",
        "\"AzureWebJobsStorage\"",
        "\"Jobs\"",
        "the connection `Jobs` needs the app setting `Jobs__clientId`",
    ),
    (
        "functions/reconcile/function.json",
        "%RECONCILE_SCHEDULE%",
        "*/5 * * * *",
        "its schedule `*/5 * * * *` has not six fields",
    ),
    (
        ".github/workflows/plan.yml",
        "vars.POSTGRES_SKU ",
        "vars.SKU ",
        "the variable `POSTGRES_SKU` is not handed on",
    ),
    ("host.json", "00:30:00", "00:20:00", "a run may take 1500 s and host.json ends everything after 1200 s"),
    ("host.json", "00:30:00", "half an hour", "`functionTimeout` is not written as HH:MM:SS"),
    ("host.json", "\"backtests\"", "\"handler\"", "`defaultExecutablePath` is not `backtests`"),
    (
        "host.json",
        "\"logLevel\": {",
        "\"logLevel\": {\"default\": \"Information\",",
        "`logLevel.default` lets the host log every request",
    ),
    ("infra/main.bicep", "@maxValue(1680)", "@maxValue(1800)", "`runTimeoutSeconds` may be 1800"),
    (
        "infra/main.bicep",
        "\nparam maxRequests ",
        "\nparam mostRequests ",
        "does not explain the parameter `mostRequests`",
    ),
    (
        "infra/every-option.bicepparam",
        "\nparam maxRequests ",
        "\nparam mostRequests ",
        "leaves `maxRequests` as it is",
    ),
    (
        "infra/team.bicepparam",
        "param size = 'team'",
        "param size = 'dev'",
        "infra/team.bicepparam: the file is for `dev`",
    ),
    ("infra/team.bicepparam", "'POSTGRES_SKU'", "'SKU'", "only here `postgresSku` is read from SKU"),
    (
        "infra/modules/rbac.bicep",
        "ba92f5b4-2d11",
        "ba92f5b5-2d11",
        "is not a built-in role that is known here",
    ),
    (
        "infra/bootstrap/identities.bicep",
        "  '4633458b-17de-408a-b874-0445c86b69e6'\n",
        "",
        "may not assign 4633458b-17de-408a-b874-0445c86b69e6 (Key Vault Secrets User)",
    ),
    (
        "infra/bootstrap/identities.bicep",
        "  '4633458b-17de",
        "  'acdd72a7-3385-48ef-bd42-f606fba81ae7'\n  '4633458b-17de",
        "may assign acdd72a7-3385-48ef-bd42-f606fba81ae7, which nothing hands out",
    ),
    (
        "infra/modules/postgres.bicep",
        "// The one stable version, 2016-09-01, allows a single setting of another shape for each resource.\n",
        "",
        "`#disable-next-line use-recent-api-versions` without a reason above it",
    ),
];

/// In what is deployed.
const DEPLOYED: [Case; 53] = [
    (
        "dev",
        "\"name\": \"func-backtests-dev-ciofjwjcpn7gc/appsettings\"",
        "\"name\": \"func-backtests-dev-ciofjwjcpn7gc/settings\"",
        "the app has no settings",
    ),
    (
        "dev",
        "\"AZURE_CLIENT_ID\"",
        "\"AZURE_CLIENT\"",
        "nothing reads the app setting `AZURE_CLIENT`; did you mean `AZURE_CLIENT_ID`?",
    ),
    ("dev", "\"AZURE_CLIENT_ID\"", "\"AZURE_CLIENT\"", "the app setting `AZURE_CLIENT_ID` is missing"),
    ("dev", "0 */5 * * * *", "0 */5 * * *", "its schedule `0 */5 * * *` has not six fields"),
    ("dev", "default/backtest-runs\"", "default/backtest-run\"", "nothing makes the queue `backtest-runs`"),
    ("dev", "default/backtest-runs\"", "default/backtest-run\"", "no function uses the queue `backtest-run`"),
    (
        "dev",
        "default/backtest-runs-poison\"",
        "default/backtest-runs-bad\"",
        "nothing makes the queue `backtest-runs-poison`",
    ),
    (
        "dev",
        "\"name\": \"sthostdevciofjwjcpn7gc/default/backtest-runs\"",
        "\"name\": \"stdatadevciofjwjcpn7gc/default/backtest-runs\"",
        "the queue `backtest-runs` is not in the account of `AzureWebJobsStorage`",
    ),
    ("dev", "default/releases\"", "default/packages\"", "nothing makes the package container `releases`"),
    (
        "dev",
        "\"name\": \"sthostdevciofjwjcpn7gc/default/releases\"",
        "\"name\": \"stdatadevciofjwjcpn7gc/default/releases\"",
        "nothing makes the package container `releases` in its account",
    ),
    (
        "dev",
        "'https://{0}.blob.{1}', 'sthostdevciofjwjcpn7gc', environment().suffixes.storage), 'releases'",
        "'https://{0}.file.{1}', 'sthostdevciofjwjcpn7gc', environment().suffixes.storage), 'releases'",
        "the address of the packages is not of blobs",
    ),
    (
        "dev",
        "\"artifacts/results\"",
        "\"results/results\"",
        "nothing makes the container `results` of BACKTEST_ADLS_RUNS_DIR",
    ),
    (
        "dev",
        "\"AZURE_STORAGE_ACCOUNT_NAME\": \"stdata",
        "\"AZURE_STORAGE_ACCOUNT_NAME\": \"sthost",
        "nothing makes the container `artifacts` of BACKTEST_ADLS_RUNS_DIR",
    ),
    (
        "dev",
        "https://{0}.queue.{1}",
        "https://{0}.blob.{1}",
        "`AzureWebJobsStorage__queueServiceUri` is not an address of a queue service",
    ),
    (
        "dev",
        "https://{0}.table.{1}",
        "http://{0}.table.{1}",
        "`AzureWebJobsStorage__tableServiceUri` is not an address of a table service",
    ),
    ("dev", "\"artifacts/results/\"", "\"results/\"", "`results/` of the lifecycle lies in no container"),
    ("dev", "\"artifacts/results/\"", "", "a rule of the lifecycle names no prefix"),
    ("dev", "Standard_B1ms", "Standard_B3ms", "nobody knows how many connections Standard_B3ms has"),
    (
        "dev",
        "\"tier\": \"Burstable\"",
        "\"tier\": \"GeneralPurpose\"",
        "Standard_B1ms is Burstable, not GeneralPurpose",
    ),
    (
        "dev",
        "\"BACKTEST_RUN_TIMEOUT_SECONDS\": \"1500\"",
        "\"BACKTEST_RUN_TIMEOUT_SECONDS\": \"1700\"",
        "a run may take 1700 s",
    ),
    (
        "dev",
        "\"FUNCTIONS_REQUEST_BODY_SIZE_LIMIT\": \"2162688\"",
        "\"FUNCTIONS_REQUEST_BODY_SIZE_LIMIT\": \"104857600\"",
        "FUNCTIONS_REQUEST_BODY_SIZE_LIMIT is `104857600`",
    ),
    (
        "dev",
        "\"FUNCTIONS_REQUEST_BODY_SIZE_LIMIT\"",
        "\"FUNCTIONS_REQUEST_BODY_SIZE\"",
        "the app setting `FUNCTIONS_REQUEST_BODY_SIZE_LIMIT` is missing",
    ),
    ("dev", "\"POSTGRES_SERVER\"", "\"POSTGRES_SERVERS\"", "the output `POSTGRES_SERVER` is missing"),
    ("dev", "\"POSTGRES_SERVER\"", "\"POSTGRES_SERVERS\"", "nothing reads the output `POSTGRES_SERVERS`"),
    (
        "dev",
        "\"allowSharedKeyAccess\": false",
        "\"allowSharedKeyAccess\": true",
        "allowSharedKeyAccess is true",
    ),
    (
        "dev",
        "\"allowBlobPublicAccess\": false",
        "\"allowBlobPublicAccess\": true",
        "allowBlobPublicAccess is true",
    ),
    (
        "dev",
        "\"allowCrossTenantReplication\": false",
        "\"allowCrossTenantReplication\": true",
        "allowCrossTenantReplication is true",
    ),
    (
        "dev",
        "\"supportsHttpsTrafficOnly\": true",
        "\"supportsHttpsTrafficOnly\": false",
        "supportsHttpsTrafficOnly is false",
    ),
    (
        "dev",
        "\"defaultToOAuthAuthentication\": true",
        "\"other\": true",
        "defaultToOAuthAuthentication is nothing",
    ),
    ("dev", "TLS1_2", "TLS1_0", "minimumTlsVersion is TLS1_0"),
    ("dev", "\"publicAccess\": \"None\"", "\"publicAccess\": \"Blob\"", "publicAccess is Blob"),
    ("dev", "\"httpsOnly\": true", "\"httpsOnly\": false", "httpsOnly is false"),
    ("dev", "\"minTlsVersion\": \"1.2\"", "\"minTlsVersion\": \"1.0\"", "siteConfig.minTlsVersion is 1.0"),
    (
        "dev",
        "\"scmMinTlsVersion\": \"1.2\"",
        "\"scmMinTlsVersion\": \"1.0\"",
        "siteConfig.scmMinTlsVersion is 1.0",
    ),
    ("dev", "\"ftpsState\": \"Disabled\"", "\"ftpsState\": \"AllAllowed\"", "ftpsState is AllAllowed"),
    ("dev", "\"name\": \"custom\"", "\"name\": \"python\"", "runtime.name is python"),
    ("dev", "\"allow\": false", "\"allow\": true", "properties.allow is true"),
    ("dev", "\"name\": \"FC1\"", "\"name\": \"Y1\"", "sku.name is Y1"),
    (
        "every-option",
        "\"enableRbacAuthorization\": true",
        "\"enableRbacAuthorization\": false",
        "enableRbacAuthorization is false",
    ),
    (
        "every-option",
        "\"enablePurgeProtection\": true",
        "\"enablePurgeProtection\": false",
        "enablePurgeProtection is false",
    ),
    (
        "every-option",
        "\"enableSoftDelete\": true",
        "\"enableSoftDelete\": false",
        "enableSoftDelete is false",
    ),
    ("dev", "\"DisableLocalAuth\": true", "\"DisableLocalAuth\": false", "DisableLocalAuth is false"),
    (
        "dev",
        "\"activeDirectoryAuth\": \"Enabled\"",
        "\"activeDirectoryAuth\": \"Disabled\"",
        "activeDirectoryAuth is Disabled",
    ),
    ("dev", "\"autoGrow\": \"Enabled\"", "\"autoGrow\": \"Disabled\"", "autoGrow is Disabled"),
    (
        "team",
        "\"publicNetworkAccess\": \"Disabled\"",
        "\"publicNetworkAccess\": \"Enabled\"",
        "publicNetworkAccess is Enabled",
    ),
    ("team", "\"defaultAction\": \"Deny\"", "\"defaultAction\": \"Allow\"", "defaultAction is Allow"),
    (
        "team",
        "Microsoft.DBforPostgreSQL/flexibleServers/databases\"",
        "Microsoft.DBforPostgreSQL/flexibleServers/firewallRules\"",
        "the network is private and the database has firewall rules",
    ),
    (
        "dev",
        "\"endIpAddress\": \"0.0.0.0\"",
        "\"endIpAddress\": \"255.255.255.255\"",
        "firewall rule every-azure-customer: 0.0.0.0 to 255.255.255.255 admits",
    ),
    (
        "dev",
        "gl5l66lyq5z5i/every-azure-customer\"",
        "gl5l66lyq5z5i/office\"",
        "firewall rule office: 0.0.0.0 to 0.0.0.0 admits every address inside Azure",
    ),
    ("dev", "TLSv1.3", "TLSv1.2", "the database takes encryption older than TLS 1.3"),
    (
        "dev",
        "\"passwordAuth\": \"Disabled\"",
        "\"passwordAuth\": \"Enabled\"",
        "passwordAuth is Enabled and there is no key vault",
    ),
    ("dev", "sslmode=verify-full", "sslmode=require", "POSTGRES_DSN neither verifies the server"),
    (
        "every-option",
        "\"POSTGRES_ADMIN_LOGIN\": \"",
        "\"POSTGRES_ADMIN_LOGIN\": \"[parameters('administratorPassword')]",
        "`POSTGRES_ADMIN_LOGIN` shows a secret",
    ),
];

/// In the versions of interfaces.
const VERSIONS: [Case; 3] = [
    (
        "every-option",
        "\"2026-06-01\"",
        "\"2024-08-01\"",
        "Microsoft.Consumption/budgets is made with version 2024-08-01",
    ),
    (
        "dev",
        "\"2025-08-01\"",
        "\"2024-08-01\"",
        "Microsoft.DBforPostgreSQL/flexibleServers is made with version 2024-08-01",
    ),
    ("dev", "\"2025-03-01\"", "\"2024-11-01\"", "Microsoft.Web/sites is made with version 2024-11-01"),
];

#[test]
fn every_disagreement_is_noticed() {
    let folder = tempfile::tempdir().unwrap();
    for path in READ {
        copy(&project().join(path), &folder.path().join(path));
    }
    assert_eq!(found(folder.path()), [""; 0], "the copy is in order before anything is changed");
    let mut missed = Vec::new();
    let deployed = DEPLOYED.iter().chain(&VERSIONS);
    let deployed =
        deployed.map(|(name, old, new, say)| (format!("infra/{name}.snapshot.json"), old, new, say));
    let around = AROUND.iter().map(|(file, old, new, say)| ((*file).to_owned(), old, new, say));
    for (file, old, new, expected) in around.chain(deployed) {
        let path = folder.path().join(&file);
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.contains(old), "{file} no longer has {old}");
        std::fs::write(&path, text.replace(old, new)).unwrap();
        let found = found(folder.path());
        if !found.iter().any(|one| one.contains(expected)) {
            missed.push(format!("{file}: {old} to {new}: {found:?} instead of {expected}"));
        }
        std::fs::write(&path, text).unwrap();
    }
    assert!(missed.is_empty(), "{}", missed.join("\n"));
}

#[test]
fn a_size_without_a_file_is_noticed() {
    let snapshots = Snapshot::load_all(&project()).unwrap();
    let around = Surroundings::load(&project()).unwrap();
    let fewer: Vec<Snapshot> = snapshots.into_iter().filter(|one| one.name() != "ha").collect();
    let found = crosscheck::check(&fewer, &around);
    assert!(found.iter().any(|one| one.contains("`ha.bicepparam` is missing")), "{found:?}");
}

/// What GitHub vouches for is good for five minutes, and a token of another kind takes a vouch that is.
#[test]
fn a_stage_that_takes_a_new_token_signs_in_first() {
    for (workflow, stages) in [("deploy", 4), ("rotate", 3), ("plan", 1)] {
        let path = format!(".github/workflows/{workflow}.yml");
        let text = std::fs::read_to_string(project().join(&path)).unwrap();
        let (mut fresh, mut found) = (false, 0);
        for step in text.split("\n      - ") {
            let takes = [
                "firewall open",
                "firewall close",
                "--only-database",
                "infra smoke",
                "infra rotate",
                "--what-if",
            ];
            if takes.iter().any(|word| {
                step.contains(&format!("cargo infra {word}")) || step.contains(&format!(" {word}"))
            }) {
                assert!(fresh, "{path}: signs in too early for: {step}");
                (fresh, found) = (false, found + 1);
            }
            fresh |= step.contains("azure/login@");
        }
        assert_eq!(found, stages, "{path}");
    }
}
