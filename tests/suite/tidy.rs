//! The house rules that a linter cannot see: floors, functions, the environment, first lines.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use crate::support::service::project;

/// Modules by floor; a module uses only those below it. `devhost` stands beside the house.
const FLOORS: [(&str, u8); 11] = [
    ("engine", 0),
    ("run", 0),
    ("signal", 0),
    ("clock", 0),
    ("metrics", 0),
    ("statistics", 0),
    ("store", 1),
    ("work", 2),
    ("functions", 3),
    ("cli", 4),
    ("devhost", 4),
];

/// Uses inside a floor that are part of its meaning: identities and moments are words of the same protocol.
const NEIGHBOURS: [(&str, &str); 2] = [("run", "clock"), ("cli", "devhost")];

fn sources(folder: &str) -> Vec<(PathBuf, String)> {
    fn collect(folder: &Path, found: &mut Vec<(PathBuf, String)>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                collect(&path, found);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = std::fs::read_to_string(&path).unwrap();
                found.push((path, text));
            }
        }
    }
    let mut found = Vec::new();
    collect(&project(folder), &mut found);
    found.sort();
    found
}

fn module_of(path: &Path) -> String {
    let below = path.strip_prefix(project("src")).unwrap();
    below.components().next().unwrap().as_os_str().to_str().unwrap().trim_end_matches(".rs").to_owned()
}

fn floor_of(module: &str) -> Option<u8> {
    FLOORS.iter().find(|(name, _)| *name == module).map(|(_, floor)| *floor)
}

#[test]
fn arrows_point_down() {
    let mut wrong = Vec::new();
    for (path, text) in sources("src") {
        let module = module_of(&path);
        let Some(floor) = floor_of(&module) else {
            assert!(["lib", "main"].contains(&module.as_str()), "{module} stands on no floor");
            continue;
        };
        for line in text.lines() {
            for used in line.split("crate::").skip(1) {
                let used = used.split(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap();
                let allowed = used == module
                    || floor_of(used)
                        .is_some_and(|below| below < floor && used != "devhost" && module != "devhost")
                    || NEIGHBOURS.contains(&(module.as_str(), used));
                if floor_of(used).is_some() && !allowed {
                    wrong.push(format!("{}: {}", path.display(), line.trim()));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "these look up or sideways:\n{}", wrong.join("\n"));
}

#[test]
fn every_function_has_a_twin() {
    let folders: BTreeSet<String> = std::fs::read_dir(project("functions"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    for name in &folders {
        assert!(
            project(&format!("src/functions/{name}.rs")).is_file(),
            "functions/{name} has no twin in src/functions"
        );
    }
}

#[test]
fn only_settings_read_the_environment() {
    for (path, text) in sources("src") {
        let settings = path.ends_with("cli/settings.rs");
        for read in ["env::var", "env::vars", "env = \""] {
            assert!(settings || !text.contains(read), "{} reads the environment", path.display());
        }
    }
}

#[test]
fn only_replies_name_http_statuses() {
    for (path, text) in sources("src/functions") {
        let text =
            text.split("//").map(|part| part.lines().next().unwrap_or_default()).collect::<String>() + &text;
        let named = text.contains("StatusCode::");
        let allowed = path.ends_with("reply.rs") || path.ends_with("envelope.rs");
        assert!(allowed || !named, "{} names a status", path.display());
    }
}

#[test]
fn every_source_says_what_it_is() {
    for folder in ["src", "tests"] {
        for (path, text) in sources(folder) {
            assert!(text.starts_with("//! "), "{} does not say what lives there", path.display());
        }
    }
}

#[test]
fn statements_carry_their_names() {
    for folder in ["src/store/sql/sqlite", "src/store/sql/postgres"] {
        for entry in std::fs::read_dir(project(folder)).unwrap() {
            let path = entry.unwrap().path();
            let text = std::fs::read_to_string(&path).unwrap();
            let name = path.file_stem().unwrap().to_str().unwrap();
            assert_eq!(text.lines().next(), Some(format!("-- {name}").as_str()), "{}", path.display());
            assert!(!text.contains("SELECT *"), "{} does not spell its columns out", path.display());
        }
    }
}
