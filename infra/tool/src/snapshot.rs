//! The committed snapshots: what each parameter file deploys, as the compiler predicted it. Values that only Azure knows
//! stay expressions such as `[format('https://{0}.blob.{1}', 'account', environment().suffixes.storage)]`.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use crate::azure::Failure;
use crate::files;

/// What one parameter file deploys.
#[derive(Debug, Clone)]
pub struct Snapshot {
    /// Where it lies, as seen from the project.
    pub path: PathBuf,
    document: Value,
}

/// A predicted resource.
#[derive(Debug, Clone, Copy)]
pub struct Resource<'s>(&'s Value);

impl Snapshot {
    /// Reads those of all parameter files below `root`.
    pub fn load_all(root: &Path) -> Result<Vec<Self>, Failure> {
        let load = |parameters: PathBuf| {
            let path = files::snapshot_of(&parameters);
            let document = serde_json::from_str(&files::read(root, &path)?)
                .map_err(|error| Failure::new(format!("{} is not JSON: {error}", path.display())))?;
            Ok(Self { path, document })
        };
        files::parameter_files(root)?.into_iter().map(load).collect()
    }

    /// Name of its parameter file: dev, team, ha or every-option.
    pub fn name(&self) -> &str {
        let name = self.path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        name.strip_suffix(".snapshot.json").unwrap_or(name)
    }

    /// All resources.
    pub fn resources(&self) -> impl Iterator<Item = Resource<'_>> {
        self.document["predictedResources"].as_array().into_iter().flatten().map(Resource)
    }

    /// Resources of a type.
    pub fn of(&self, kind: &str) -> impl Iterator<Item = Resource<'_>> {
        self.resources().filter(move |one| one.kind() == kind)
    }

    /// Names of the resources of a type, each without the names of its parents.
    pub fn names(&self, kind: &str) -> BTreeSet<&str> {
        self.of(kind).map(Resource::own_name).collect()
    }

    /// Settings of the app; empty if there are none.
    pub fn app_settings(&self) -> impl Iterator<Item = (&str, &str)> {
        let config = self.of("Microsoft.Web/sites/config").find(|one| one.own_name() == "appsettings");
        let settings = config.and_then(|one| one.0["properties"].as_object());
        settings
            .into_iter()
            .flatten()
            .map(|(name, value)| (name.as_str(), value.as_str().unwrap_or_default()))
    }

    /// Value of a setting of the app.
    pub fn setting(&self, name: &str) -> Option<&str> {
        self.app_settings().find(|(one, _)| *one == name).map(|(_, value)| value)
    }

    /// What the deployment gives to the steps after it.
    pub fn outputs(&self) -> Option<&Map<String, Value>> {
        self.document["outputs"].as_object()
    }
}

impl<'s> Resource<'s> {
    fn text(self, key: &str) -> &'s str {
        self.0[key].as_str().unwrap_or_default()
    }

    /// Its type.
    pub fn kind(self) -> &'s str {
        self.text("type")
    }

    /// Version of the interface that makes it.
    pub fn api_version(self) -> &'s str {
        self.text("apiVersion")
    }

    /// Its name, behind those of its parents: `account/default/queue`.
    pub fn name(self) -> &'s str {
        self.text("name")
    }

    /// The last part of its name.
    pub fn own_name(self) -> &'s str {
        self.name().rsplit('/').next().unwrap_or_default()
    }

    /// What it hangs below: the first part of its name.
    pub fn owner(self) -> &'s str {
        self.name().split('/').next().unwrap_or_default()
    }

    /// A value of its body, by JSON pointer.
    pub fn get(self, pointer: &str) -> Option<&'s Value> {
        self.0.pointer(pointer)
    }
}

/// The texts that are written in a value: those between quotes if it is an expression, else itself.
pub fn written(value: &str) -> Vec<&str> {
    if value.starts_with('[') { value.split('\'').skip(1).step_by(2).collect() } else { vec![value] }
}
