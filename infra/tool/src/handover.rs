//! Passwords that were made, and who gets to see them: nobody, unless somebody asked for it and nobody else can look.

use std::io::{IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};

use crate::azure::{Failure, Secret, say};

/// Where the passwords of one command go.
#[derive(Debug)]
pub struct HandOver {
    print: bool,
    file: Option<PathBuf>,
    /// Lines of the file so far.
    made: String,
}

impl HandOver {
    /// On the terminal (`print`), into a file, or nowhere. Refuses to print where others may read along.
    pub fn new(print: bool, file: Option<PathBuf>) -> Result<Self, Failure> {
        if print && !output_is_private() {
            return Err(Failure::new(
                "--emit-secrets prints on a terminal or into a file of mode 0600 only; or use --secrets-file",
            ));
        }
        Ok(Self { print, file, made: String::new() })
    }

    /// Shows or writes passwords if that was asked for.
    pub fn add(&mut self, secrets: &[(String, Secret)]) -> Result<(), Failure> {
        let lines: String =
            secrets.iter().map(|(login, secret)| format!("{login}={}\n", secret.reveal())).collect();
        if self.print {
            say(lines.trim_end());
        } else if let Some(path) = &self.file {
            self.made += &lines;
            write_private(path, &self.made)
                .map_err(|error| Failure::new(format!("write {}: {error}", path.display())))?;
            say(format_args!("{} passwords are in {}", secrets.len(), path.display()));
        } else {
            let names: Vec<&str> = secrets.iter().map(|(login, _)| login.as_str()).collect();
            say(format_args!(
                "passwords of {}: (not shown; --emit-secrets or --secrets-file)",
                names.join(", ")
            ));
        }
        Ok(())
    }
}

/// Whether only this user sees what is printed: on a terminal, or in a file that is nobody else's to read.
fn output_is_private() -> bool {
    use std::os::fd::AsFd as _;
    use std::os::unix::fs::MetadataExt as _;
    let output = std::io::stdout();
    let file = output.as_fd().try_clone_to_owned().map(std::fs::File::from);
    let about = file.and_then(|file| file.metadata());
    output.is_terminal() || about.is_ok_and(|about| about.is_file() && about.mode() & 0o077 == 0)
}

/// Writes a file that its owner alone may read. What stood there before is replaced as a whole.
fn write_private(path: &Path, text: &str) -> std::io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    // Made with mode 0600.
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    file.write_all(text.as_bytes())?;
    file.persist(path)?;
    Ok(())
}
