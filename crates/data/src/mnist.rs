//! The four files of MNIST, or of a set in its format such as Fashion-MNIST.

use std::path::{Path, PathBuf};

use crate::error::FileProblem;
use crate::{DataError, Labelled, idx};

/// The training and the test images of MNIST or Fashion-MNIST in a directory, as `image` f32\[1, 28, 28\]
/// in 0..1 and `label` u32\[\] below 10. The extents of the images are the files' own.
///
/// The files keep their published names: `train-images-idx3-ubyte` (or `train-images.idx3-ubyte`),
/// `train-labels-idx1-ubyte`, `t10k-images-idx3-ubyte`, `t10k-labels-idx1-ubyte`, each with or without `.gz`.
///
/// ```no_run
/// let (train, test) = wgrad_data::mnist("data/mnist")?;
/// let (mean, deviation) = train.moments(); // 0.1307 and 0.3081
/// let train = train.normalized(mean, deviation)?;
/// # Ok::<(), wgrad_data::DataError>(())
/// ```
///
/// Source: Y. LeCun, L. Bottou, Y. Bengio, P. Haffner, "Gradient-based learning applied to document
/// recognition", 1998; H. Xiao, K. Rasul, R. Vollgraf, "Fashion-MNIST", 2017.
pub fn mnist(dir: impl AsRef<Path>) -> Result<(Labelled, Labelled), DataError> {
    let dir = dir.as_ref();
    Ok((part(dir, "train")?, part(dir, "t10k")?))
}

fn part(dir: &Path, part: &str) -> Result<Labelled, DataError> {
    let image_path = find(dir, &format!("{part}-images"), "idx3-ubyte")?;
    let label_path = find(dir, &format!("{part}-labels"), "idx1-ubyte")?;
    let images = idx::read(image_path, 3)?;
    let labels = idx::read(&label_path, 1)?.values;
    let wrong =
        |error| DataError::File { path: label_path.clone(), problem: FileProblem::Content(Box::new(error)) };
    if labels.len() != images.shape[0] {
        let (expected, got) = (images.shape[0], labels.len());
        return Err(wrong(DataError::Count { field: "label".into(), expected, got }));
    }
    let labels = labels.into_iter().map(u32::from).collect();
    let shape = [1, images.shape[1], images.shape[2]];
    Labelled::from_bytes("image", shape, images.values, 255.0, labels, 10).map_err(wrong)
}

/// The file under whichever of its usual names it has.
fn find(dir: &Path, stem: &str, kind: &str) -> Result<PathBuf, DataError> {
    let plain = ["-", "."].map(|separator| format!("{stem}{separator}{kind}"));
    let names: Vec<String> = plain.iter().flat_map(|name| [name.clone(), format!("{name}.gz")]).collect();
    let found = names.iter().map(|name| dir.join(name)).find(|path| path.is_file());
    found.ok_or_else(|| DataError::File { path: dir.into(), problem: FileProblem::Missing { names } })
}
