//! The house rules that a linter cannot see: floors, functions, the environment, first lines.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use crate::support::service::project;

/// Modules by floor; a module uses only those below it. `devhost` stands beside the house.
const FLOORS: [(&str, u8); 13] = [
    ("engine", 0),
    ("run", 0),
    ("signal", 0),
    ("clock", 0),
    ("digest", 0),
    ("ncrontab", 0),
    ("telemetry", 0),
    ("statistics", 0),
    ("store", 1),
    ("work", 2),
    ("functions", 3),
    ("cli", 4),
    ("devhost", 4),
];

/// Uses inside a floor that are part of its meaning: identities and moments are words of the same protocol, and a schedule
/// means the same to the local host as to the service.
const NEIGHBOURS: [(&str, &str); 3] = [("run", "clock"), ("cli", "devhost"), ("devhost", "ncrontab")];

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

/// A path of modules.
type Module = Vec<String>;

/// The modules of the program, each with the text of its file, without comments.
fn modules() -> BTreeMap<Module, String> {
    let root = project("src");
    let files = sources("src").into_iter().map(|(path, text)| {
        let below = path.strip_prefix(&root).unwrap().with_extension("");
        let mut module: Module =
            below.components().map(|part| part.as_os_str().to_str().unwrap().to_owned()).collect();
        module.retain(|part| part != "mod");
        let code = text.lines().map(|line| line.split("//").next().unwrap_or_default());
        (module, code.collect::<Vec<_>>().join("\n"))
    });
    files.filter(|(module, _)| !["lib", "main"].contains(&module[0].as_str())).collect()
}

/// What a `use` names, braces multiplied out.
fn spelled_out(path: &str) -> Vec<String> {
    let Some((before, inside)) = path.split_once('{') else {
        let name = path.split(" as ").next().unwrap_or_default();
        return vec![name.trim().to_owned()];
    };
    let inside = inside.rsplit_once('}').map_or(inside, |(inside, _)| inside);
    let (mut parts, mut depth) = (vec![String::new()], 0);
    for letter in inside.chars() {
        depth += i32::from(letter == '{') - i32::from(letter == '}');
        if letter == ',' && depth == 0 {
            parts.push(String::new());
        } else {
            parts.last_mut().unwrap().push(letter);
        }
    }
    let parts = parts.iter().filter(|part| !part.trim().is_empty());
    parts
        .flat_map(|part| spelled_out(part).into_iter().map(|rest| format!("{}{rest}", before.trim())))
        .collect()
}

/// The modules that a file looks at. A folder's face and what lies in the folder may know each other.
fn looked_at(module: &Module, code: &str, all: &BTreeMap<Module, String>) -> BTreeSet<Module> {
    let uses = code.split("use ").skip(1).filter_map(|rest| rest.split(';').next());
    let mut paths: Vec<String> = uses.flat_map(spelled_out).collect();
    let words = code.split(|c: char| !c.is_alphanumeric() && c != '_' && c != ':');
    paths.extend(words.filter(|word| word.contains("::")).map(str::to_owned));
    let mut found = BTreeSet::new();
    for path in paths {
        let mut parts: Vec<&str> = path.split("::").map(str::trim).collect();
        let mut place = if parts[0] == "crate" { Vec::new() } else { module.clone() };
        if !["crate", "super", "self"].contains(&parts[0]) {
            continue;
        }
        while let Some(&first) = parts.first().filter(|part| ["crate", "super", "self"].contains(part)) {
            if first == "super" {
                place.pop();
            }
            parts.remove(0);
        }
        place.extend(parts.into_iter().map(str::to_owned));
        while !place.is_empty() && !all.contains_key(&place) {
            place.pop();
        }
        if !place.is_empty() && !place.starts_with(module) && !module.starts_with(&place) {
            found.insert(place);
        }
    }
    found
}

/// Files that look at each other, straight or by way of others, can only be read together.
#[test]
fn files_do_not_look_at_each_other_in_circles() {
    let all = modules();
    let edges: BTreeMap<&Module, BTreeSet<Module>> =
        all.iter().map(|(module, code)| (module, looked_at(module, code, &all))).collect();
    let reached = |from: &Module| {
        let (mut seen, mut open) = (BTreeSet::new(), vec![from.clone()]);
        while let Some(module) = open.pop() {
            for next in &edges[&module] {
                if seen.insert(next.clone()) {
                    open.push(next.clone());
                }
            }
        }
        seen
    };
    let reach: BTreeMap<&Module, BTreeSet<Module>> =
        all.keys().map(|module| (module, reached(module))).collect();
    assert!(reach.values().map(BTreeSet::len).max() > Some(20), "the arrows were not found");
    let mut circles = BTreeSet::new();
    for (module, seen) in &reach {
        for other in seen.iter().filter(|other| *other > *module && reach[other].contains(*module)) {
            circles.insert([module.join("::"), other.join("::")]);
        }
    }
    assert!(circles.is_empty(), "these look at each other: {circles:?}");
}
