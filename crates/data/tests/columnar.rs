//! Parquet and Arrow files: columns of all kinds, several groups, nulls, and what is wrong with them.
#![cfg(feature = "arrow")]

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow_array::types::{Float32Type, Int64Type};
use arrow_array::{
    ArrayRef, BooleanArray, FixedSizeListArray, Float64Array, Int64Array, ListArray, RecordBatch, StringArray,
};
use parquet::arrow::ArrowWriter;
use parquet::basic::Compression;
use parquet::file::properties::{WriterProperties, WriterVersion};
use tempfile::TempDir;
use wgrad_core::batch::{Batch, HostMemory};
use wgrad_core::{Bool, F16, F32, I32, U32};
use wgrad_data::{Columnar, DataError, Dataset, Loader, Sampler, TensorDataset};

/// Ten rows: a number that is null in row 3, its square, whether it is even, a pair, a list as long as the
/// number mod 4, and its name.
fn rows() -> RecordBatch {
    let number = Int64Array::from_iter((0..10).map(|n| (n != 3).then_some(n)));
    let square = Float64Array::from_iter_values((0..10).map(|n| f64::from(n * n) + 0.5));
    let even = BooleanArray::from_iter((0..10).map(|n| Some(n % 2 == 0)));
    let pair = |n: i64| Some(vec![Some(n as f32), Some(-n as f32)]);
    let pairs = FixedSizeListArray::from_iter_primitive::<Float32Type, _, _>((0..10).map(pair), 2);
    let list = |n: i64| Some((0..n % 4).map(Some).collect::<Vec<_>>());
    let lists = ListArray::from_iter_primitive::<Int64Type, _, _>((0..10).map(list));
    let name = StringArray::from_iter_values((0..10).map(|n| format!("row {n}")));
    let columns: [(&str, ArrayRef); 6] = [
        ("number", Arc::new(number)),
        ("square", Arc::new(square)),
        ("even", Arc::new(even)),
        ("pair", Arc::new(pairs)),
        ("list", Arc::new(lists)),
        ("name", Arc::new(name)),
    ];
    RecordBatch::try_from_iter(columns).unwrap()
}

/// A Parquet file with four rows in a group.
fn parquet(path: &Path, compression: Compression, version: WriterVersion) {
    let properties = WriterProperties::builder()
        .set_compression(compression)
        .set_writer_version(version)
        .set_max_row_group_row_count(Some(4));
    let file = File::create(path).unwrap();
    let mut writer = ArrowWriter::try_new(file, rows().schema(), Some(properties.build())).unwrap();
    writer.write(&rows()).unwrap();
    writer.close().unwrap();
}

/// An Arrow file with four rows in a record batch.
fn arrow(path: &Path, compression: Option<arrow_ipc::CompressionType>) {
    let options = arrow_ipc::writer::IpcWriteOptions::default().try_with_compression(compression).unwrap();
    let file = File::create(path).unwrap();
    let mut writer =
        arrow_ipc::writer::FileWriter::try_new_with_options(file, &rows().schema(), options).unwrap();
    for start in [0, 4, 8] {
        writer.write(&rows().slice(start, 4.min(10 - start))).unwrap();
    }
    writer.finish().unwrap();
}

/// The same rows in files of every kind that is read.
fn files(dir: &TempDir) -> Vec<PathBuf> {
    use WriterVersion::{PARQUET_1_0, PARQUET_2_0};
    let mut paths = Vec::new();
    let mut path = || {
        paths.push(dir.path().join(format!("table{}", paths.len())));
        paths[paths.len() - 1].clone()
    };
    parquet(&path(), Compression::UNCOMPRESSED, PARQUET_1_0);
    parquet(&path(), Compression::SNAPPY, PARQUET_1_0);
    parquet(&path(), Compression::GZIP(Default::default()), PARQUET_2_0);
    parquet(&path(), Compression::LZ4_RAW, PARQUET_2_0);
    arrow(&path(), None);
    arrow(&path(), Some(arrow_ipc::CompressionType::LZ4_FRAME));
    if cfg!(feature = "zstd") {
        parquet(&path(), Compression::ZSTD(Default::default()), PARQUET_2_0);
        arrow(&path(), Some(arrow_ipc::CompressionType::ZSTD));
    }
    paths
}

fn one() -> (TempDir, Columnar) {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("table.parquet");
    parquet(&path, Compression::SNAPPY, WriterVersion::PARQUET_2_0);
    let table = Columnar::open(path).unwrap();
    (dir, table)
}

fn values(batch: &Batch, name: &str) -> Vec<f64> {
    let field = batch.layout.get(name).expect("the field exists");
    let memory = batch.memory.as_any().downcast_ref::<HostMemory>().expect("host memory");
    field.spec.dtype.decode(&memory.0[field.offset..field.offset + field.spec.bytes()])
}

/// The message behind the path.
fn message<T>(result: Result<T, DataError>) -> String {
    let text = result.err().expect("an error").to_string();
    text.split_once("table.parquet: ").map_or(text.clone(), |(_, rest)| rest.into())
}

#[test]
fn columns_become_fields() {
    let dir = TempDir::new().unwrap();
    for path in files(&dir) {
        let table = Columnar::open(&path).unwrap();
        assert_eq!(table.columns(), ["number", "square", "even", "pair", "list", "name"]);
        let table = table
            .field("x", F32, &["square", "pair", "even"])
            .and_then(|table| table.field("pair", F32, &["pair"]))
            .and_then(|table| table.field("label", U32, &["number"]))
            .and_then(|table| table.field("even", Bool, &["even"]))
            .and_then(|table| table.padded("list", I32, "list", 2, -1.0))
            .unwrap()
            .fill_nulls(77.0);
        let specs: Vec<String> = table.fields().iter().map(|(name, spec)| format!("{name} {spec}")).collect();
        assert_eq!(specs, ["x f32[4]", "pair f32[2]", "label u32[]", "even bool[]", "list i32[2]"]);
        let batch = Loader::new(table, 10).epoch(0).next().unwrap().unwrap();
        let x = (0..10).flat_map(|n: i32| {
            let even = f64::from(u8::from(n % 2 == 0));
            [f64::from(n * n) + 0.5, f64::from(n), f64::from(-n), even]
        });
        assert_eq!(values(&batch, "x"), x.collect::<Vec<_>>());
        assert_eq!(values(&batch, "pair")[..4], [0.0, 0.0, 1.0, -1.0]);
        assert_eq!(values(&batch, "label"), [0.0, 1.0, 2.0, 77.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0]);
        assert_eq!(values(&batch, "even")[..3], [1.0, 0.0, 1.0]);
        assert_eq!(values(&batch, "list")[..8], [-1.0, -1.0, 0.0, -1.0, 0.0, 1.0, 0.0, 1.0]);
    }
}

/// Files by the reference implementation: `pyarrow.parquet.write_table(t, row_group_size=2)` and
/// `pyarrow.feather.write_feather(t, compression="lz4", chunksize=2)` of pyarrow 26.0.
#[test]
fn files_of_other_writers_are_read() {
    for name in ["pyarrow.parquet", "pyarrow.feather"] {
        let table = Columnar::open(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name));
        let table = table.unwrap();
        assert_eq!((table.len(), table.columns()), (3, vec!["id", "x", "tokens", "pixels", "text"]));
        assert_eq!(table.text("text").unwrap(), ["a", "bc", "déf"]);
        assert_eq!(table.numbers("x").unwrap(), [0.5, 1.5, 2.5]);
        let error = table.numbers("id").unwrap_err().to_string();
        assert!(error.starts_with("record 2 (") && error.contains("`id` has no value"), "{error}");
        let data = table.padded("tokens", U32, "tokens", 2, 9.0).unwrap();
        let data = data.field("pixels", F32, &["pixels"]).unwrap();
        let batch = Loader::new(data, 3).epoch(0).next().unwrap().unwrap();
        assert_eq!(values(&batch, "tokens"), [1.0, 2.0, 9.0, 9.0, 3.0, 9.0]);
        assert_eq!(values(&batch, "pixels"), [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
    }
}

#[test]
fn columns_can_be_read_whole() {
    let dir = TempDir::new().unwrap();
    for path in files(&dir) {
        let table = Columnar::open(&path).unwrap();
        assert_eq!(table.text("name").unwrap(), (0..10).map(|n| format!("row {n}")).collect::<Vec<_>>());
        let squares = (0..10).map(|n| (n * n) as f32 + 0.5).collect::<Vec<_>>();
        assert_eq!(table.numbers("square").unwrap(), squares);
        assert_eq!(table.fill_nulls(-1.0).numbers("number").unwrap()[2..5], [2.0, -1.0, 4.0]);
    }
}

#[test]
fn streamed_and_loaded_records_are_the_same() {
    let (_dir, table) = one();
    let table = table.field("x", F32, &["square"]).unwrap().padded("list", U32, "list", 3, 0.0).unwrap();
    let loaded: TensorDataset = table.load().unwrap();
    let expected: Vec<_> = Loader::new(loaded, 3).shuffle(5).epoch(1).map(Result::unwrap).collect();
    // Records in any order, with a single group in memory and more workers than groups.
    for (workers, groups) in [(0, 1), (1, 2), (6, 1), (6, 4)] {
        let loader = Loader::new(table.clone().cache(groups), 3).shuffle(5).workers(workers);
        for (batch, expected) in loader.epoch(1).zip(&expected) {
            let batch = batch.unwrap();
            assert_eq!(values(&batch, "x"), values(expected, "x"));
            assert_eq!(values(&batch, "list"), values(expected, "list"));
        }
    }
}

#[test]
fn several_files_are_one_dataset() {
    let dir = TempDir::new().unwrap();
    let paths = files(&dir);
    let table = Columnar::open_all(&paths).unwrap().field("x", F32, &["square"]).unwrap();
    let rows = 10 * paths.len();
    assert_eq!(table.len(), rows);
    assert!(table.name(31).unwrap().ends_with("table3, row 1"), "{:?}", table.name(31));
    let batch = Loader::new(table, rows).epoch(0).next().unwrap().unwrap();
    assert_eq!(values(&batch, "x")[29..32], [81.5, 0.5, 1.5]);
    let other = RecordBatch::try_from_iter([("x", Arc::new(Int64Array::from(vec![1])) as ArrayRef)]).unwrap();
    let path = dir.path().join("other.arrow");
    let mut writer =
        arrow_ipc::writer::FileWriter::try_new(File::create(&path).unwrap(), &other.schema()).unwrap();
    writer.write(&other).unwrap();
    writer.finish().unwrap();
    let error = Columnar::open_all([&paths[0], &path]).err().unwrap().to_string();
    assert!(error.contains("other.arrow: has other columns than"), "{error}");
    assert!(matches!(Columnar::open_all::<&Path>([]), Err(DataError::Empty)));
}

#[test]
fn shuffled_groups_are_visited_a_few_at_a_time() {
    let (_dir, table) = one();
    let sampler = table.shuffled(3);
    let order = sampler.order(10, 0).unwrap();
    assert_eq!(order, sampler.order(10, 0).unwrap());
    assert!((1..20).any(|epoch| sampler.order(10, epoch).unwrap() != order));
    let mut sorted = order.clone();
    sorted.sort_unstable();
    assert_eq!(sorted, (0..10).collect::<Vec<_>>());
    // Groups 0..4, 4..8 and 8..10; one at a time where two are kept.
    let single = table.clone().cache(2).shuffled(3).order(10, 0).unwrap();
    let groups: Vec<usize> = single.iter().map(|record| record / 4).collect();
    let changes = groups.windows(2).filter(|pair| pair[0] != pair[1]).count();
    assert_eq!(changes, 2, "{single:?}");
    assert!(matches!(sampler.order(9, 0), Err(DataError::Count { .. })));
}

#[test]
fn bad_values_are_named_or_skipped() {
    let (_dir, table) = one();
    let table = table.field("label", U32, &["number"]).unwrap();
    let error = Loader::new(table.clone(), 5).workers(2).epoch(0).next().unwrap().err().unwrap().to_string();
    assert!(error.starts_with("record 3 ("), "{error}");
    assert!(
        error.ends_with("table.parquet, row 3): `number` has no value; `fill_nulls` puts one in its place"),
        "{error}"
    );
    assert_eq!(table.load().err().unwrap().to_string(), error);
    let loader = Loader::new(table.clone(), 5).skip_bad();
    let batches: Vec<_> = loader.epoch(0).map(|batch| values(&batch.unwrap(), "label")).collect();
    assert_eq!(batches, [[0.0, 1.0, 2.0, 4.0, 4.0], [5.0, 6.0, 7.0, 8.0, 9.0]]);
    assert_eq!(loader.skipped().len(), 1);

    let (_dir, table) = one();
    let squares = table.clone().field("x", I32, &["square"]).unwrap();
    assert!(message(squares.load()).ends_with("`square` is 0.5, which i32 cannot hold"));
    let pairs = table.clone().field("x", U32, &["pair"]).unwrap();
    assert!(message(pairs.load()).ends_with("`pair` is -1, which u32 cannot hold"));
    let filled = table.clone().field("x", U32, &["number"]).unwrap().fill_nulls(0.5);
    assert!(message(filled.load()).ends_with("`number` is 0.5, which u32 cannot hold"));
}

#[test]
fn finite_values_stay_finite() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("table.parquet");
    let column: ArrayRef =
        Arc::new(Float64Array::from(vec![Some(65504.0), Some(70000.0), Some(1e300), None]));
    let batch = RecordBatch::try_from_iter([("number", column)]).unwrap();
    let mut writer = ArrowWriter::try_new(File::create(&path).unwrap(), batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    let table = Columnar::open(&path).unwrap().fill_nulls(f64::NAN);
    for (dtype, first, bad) in [(F16, 70000.0, 2), (F32, 1e300, 1)] {
        let table = table.clone().field("x", dtype, &["number"]).unwrap();
        let error = message(table.load());
        assert!(error.ends_with(&format!("`number` is {first}, which {dtype} cannot hold")), "{error}");
        let loader = Loader::new(table, 4).skip_bad();
        let values = values(&loader.epoch(0).next().unwrap().unwrap(), "x");
        assert!(!values.iter().any(|value| value.is_infinite()), "{values:?}");
        assert!(values[0] == 65504.0 && values[3].is_nan(), "NaN that fills is kept: {values:?}");
        assert_eq!(loader.skipped().len(), bad);
    }
}

#[test]
fn columns_that_cannot_be_fields_are_refused() {
    let (_dir, table) = one();
    let refused = |columns: &[&str]| message(table.clone().field("x", F32, columns));
    assert_eq!(refused(&["name"]), "`name` holds Utf8, which is no number");
    assert_eq!(refused(&["list"]), "`list` holds lists of any length; `padded` gives them one");
    assert_eq!(
        refused(&["square", "cube"]),
        "has no column `cube`; its columns are number, square, even, pair, list, name"
    );
    assert_eq!(
        message(table.clone().padded("x", F32, "square", 3, 0.0)),
        "`square` holds Float64, which is no list"
    );
    assert_eq!(message(table.text("square")), "the column holds Float64, which is no text");
}

#[test]
fn files_of_other_kinds_and_damaged_ones_are_errors() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("table.parquet");
    let opened = |bytes: &[u8]| {
        fs::write(&path, bytes).unwrap();
        Columnar::open(&path)
    };
    assert_eq!(message(opened(b"a,b\n1,2\n")), "is neither a Parquet nor an Arrow file");
    assert!(message(Columnar::open(dir.path().join("none"))).contains("cannot be read"));
    for file in files(&dir) {
        let whole = fs::read(file).unwrap();
        for end in [0, 4, 6, 12, whole.len() / 2, whole.len() - 1] {
            assert!(matches!(opened(&whole[..end]), Err(DataError::File { .. })), "cut at {end}");
        }
    }
}

/// A page of which a few bytes declare gigabytes is refused before memory is made ready.
#[test]
fn declared_sizes_must_be_plausible() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("table.parquet");
    parquet(&path, Compression::SNAPPY, WriterVersion::PARQUET_1_0);
    let mut bytes = fs::read(&path).unwrap();
    // The first page's header: its kind, 0x15, then its size.
    assert_eq!((bytes[4], bytes[6]), (0x15, 0x15));
    let size = 7..bytes[7..].iter().position(|byte| byte & 0x80 == 0).unwrap() + 8;
    let more = [0xfe, 0xff, 0xff, 0xff, 0x0f];
    // The rest moves by some bytes; offsets from the end stay true for the footer, and for the first page.
    bytes.splice(size, more);
    fs::write(&path, &bytes).unwrap();
    let table = Columnar::open(&path).unwrap().field("x", F32, &["number"]).unwrap().fill_nulls(0.0);
    let error = message(table.load());
    assert!(error.contains("declares 2147483647 bytes of contents"), "{error}");

    let path = dir.path().join("compressed.arrow");
    let zeros: ArrayRef = Arc::new(Float64Array::from(vec![0.0; 4096]));
    let zeros = RecordBatch::try_from_iter([("zeros", zeros)]).unwrap();
    let lz4 = Some(arrow_ipc::CompressionType::LZ4_FRAME);
    let options = arrow_ipc::writer::IpcWriteOptions::default().try_with_compression(lz4).unwrap();
    let file = File::create(&path).unwrap();
    let mut writer =
        arrow_ipc::writer::FileWriter::try_new_with_options(file, &zeros.schema(), options).unwrap();
    writer.write(&zeros).unwrap();
    writer.finish().unwrap();
    let mut bytes = fs::read(&path).unwrap();
    // Compressed contents start with their size and the magic number of LZ4's frames.
    let size = [32768i64.to_le_bytes().as_slice(), &[0x04, 0x22, 0x4d, 0x18]].concat();
    let start = bytes.windows(12).position(|window| window == size).unwrap();
    bytes[start + 5] = 1;
    fs::write(&path, &bytes).unwrap();
    let table = Columnar::open(&path).unwrap().field("x", F32, &["zeros"]).unwrap();
    let error = table.load().err().unwrap().to_string();
    assert!(error.contains("declares 1099511660544 bytes"), "{error}");
}
