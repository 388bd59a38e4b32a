//! The release: one zip that the platform unpacks and starts. The same input gives the same bytes.

use std::fmt;
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::Command;

use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, DateTime, ZipWriter};

/// Name of the program in the zip, as host.json names it.
pub const EXECUTABLE: &str = "backtests";

/// What the program is built for when nothing else is said: no library of the machine is needed.
pub const TARGET: &str = "x86_64-unknown-linux-musl";

/// The newest glibc that the platform's oldest image has.
const GLIBC: (u32, u32) = (2, 31);

/// A release that cannot be packed.
#[derive(Debug, thiserror::Error)]
pub enum PackageError {
    /// A file.
    #[error("{0}: {1}")]
    File(PathBuf, #[source] std::io::Error),
    /// The zip.
    #[error("write the zip")]
    Zip(#[from] zip::result::ZipError),
    /// Writing into the zip.
    #[error("write the zip")]
    Write(#[from] std::io::Error),
    /// host.json.
    #[error("host.json: {0}")]
    Host(String),
    /// The program.
    #[error("{0}: {1}")]
    Program(PathBuf, String),
    /// The build.
    #[error("{0}")]
    Build(String),
}

/// What a program asks of the machine it runs on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Needs {
    /// Nothing: it is linked statically.
    Nothing,
    /// A C library at least this old or young.
    Glibc(u32, u32),
}

impl fmt::Display for Needs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nothing => f.write_str("statically linked"),
            Self::Glibc(major, minor) => write!(f, "needs glibc {major}.{minor}"),
        }
    }
}

/// Reads from an ELF file for x86-64 Linux what it needs, or says what is wrong with it.
pub fn needs(program: &[u8]) -> Result<Needs, String> {
    let number = |at: usize, width: usize| -> Option<usize> {
        let bytes = program.get(at..at + width)?;
        bytes
            .iter()
            .rev()
            .try_fold(0_usize, |sum, byte| sum.checked_mul(256)?.checked_add(usize::from(*byte)))
    };
    if program.get(..5) != Some(b"\x7fELF\x02") {
        return Err("is not a 64-bit ELF program".to_owned());
    }
    if number(18, 2) != Some(62) {
        return Err("is not a program for x86-64".to_owned());
    }
    let (table, width, count) = (number(32, 8), number(54, 2), number(56, 2));
    let (Some(table), Some(width), Some(count)) = (table, width, count) else {
        return Err("ends before its headers do".to_owned());
    };
    // A program header of type 3 names the loader of shared libraries.
    let dynamic = (0..count).any(|index| number(table + index * width, 4) == Some(3));
    if !dynamic {
        return Ok(Needs::Nothing);
    }
    let prefix = b"GLIBC_";
    let mut newest = (2, 0);
    for start in
        program.windows(prefix.len()).enumerate().filter(|(_, part)| part == prefix).map(|(at, _)| at)
    {
        let text: String = program
            .iter()
            .skip(start + prefix.len())
            .map(|byte| char::from(*byte))
            .take_while(|letter| letter.is_ascii_digit() || *letter == '.')
            .collect();
        let mut parts = text.split('.').map_while(|part| part.parse().ok());
        if let (Some(major), Some(minor)) = (parts.next(), parts.next()) {
            newest = newest.max((major, minor));
        }
    }
    Ok(Needs::Glibc(newest.0, newest.1))
}

/// What was packed.
#[derive(Debug)]
pub struct Release {
    /// The zip.
    pub path: PathBuf,
    /// Its size in bytes.
    pub size: u64,
    /// Size of the program before compression, in bytes.
    pub program_size: u64,
    /// What the program needs.
    pub needs: Needs,
    /// Names of the entries, in order.
    pub entries: Vec<String>,
}

fn read(path: &Path) -> Result<Vec<u8>, PackageError> {
    std::fs::read(path).map_err(|error| PackageError::File(path.to_owned(), error))
}

/// How to pack.
#[derive(Debug, Clone, Copy)]
pub struct Packing {
    /// Take a program that only runs where the C library is younger than the platform's may be.
    pub any_glibc: bool,
    /// Make it small. Without, the same zip is ready at once.
    pub compress: bool,
}

/// Packs host.json, the functions and `program` into `out`.
pub fn pack(root: &Path, program: &Path, out: &Path, packing: Packing) -> Result<Release, PackageError> {
    let binary = read(program)?;
    let fault = |message: String| PackageError::Program(program.to_owned(), message);
    let needs = needs(&binary).map_err(fault)?;
    if let Needs::Glibc(major, minor) = needs
        && (major, minor) > GLIBC
        && !packing.any_glibc
    {
        return Err(fault(format!("{needs}, and the platform may only have {}.{}", GLIBC.0, GLIBC.1)));
    }
    let host = read(&root.join("host.json"))?;
    let parsed: serde_json::Value =
        serde_json::from_slice(&host).map_err(|error| PackageError::Host(error.to_string()))?;
    let path = parsed["customHandler"]["description"]["defaultExecutablePath"].as_str();
    if path != Some(EXECUTABLE) {
        return Err(PackageError::Host(format!(
            "defaultExecutablePath must be `{EXECUTABLE}`, which is packed"
        )));
    }
    // The host finds functions only in direct children of the app root.
    let mut files = vec![("host.json".to_owned(), host, 0o644), (EXECUTABLE.to_owned(), binary, 0o755)];
    let folder = root.join("functions");
    let list_fault = |error| PackageError::File(folder.clone(), error);
    for entry in std::fs::read_dir(&folder).map_err(list_fault)? {
        let entry = entry.map_err(list_fault)?;
        let name = entry.file_name().to_string_lossy().into_owned();
        files.push((format!("{name}/function.json"), read(&entry.path().join("function.json"))?, 0o644));
    }
    files.sort();
    if let Some(parent) = out.parent() {
        std::fs::create_dir_all(parent).map_err(|error| PackageError::File(parent.to_owned(), error))?;
    }
    let file = std::fs::File::create(out).map_err(|error| PackageError::File(out.to_owned(), error))?;
    let mut zip = ZipWriter::new(file);
    let program_size =
        files.iter().find(|(name, ..)| name == EXECUTABLE).map_or(0, |(_, bytes, _)| bytes.len());
    let mut entries = Vec::new();
    for (name, bytes, mode) in files {
        let method = if packing.compress { CompressionMethod::Deflated } else { CompressionMethod::Stored };
        let options = SimpleFileOptions::default()
            .compression_method(method)
            .compression_level(packing.compress.then_some(9))
            .last_modified_time(DateTime::default())
            .unix_permissions(mode);
        zip.start_file(&name, options)?;
        zip.write_all(&bytes)?;
        entries.push(name);
    }
    zip.finish()?;
    let size = std::fs::metadata(out).map_err(|error| PackageError::File(out.to_owned(), error))?.len();
    Ok(Release { path: out.to_owned(), size, program_size: program_size as u64, needs, entries })
}

/// Builds the program for `target` and returns where it lies. Its C parts are compiled by zig, which
/// `python -m pip install cargo-zigbuild ziglang` brings.
pub fn build(root: &Path, target: &str) -> Result<PathBuf, PackageError> {
    let folder = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from);
    let status = Command::new("cargo")
        .args(["zigbuild", "--locked", "--release", "--bin", EXECUTABLE, "--target", target])
        .env("CARGO_PROFILE_RELEASE_STRIP", "symbols")
        .current_dir(root)
        .status()
        .map_err(|error| PackageError::Build(format!("start cargo zigbuild: {error}")))?;
    if !status.success() {
        return Err(PackageError::Build(format!(
            "cargo zigbuild failed; it needs `python -m pip install cargo-zigbuild ziglang` and `rustup target add {target}`"
        )));
    }
    // A target such as `…-gnu.2.31` says how old a glibc may be; its folder is that of the plain target.
    let plain = target.split('.').next().unwrap_or(target);
    Ok(folder.join(plain).join("release").join(EXECUTABLE))
}

/// Name, mode and content of every entry of a zip.
pub fn unpack(path: &Path) -> Result<Vec<(String, u32, Vec<u8>)>, PackageError> {
    let file = std::fs::File::open(path).map_err(|error| PackageError::File(path.to_owned(), error))?;
    let mut archive = zip::ZipArchive::new(file)?;
    let mut entries = Vec::new();
    for index in 0..archive.len() {
        let mut entry = archive.by_index(index)?;
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes)?;
        entries.push((entry.name()?.into_owned(), entry.unix_mode().unwrap_or(0), bytes));
    }
    Ok(entries)
}
