//! Images in folders, one folder for each class.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use image::error::{LimitError, LimitErrorKind};
use image::imageops::{FilterType, resize};
use image::{DynamicImage, ImageDecoder, ImageError, ImageReader, Rgb, RgbImage};
use wgrad_core::{F32, TensorSpec, U32};

use crate::error::FileProblem;
use crate::{DataError, Dataset, Labelled, Record};

/// Larger images are refused before memory is made ready for them: their headers are damaged, most likely.
const MOST_PIXELS: u64 = 1 << 26;

/// The PNG and JPEG files in the folders of a directory, a class for each folder in alphabetical order
/// (torchvision's `ImageFolder`): `image` f32\[3, height, width\] in 0..1 and `label` u32\[\]. Files are
/// decoded by the loader's threads, and scaled to one size with a triangle filter. An image has at most 2²⁶
/// pixels.
///
/// ```no_run
/// use wgrad_data::{Dataset, ImageFolder, Loader};
/// let emoji = ImageFolder::open("data/emoji", 96, 96)?;
/// println!("{} images in {:?}", emoji.len(), emoji.classes());
/// let loader = Loader::new(emoji, 32).shuffle(7).workers(4).skip_bad();
/// # Ok::<(), wgrad_data::DataError>(())
/// ```
#[derive(Clone, Debug)]
pub struct ImageFolder {
    root: PathBuf,
    classes: Arc<[String]>,
    /// Paths below the root, and their classes.
    files: Arc<[(PathBuf, u32)]>,
    height: usize,
    width: usize,
    background: [u8; 3],
}

impl ImageFolder {
    /// Lists the files of a directory. Errors: it cannot be read, or has no folder with images.
    pub fn open(dir: impl AsRef<Path>, height: usize, width: usize) -> Result<Self, DataError> {
        let root = dir.as_ref().to_owned();
        let classes: Vec<String> = entries(&root, &root)?
            .into_iter()
            .filter(|folder| root.join(folder).is_dir())
            .map(|folder| folder.to_string_lossy().into_owned())
            .collect();
        let mut files = Vec::new();
        for (class, label) in classes.iter().zip(0..) {
            let images = entries(&root, &root.join(class))?;
            files.extend(images.into_iter().filter(|path| is_image(path)).map(|path| (path, label)));
        }
        if files.is_empty() {
            let problem = FileProblem::Format("has no folders with PNG or JPEG files".into());
            return Err(DataError::File { path: root, problem });
        }
        let (classes, files) = (classes.into(), files.into());
        Ok(Self { root, classes, files, height, width, background: [255; 3] })
    }

    /// What shows through transparent parts; white unless chosen.
    pub fn background(self, background: [u8; 3]) -> Self {
        Self { background, ..self }
    }

    /// Only the named classes, whose labels follow the order of the names. Errors: a folder that is not there.
    ///
    /// ```no_run
    /// use wgrad_data::ImageFolder;
    /// let things = ImageFolder::open("data/emoji", 96, 96)?.only(&["food", "animals"])?;
    /// assert_eq!(things.classes(), ["food", "animals"]);
    /// # Ok::<(), wgrad_data::DataError>(())
    /// ```
    pub fn only(&self, classes: &[impl AsRef<str>]) -> Result<Self, DataError> {
        let mut files = Vec::new();
        for (class, label) in classes.iter().map(AsRef::as_ref).zip(0..) {
            let old = self.classes.iter().position(|known| known == class).ok_or_else(|| {
                let problem = format!("has no folder `{class}`; it has {}", self.classes.join(", "));
                DataError::File { path: self.root.clone(), problem: FileProblem::Format(problem) }
            })?;
            let chosen = self.files.iter().filter(|(_, label)| *label as usize == old);
            files.extend(chosen.map(|(path, _)| (path.clone(), label)));
        }
        let classes = classes.iter().map(|class| class.as_ref().into()).collect();
        Ok(Self { classes, files: files.into(), ..self.clone() })
    }

    /// The names of the folders, in the order of their labels.
    pub fn classes(&self) -> &[String] {
        &self.classes
    }

    /// The labels of all records, in order.
    pub fn labels(&self) -> impl Iterator<Item = u32> + '_ {
        self.files.iter().map(|(_, label)| *label)
    }

    /// All images in memory, for sets small enough.
    pub fn load(&self) -> Result<Labelled, DataError> {
        let images = (0..self.len()).map(|record| self.planes(record)).collect::<Result<Vec<_>, _>>()?;
        let shape = [3, self.height, self.width];
        let labels = self.labels().collect();
        Labelled::from_bytes("image", shape, images.concat(), 255.0, labels, self.classes.len())
    }

    /// The bytes of an image, channel by channel.
    fn planes(&self, record: usize) -> Result<Vec<u8>, DataError> {
        let missing = DataError::NoSuchRecord { record, records: self.len() };
        let path = self.root.join(&self.files.get(record).ok_or(missing)?.0);
        let image = self.decode(&path).map_err(|error| DataError::File { path, problem: problem(error) })?;
        Ok((0..3).flat_map(|channel| image.pixels().map(move |pixel| pixel[channel])).collect())
    }

    fn decode(&self, path: &Path) -> Result<RgbImage, ImageError> {
        let decoder = ImageReader::open(path)?.into_decoder()?;
        let (width, height) = decoder.dimensions();
        if u64::from(width) * u64::from(height) > MOST_PIXELS {
            return Err(ImageError::Limits(LimitError::from_kind(LimitErrorKind::DimensionError)));
        }
        let rgba = DynamicImage::from_decoder(decoder)?.into_rgba8();
        let mut opaque = RgbImage::new(rgba.width(), rgba.height());
        for (target, source) in opaque.pixels_mut().zip(rgba.pixels()) {
            let alpha = u32::from(source[3]);
            let blend = |channel: usize| {
                let (over, under) = (u32::from(source[channel]), u32::from(self.background[channel]));
                ((over * alpha + under * (255 - alpha) + 127) / 255) as u8
            };
            *target = Rgb([0, 1, 2].map(blend));
        }
        Ok(resize(&opaque, self.width as u32, self.height as u32, FilterType::Triangle))
    }
}

impl Dataset for ImageFolder {
    fn len(&self) -> usize {
        self.files.len()
    }

    fn fields(&self) -> Vec<(String, TensorSpec)> {
        let image = TensorSpec::new(F32, [3, self.height, self.width]);
        vec![("image".into(), image), ("label".into(), TensorSpec::new(U32, []))]
    }

    fn name(&self, record: usize) -> Option<String> {
        self.files.get(record).map(|(path, _)| path.display().to_string())
    }

    fn write(&self, record: usize, sink: &mut Record<'_>) -> Result<(), DataError> {
        let planes = self.planes(record)?;
        sink.write_iter("image", planes.into_iter().map(|value| f32::from(value) / 255.0))?;
        sink.write("label", &[self.files[record].1])
    }
}

/// What lies in a folder, as sorted paths below the root.
fn entries(root: &Path, folder: &Path) -> Result<Vec<PathBuf>, DataError> {
    let io = DataError::io(folder);
    let mut paths = Vec::new();
    for entry in fs::read_dir(folder).map_err(&io)? {
        let path = entry.map_err(&io)?.path();
        paths.push(path.strip_prefix(root).unwrap_or(&path).to_owned());
    }
    paths.sort();
    Ok(paths)
}

fn is_image(path: &Path) -> bool {
    let extension = path.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
    ["png", "jpg", "jpeg"].iter().any(|known| extension.eq_ignore_ascii_case(known))
}

fn problem(error: ImageError) -> FileProblem {
    match error {
        ImageError::IoError(error) => FileProblem::Io(Arc::new(error)),
        other => FileProblem::Format(other.to_string()),
    }
}
