//! The Bicep files as text: which there are, and the little that is read from them without the compiler. What they mean
//! is the compiler's business.

use std::path::{Path, PathBuf};

use crate::azure::Failure;

/// Folder of the files, as seen from the project.
const FOLDER: &str = "infra";

/// Paths, as seen from `root`, and texts of all `*.bicep` and `*.bicepparam`, in order.
pub fn sources(root: &Path) -> Result<Vec<(PathBuf, String)>, Failure> {
    let (mut found, mut folders) = (Vec::new(), vec![PathBuf::from(FOLDER)]);
    while let Some(folder) = folders.pop() {
        for path in list(root, &folder)? {
            if root.join(&path).is_dir() {
                if path != Path::new(FOLDER).join("tool") {
                    folders.push(path);
                }
            } else if path.extension().is_some_and(|kind| kind == "bicep" || kind == "bicepparam") {
                let text = read(root, &path)?;
                found.push((path, text));
            }
        }
    }
    found.sort();
    Ok(found)
}

/// Paths of the parameter files, as seen from `root`, in order.
pub fn parameter_files(root: &Path) -> Result<Vec<PathBuf>, Failure> {
    let mut found = list(root, Path::new(FOLDER))?;
    found.retain(|path| path.extension().is_some_and(|kind| kind == "bicepparam"));
    Ok(found)
}

/// The snapshot of a parameter file.
pub fn snapshot_of(parameters: &Path) -> PathBuf {
    parameters.with_extension("snapshot.json")
}

/// The environment variables that parameter files read.
pub fn variables(root: &Path) -> Result<Vec<String>, Failure> {
    let mut found = Vec::new();
    for path in parameter_files(root)? {
        found.extend(variables_of(&read(root, &path)?).into_iter().map(str::to_owned));
    }
    found.sort();
    found.dedup();
    Ok(found)
}

/// The environment variables that a text reads.
pub fn variables_of(text: &str) -> Vec<&str> {
    text.split("readEnvironmentVariable(")
        .skip(1)
        .filter_map(|rest| rest.trim_start().strip_prefix('\'')?.split('\'').next())
        .collect()
}

/// Names and values of a parameter file's parameters, in order; values as they are written.
pub fn assignments(text: &str) -> Vec<(&str, &str)> {
    let parts = text.split("\nparam ").skip(1);
    parts
        .filter_map(|part| {
            let (name, value) = part.split_once(" = ")?;
            // What follows below a comment or a blank line belongs to the next.
            let end = value.find("\n\n").into_iter().chain(value.find("\n//")).min().unwrap_or(value.len());
            Some((name, value[..end].trim()))
        })
        .collect()
}

/// Names of a template's parameters.
pub fn parameters(text: &str) -> impl Iterator<Item = &str> {
    text.lines().filter_map(|line| line.strip_prefix("param ")?.split(' ').next())
}

/// The number that a decorator such as `maxValue` gives to a parameter.
pub fn bound(text: &str, parameter: &str, decorator: &str) -> Option<i64> {
    let lines: Vec<&str> = text.lines().collect();
    let place = lines.iter().position(|line| line.starts_with(&format!("param {parameter} ")))?;
    let above = lines[..place].iter().rev().take_while(|line| !line.trim().is_empty());
    let opening = format!("@{decorator}(");
    above.filter_map(|line| line.strip_prefix(&opening)?.strip_suffix(')')?.parse().ok()).next()
}

/// Reads a file below `root`.
pub fn read(root: &Path, path: &Path) -> Result<String, Failure> {
    std::fs::read_to_string(root.join(path))
        .map_err(|error| Failure::new(format!("read {}: {error}", path.display())))
}

/// Paths in a folder, as seen from `root`, in order.
pub fn list(root: &Path, folder: &Path) -> Result<Vec<PathBuf>, Failure> {
    let fault = |error| Failure::new(format!("read {}: {error}", folder.display()));
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(root.join(folder)).map_err(fault)? {
        paths.push(folder.join(entry.map_err(fault)?.file_name()));
    }
    paths.sort();
    Ok(paths)
}
