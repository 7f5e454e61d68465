//! Tables and time series in text files: whole, damaged, missing.

use std::fs;

use proptest::prelude::*;
use tempfile::TempDir;
use wgrad_data::{Csv, CsvFormat, DataError, Dataset, Labelled, series};

fn csv(text: &str, format: CsvFormat) -> Result<Csv, DataError> {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("table.csv");
    fs::write(&path, text).unwrap();
    Csv::read_as(&path, format)
}

/// The message behind the path.
fn message<T>(result: Result<T, DataError>) -> String {
    let text = result.err().expect("an error").to_string();
    text.split_once(": ").map_or(text.clone(), |(_, rest)| rest.into())
}

const PETS: &str = "age,kind,\"weight, kg\"\n3,cat,4.5\n1,dog,20\n7, cat ,5\n";

#[test]
fn columns_become_numbers_and_classes() {
    let pets = csv(PETS, CsvFormat::comma()).unwrap();
    assert_eq!(pets.columns(), ["age", "kind", "weight, kg"]);
    assert_eq!(pets.numbers("weight, kg").unwrap(), [4.5, 20.0, 5.0]);
    assert_eq!(pets.classes("kind").unwrap(), (vec![0, 1, 0], vec!["cat".into(), "dog".into()]));
    let (data, _) = pets.labelled(&["weight, kg", "age"], "kind").unwrap();
    assert_eq!(data.input(1).unwrap(), [20.0, 1.0]);
    assert_eq!(pets.regression(&["age"], "weight, kg").unwrap().len(), 3);
}

#[test]
fn tables_without_a_header_number_their_columns() {
    let format = CsvFormat::tab().no_header();
    let table = csv("1\t-0.5\tThe \"Rock\", he\n2\t3\tNo\n", format).unwrap();
    assert_eq!(table.columns(), ["0", "1", "2"]);
    assert_eq!(table.text("2").unwrap(), ["The \"Rock\", he", "No"]);
    assert_eq!(csv("1;2\n", format.delimiter(b';')).unwrap().numbers("1").unwrap(), [2.0]);
    assert!(csv("", format).unwrap().is_empty());
}

#[test]
fn mistakes_in_tables_name_their_line() {
    let pets = csv(PETS, CsvFormat::comma()).unwrap();
    assert_eq!(message(pets.numbers("kind")), "line 2: `kind` is \"cat\", not a finite number");
    assert_eq!(message(pets.numbers("size")), "has no column `size`; its columns are age, kind, weight, kg");
    let ragged = csv("a,b\n1,2\n3\n", CsvFormat::comma());
    assert_eq!(message(ragged), "line 3: has 1 cells, the first line has 2");
    assert!(matches!(Csv::read("no/such/table.csv"), Err(DataError::File { .. })));
}

#[test]
fn bad_rows_are_left_out_where_asked() {
    let table = csv("a,b\n1,2\nx,3\n4,inf\n5,6\n", CsvFormat::comma()).unwrap();
    let (good, bad) = table.skip_bad(&["a", "b"]).unwrap();
    assert_eq!(good.numbers("a").unwrap(), [1.0, 5.0]);
    let lines: Vec<String> = bad.into_iter().map(|error| message(Err::<(), _>(error))).collect();
    let expected =
        ["line 3: `a` is \"x\", not a finite number", "line 4: `b` is \"inf\", not a finite number"];
    assert_eq!(lines, expected);
}

fn set(train: &str, test: &str) -> Result<(Labelled, Labelled), DataError> {
    let dir = TempDir::new().unwrap();
    for (part, text) in [("TRAIN", train), ("TEST", test)] {
        fs::write(dir.path().join(format!("Toy_{part}.ts")), text).unwrap();
    }
    series(dir.path(), "Toy")
}

const TOY: &str =
    "# a comment\n@problemName Toy\n@classLabel true up down\n@data\n1,2,3:4,5,6:up\n7,8:9,10:down\n";

#[test]
fn series_are_padded_to_the_longest_of_both_parts() {
    let longer = TOY.replace("1,2,3:4,5,6", "1,2,3,4:5,6,7,8");
    let (train, test) = set(TOY, &longer).unwrap();
    assert_eq!((train.shape().to_string(), train.classes()), ("[2, 4]".into(), 2));
    assert_eq!(train.input(0).unwrap(), [1.0, 2.0, 3.0, 0.0, 4.0, 5.0, 6.0, 0.0]);
    assert_eq!(test.input(1).unwrap(), [7.0, 8.0, 0.0, 0.0, 9.0, 10.0, 0.0, 0.0]);
    assert_eq!(train.labels().collect::<Vec<_>>(), [0, 1]);
}

#[test]
fn mistakes_in_series_name_their_line() {
    for (from, to, expected) in [
        ("7,8", "7,?", "line 6: `?` is not a finite number"),
        (":down", ":left", "line 6: the class `left` is not one of [\"up\", \"down\"]"),
        (":9,10", "", "line 6: has 1 channels, the records before have 2"),
        ("@data", "", "has no line `@data`"),
        ("1,2,3:4,5,6:up\n7,8:9,10:down\n", "", "has no records"),
    ] {
        assert_eq!(message(set(&TOY.replace(from, to), TOY)), expected);
    }
    let other = TOY.replace("true up down", "true down up");
    assert!(message(set(TOY, &other)).starts_with("has other channels or classes"));
}

proptest! {
    #[test]
    fn no_file_makes_readers_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), cut in 0usize..100) {
        let dir = TempDir::new().unwrap();
        let text = [&TOY.as_bytes()[..cut.min(TOY.len())], &bytes].concat();
        for name in ["Toy_TRAIN.ts", "Toy_TEST.ts", "table.csv"] {
            fs::write(dir.path().join(name), &text).unwrap();
        }
        let _ = series(dir.path(), "Toy");
        for format in [CsvFormat::comma(), CsvFormat::tab().no_header()] {
            if let Ok(table) = Csv::read_as(dir.path().join("table.csv"), format) {
                let columns = table.columns().to_vec();
                for column in &columns {
                    let _ = (table.numbers(column), table.classes(column));
                }
            }
        }
    }
}
