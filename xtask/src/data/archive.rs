//! Chosen files out of archives.

use std::collections::BTreeMap;
use std::io::{Cursor, Read};
use std::path::Path;

use flate2::read::GzDecoder;
use zip::ZipArchive;

use crate::error::{Error, Result};

/// Contents by path, in the order of the paths.
pub(super) type Files = BTreeMap<String, Vec<u8>>;

/// The name of a file that lies in a folder of the archive and is one of those wanted.
pub(super) fn pick(path: &str, folder: &str, wanted: &[&str]) -> Option<String> {
    let name = path.trim_start_matches("./").strip_prefix(folder)?.strip_prefix('/')?;
    wanted.contains(&name).then(|| name.into())
}

fn broken() -> impl FnOnce(std::io::Error) -> Error {
    Error::io(Path::new("the package's archive"))
}

/// The files of a tar archive for which `keep` gives a new path.
pub(super) fn tar(archive: impl Read, keep: impl Fn(&str) -> Option<String>) -> Result<Files> {
    let mut files = Files::new();
    for entry in tar::Archive::new(archive).entries().map_err(broken())? {
        let mut entry = entry.map_err(broken())?;
        let path = entry.path().map_err(broken())?.to_string_lossy().into_owned();
        if let Some(name) = keep(&path) {
            let mut bytes = vec![];
            entry.read_to_end(&mut bytes).map_err(broken())?;
            files.insert(name, bytes);
        }
    }
    Ok(files)
}

/// [`mod@tar`] of a gzipped archive.
pub(super) fn tar_gz(archive: &[u8], keep: impl Fn(&str) -> Option<String>) -> Result<Files> {
    tar(GzDecoder::new(archive), keep)
}

/// The same of a zip archive.
pub(super) fn zip(archive: &[u8], keep: impl Fn(&str) -> Option<String>) -> Result<Files> {
    let zipped = |error: zip::result::ZipError| broken()(error.into());
    let mut files = Files::new();
    let mut archive = ZipArchive::new(Cursor::new(archive)).map_err(zipped)?;
    for index in 0..archive.len() {
        let mut entry = archive.by_index(index).map_err(zipped)?;
        if let Some(name) = keep(entry.name()) {
            let mut bytes = vec![];
            entry.read_to_end(&mut bytes).map_err(broken())?;
            files.insert(name, bytes);
        }
    }
    Ok(files)
}

/// A gzipped tar archive of files that contain their own names.
#[cfg(test)]
pub(super) fn packed(names: &[impl AsRef<str>]) -> Vec<u8> {
    use flate2::{Compression, write::GzEncoder};
    let mut tar = tar::Builder::new(GzEncoder::new(vec![], Compression::fast()));
    for name in names.iter().map(AsRef::as_ref) {
        let mut header = tar::Header::new_gnu();
        header.set_size(name.len() as u64);
        header.set_mode(0o644);
        tar.append_data(&mut header, name, name.as_bytes()).unwrap();
    }
    tar.into_inner().unwrap().finish().unwrap()
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    const WANTED: [&str; 2] = ["one", "two"];

    #[test]
    fn picks_by_folder_and_name() {
        assert_eq!(pick("package/data/one", "package/data", &WANTED).unwrap(), "one");
        assert_eq!(pick("./usr/share/two", "usr/share", &WANTED).unwrap(), "two");
        for path in ["package/one", "package/data/three", "package/data/more/one", "package/database/one"] {
            assert_eq!(pick(path, "package/data", &WANTED), None, "{path}");
        }
    }

    #[test]
    fn tar_archives_give_what_is_asked_for() {
        let archive = packed(&["a/one", "a/two", "a/three"]);
        let files = tar_gz(&archive, |path| pick(path, "a", &WANTED)).unwrap();
        assert_eq!(files, Files::from([("one".into(), b"a/one".into()), ("two".into(), b"a/two".into())]));
    }

    #[test]
    fn zip_archives_give_what_is_asked_for() {
        let mut zipped = zip::ZipWriter::new(Cursor::new(vec![]));
        for name in ["a/one", "a/three"] {
            zipped.start_file(name, zip::write::SimpleFileOptions::default()).unwrap();
            zipped.write_all(name.as_bytes()).unwrap();
        }
        let archive = zipped.finish().unwrap().into_inner();
        let files = super::zip(&archive, |path| pick(path, "a", &WANTED)).unwrap();
        assert_eq!(files, Files::from([("one".into(), b"a/one".into())]));
        for cut in [0, 10, archive.len() - 1] {
            assert!(matches!(super::zip(&archive[..cut], |_| None), Err(Error::Io { .. })));
        }
    }

    #[test]
    fn damaged_archives_are_errors() {
        let archive = packed(&["a/one"]);
        assert!(matches!(tar_gz(&archive[..archive.len() / 2], |_| Some("x".into())), Err(Error::Io { .. })));
        assert!(matches!(tar_gz(b"not an archive", |_| None), Err(Error::Io { .. })));
    }
}
