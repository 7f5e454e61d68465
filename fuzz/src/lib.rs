//! Everything that reads files, fed with damaged ones: whatever the bytes, the answer is values or an error.
//!
//! Each function here is given the bytes of a file and uses all that it gets from them. `cargo fuzz` searches
//! for bytes that make one panic, hang or take gigabytes (`README.md` says how); the test of this crate
//! replays what was found and looks around it for a few seconds.

use std::cell::OnceCell;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use tempfile::TempDir;
use wgrad_core::{F32, U32};
use wgrad_data::{
    Characters, Columnar, Csv, CsvFormat, Dataset, ImageFolder, Loader, Sequences, TokenStream, Tokenizer,
    Words, idx as idx_file, series as series_files,
};
use wgrad_train::{Checkpoint, Progress};
use wgrad_weights::Weights;

/// A function that reads bytes, and the folder of its corpus.
pub type Reader = (&'static str, fn(&[u8]));

/// All of them.
pub const READERS: [Reader; 9] = [
    ("checkpoint", checkpoint),
    ("columnar", columnar),
    ("csv", csv),
    ("idx", idx),
    ("image", image),
    ("series", series),
    ("text", text),
    ("tokenizer", tokenizer),
    ("weights", weights),
];

/// Records and values beyond these are not asked for: they would only take time.
const MOST: usize = 1 << 16;

/// Says nothing of panics in other libraries: the readers catch those, and there are many. libFuzzer would end
/// at the first. It still does at one of our own, and at any that is not caught.
pub fn quietly() {
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        let file = panic.location().map_or("", |location| location.file());
        if !file.contains("registry") && !file.contains("rustc") {
            hook(panic);
        }
    }));
}

/// Safetensors and PyTorch's formats. What is read can be written, and is then the same.
pub fn weights(bytes: &[u8]) {
    let Ok(weights) = Weights::from_bytes(bytes.to_vec()) else { return };
    let small = |name: &str| weights.get(name).is_some_and(|entry| entry.shape().numel() < MOST);
    let weights = weights.clone().filter(small);
    for (_, entry) in weights.iter() {
        let _ = (entry.array(), entry.array_as(F32));
    }
    let written = weights.to_bytes().expect("memory can be written to");
    let again = Weights::from_bytes(written).expect("what was written can be read");
    assert_eq!(again.len(), weights.len());
    for (name, entry) in weights.iter() {
        let again = again.get(name).expect("it has the same names");
        assert_eq!((again.stored(), again.to_bytes()), (entry.stored(), entry.to_bytes()));
    }
}

/// Checkpoints of a training, and what they hold beside the variables.
pub fn checkpoint(bytes: &[u8]) {
    let _ = in_file("step-1.safetensors", bytes, |path| Checkpoint::read(path).map(|found| found.step()));
    if let Ok(progress) = serde_json::from_slice::<Progress>(bytes) {
        let text = serde_json::to_string(&progress).expect("progress can be written");
        let again = serde_json::from_str::<Progress>(&text).expect("what was written can be read");
        assert_eq!(serde_json::to_string(&again).expect("progress can be written"), text);
    }
}

/// IDX files, plain and gzipped.
pub fn idx(bytes: &[u8]) {
    for axes in [1, 3] {
        if let Ok(file) = in_file("idx", bytes, |path| idx_file::read(path, axes)) {
            assert_eq!(file.shape.iter().product::<usize>(), file.values.len());
        }
    }
}

/// Tables of text.
pub fn csv(bytes: &[u8]) {
    for format in [CsvFormat::comma(), CsvFormat::tab().no_header()] {
        let Ok(table) = in_file("table.csv", bytes, |path| Csv::read_as(path, format)) else { continue };
        let columns: Vec<String> = table.columns().iter().take(8).cloned().collect();
        for column in &columns {
            let _ = (table.numbers(column), table.classes(column));
        }
        let names: Vec<&str> = columns.iter().map(String::as_str).collect();
        if let Ok((good, bad)) = table.clone().skip_bad(&names) {
            assert_eq!(good.len() + bad.len(), table.len());
        }
        if let [features @ .., label] = &names[..] {
            let _ = (table.labelled(features, label), table.regression(features, label));
        }
    }
}

/// Time series.
pub fn series(bytes: &[u8]) {
    FOLDER.with(|folder| {
        let folder = folder.get_or_init(made);
        for part in ["TRAIN", "TEST"] {
            fs::write(folder.path().join(format!("Toy_{part}.ts")), bytes).expect("the folder is ours");
        }
        let _ = series_files(folder.path(), "Toy");
    });
}

/// Images in a folder: as PNG and as JPEG, whatever they are.
pub fn image(bytes: &[u8]) {
    for name in ["class/image.png", "class/image.jpg"] {
        let read = |path: &Path| {
            let root = path.parent().and_then(Path::parent).expect("it is two levels down");
            let images = ImageFolder::open(root, 4, 4).expect("the folder has an image");
            images.load().map(|images| images.len())
        };
        let _ = in_file(name, bytes, read);
    }
}

/// Parquet and Arrow files: every column as numbers, as padded lists and as text, streamed and whole.
pub fn columnar(bytes: &[u8]) {
    let read = |path: &Path| {
        let Ok(table) = Columnar::open(path) else { return };
        if table.len() > MOST {
            return;
        }
        for column in table.columns().into_iter().take(8) {
            let _ = (table.numbers(column), table.text(column));
            let fields =
                [table.clone().field("x", F32, &[column]), table.clone().padded("x", U32, column, 3, 0.0)];
            for field in fields.into_iter().flatten() {
                if field.fields().iter().all(|(_, spec)| spec.bytes() < MOST) {
                    let _ = field.clone().fill_nulls(0.0).load();
                    Loader::new(field, 2).workers(0).skip_bad().epoch(0).take(2).for_each(drop);
                }
            }
        }
    };
    in_file("table.parquet", bytes, read);
}

/// Descriptions of tokenizers, each put to work.
pub fn tokenizer(bytes: &[u8]) {
    let Ok(tokenizer) = Tokenizer::from_bytes(bytes) else { return };
    if tokenizer.len() > MOST {
        return;
    }
    let texts = ["", "A cat 🦓, a dog.", "\u{0}é\r\n\t", "aaaaaaaaaaaaaaaa"];
    for tokens in texts.iter().filter_map(|text| tokenizer.encode(text).ok()) {
        assert!(tokens.iter().all(|&token| (token as usize) < tokenizer.len()));
        let _ = tokenizer.decode(&tokens);
    }
    let _ = (tokenizer.encode_all(&texts), tokenizer.decode(&[0, 7, u32::MAX]), tokenizer.token("a"));
}

/// Text by characters, words and byte pairs; and the datasets made of it.
pub fn text(bytes: &[u8]) {
    static PAIRS: LazyLock<Tokenizer> =
        LazyLock::new(|| Tokenizer::train(&["the cat sat on the mat"], 280, &["<end>"]).expect("it is text"));
    let Ok(text) = std::str::from_utf8(bytes) else {
        assert!(in_file("text", bytes, |path| PAIRS.encode_file(path)).is_err());
        return;
    };
    let characters = Characters::of(text);
    let tokens = characters.encode(text).expect("they are its own");
    assert_eq!(characters.decode(&tokens), text);
    let words = Words::of([text], 1);
    let numbers = words.encode(text);
    assert!(numbers.iter().all(|&word| word > Words::OTHER && (word as usize) < words.len()));
    let pairs = PAIRS.encode(text).expect("every byte is a token");
    if !text.contains("<end>") {
        assert_eq!(PAIRS.decode(&pairs).expect("they are its own"), text);
    }
    let _ = in_file("text", bytes, |path| PAIRS.encode_file(path));
    for length in [0, 1, 5] {
        let stream = TokenStream::new(tokens.clone(), length).stride(2);
        Loader::new(stream.split(0.5).1, 2).workers(0).epoch(0).take(2).for_each(drop);
    }
    let lines: Vec<Vec<u32>> = text.lines().map(|line| words.encode(line)).collect();
    let labels = vec![0; lines.len()];
    let sequences = Sequences::new(lines, labels, 1).expect("there is a label for each");
    let in_buckets: usize = sequences.buckets(&[2, 4]).iter().map(Dataset::len).sum();
    assert_eq!(in_buckets, sequences.len());
}

thread_local! {
    static FOLDER: OnceCell<TempDir> = const { OnceCell::new() };
}

/// A folder, in memory where the system has such.
fn made() -> TempDir {
    let memory = Path::new("/dev/shm");
    let made = if memory.is_dir() { TempDir::new_in(memory) } else { TempDir::new() };
    made.expect("there is a place for temporary files")
}

/// Lets bytes be read from a file of a name; each name but one file's, the folder is empty.
fn in_file<T>(name: &str, bytes: &[u8], read: impl FnOnce(&Path) -> T) -> T {
    FOLDER.with(|folder| {
        let path: PathBuf = folder.get_or_init(made).path().join(name);
        fs::create_dir_all(path.parent().expect("it lies in the folder")).expect("the folder is ours");
        fs::write(&path, bytes).expect("the folder is ours");
        let result = read(&path);
        fs::remove_file(&path).expect("the folder is ours");
        result
    })
}
