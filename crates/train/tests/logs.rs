//! Logs: what is written can be read, a resumed training goes on behind its checkpoint, and a log that fails
//! does not take the training with it.

#[path = "net/mod.rs"]
mod net;

use std::collections::BTreeMap;
use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use net::{fit, tumours};
use serde_json::Value;
use tempfile::TempDir;
use wgrad_core::Vars;
use wgrad_optim::{Adam, Cosine};
use wgrad_train::{LogProblem, Objective, Report, TensorBoard, TrainError, Trainer};

/// One field of a protocol-buffer message: an integer, or the bytes of anything else.
#[derive(Clone, Debug)]
enum Field {
    Integer(u64),
    Bytes(Vec<u8>),
}

impl Field {
    fn bytes(&self) -> &[u8] {
        match self {
            Self::Bytes(bytes) => bytes,
            Self::Integer(value) => panic!("{value} is an integer"),
        }
    }
}

fn varint(bytes: &mut &[u8]) -> u64 {
    let end = bytes.iter().position(|byte| byte & 0x80 == 0).unwrap() + 1;
    let (number, rest) = bytes.split_at(end);
    *bytes = rest;
    number.iter().rev().fold(0, |value, byte| value << 7 | u64::from(byte & 0x7f))
}

/// The fields of a message, by number.
fn message(mut bytes: &[u8]) -> BTreeMap<u64, Vec<Field>> {
    let mut fields: BTreeMap<u64, Vec<Field>> = BTreeMap::new();
    while !bytes.is_empty() {
        let key = varint(&mut bytes);
        let length = match key & 7 {
            0 => None,
            1 => Some(8),
            2 => Some(varint(&mut bytes) as usize),
            5 => Some(4),
            wire => panic!("wire type {wire}"),
        };
        let field = match length {
            None => Field::Integer(varint(&mut bytes)),
            Some(length) => {
                let (value, rest) = bytes.split_at(length);
                bytes = rest;
                Field::Bytes(value.to_vec())
            }
        };
        fields.entry(key >> 3).or_default().push(field);
    }
    fields
}

/// CRC-32C, a bit at a time.
fn crc32c(bytes: &[u8]) -> u32 {
    let step = |crc: u32, _| if crc & 1 == 1 { crc >> 1 ^ 0x82f6_3b78 } else { crc >> 1 };
    !bytes.iter().fold(!0, |crc, &byte| (0..8).fold(crc ^ u32::from(byte), step))
}

/// The events of a file, whose frames and checksums must be right.
fn events(file: &Path) -> Vec<BTreeMap<u64, Vec<Field>>> {
    let file = fs::read(file).unwrap();
    let (mut rest, mut events) = (&file[..], vec![]);
    while !rest.is_empty() {
        let length = u64::from_le_bytes(rest[..8].try_into().unwrap()) as usize;
        let data = &rest[12..12 + length];
        for (checked, sum) in [(&rest[..8], &rest[8..12]), (data, &rest[12 + length..16 + length])] {
            let crc = crc32c(checked);
            let masked = crc.rotate_right(15).wrapping_add(0xa282_ead8);
            assert_eq!(masked.to_le_bytes(), sum, "checksum");
        }
        events.push(message(data));
        rest = &rest[16 + length..];
    }
    events
}

fn event_files(directory: &Path) -> Vec<PathBuf> {
    let mut files: Vec<_> = fs::read_dir(directory).unwrap().map(|file| file.unwrap().path()).collect();
    files.sort();
    assert!(files.iter().all(|file| file.to_str().unwrap().contains("tfevents")));
    files
}

/// (step, tag, the fields of the value) of every value in a file.
fn values(file: &Path) -> Vec<(u64, String, BTreeMap<u64, Vec<Field>>)> {
    let mut values = vec![];
    for event in events(file).iter().filter(|event| event.contains_key(&5)) {
        let Field::Integer(step) = event[&2][0] else { panic!("a step is an integer") };
        for value in &message(event[&5][0].bytes())[&1] {
            let value = message(value.bytes());
            let tag = String::from_utf8(value[&1][0].bytes().into()).unwrap();
            values.push((step, tag, value));
        }
    }
    values
}

/// (step, number) of the scalars with a tag.
fn scalars(file: &Path, tag: &str) -> Vec<(u64, f32)> {
    let values = values(file).into_iter().filter(|(_, found, _)| found == tag);
    values
        .map(|(step, _, value)| (step, f32::from_le_bytes(value[&2][0].bytes().try_into().unwrap())))
        .collect()
}

fn doubles(bytes: &[u8]) -> Vec<f64> {
    bytes.chunks_exact(8).map(|bytes| f64::from_le_bytes(bytes.try_into().unwrap())).collect()
}

#[test]
fn event_files_hold_what_was_measured() {
    let dir = TempDir::new().unwrap();
    let board = TensorBoard::new(dir.path()).histograms(true);
    let report = fit(|trainer| trainer.tensorboard(board.clone())).unwrap();
    let [train, test] = ["train", "test"].map(|run| event_files(&dir.path().join(run)));
    let [[train], [test]] = [&train[..], &test[..]] else { panic!("one file each") };

    let first = &events(train)[0];
    assert_eq!(first[&3][0].bytes(), b"brain.Event:2");
    let wall_time = doubles(first[&1][0].bytes())[0];
    assert!(wall_time > 1.7e9, "{wall_time}");

    let losses = scalars(train, "step/loss");
    assert_eq!(losses.iter().map(|(step, _)| *step).collect::<Vec<_>>(), (1..=60).collect::<Vec<_>>());
    assert!(scalars(train, "step/learning_rate").iter().all(|(_, rate)| *rate == 3e-3));
    for (file, scores) in [(train, 0), (test, 1)] {
        for name in ["loss", "accuracy"] {
            let expected = report.history.epochs().iter().map(|epoch| {
                let scores = [&epoch.train, &epoch.test][scores];
                (epoch.epoch as u64 * 15, scores.get(name).unwrap() as f32)
            });
            assert_eq!(scalars(file, &format!("epoch/{name}")), expected.collect::<Vec<_>>());
        }
    }
    assert_eq!(scalars(train, "epoch/stalled_seconds").len(), 4);

    let (_, _, summary) = values(train).into_iter().find(|(_, tag, _)| tag == "summary").unwrap();
    let text = String::from_utf8(message(summary[&8][0].bytes())[&8][0].bytes().into()).unwrap();
    assert!(text.contains("optimizer: Adam") && text.contains("parameters: 768 in 2 tensors"), "{text}");

    let weights: Vec<_> =
        values(train).into_iter().filter(|(_, tag, _)| tag == "parameters/hidden").collect();
    assert_eq!(weights.len(), 4);
    let histogram = message(weights[3].2[&5][0].bytes());
    let [low, high, count] = [1, 2, 3].map(|field| doubles(histogram[&field][0].bytes())[0]);
    let [limits, counts] = [6, 7].map(|field| doubles(histogram[&field][0].bytes()));
    let hidden = report.state.read("hidden").unwrap().data;
    assert_eq!(low, hidden.iter().copied().fold(f64::INFINITY, f64::min));
    assert_eq!((high, count), (*limits.last().unwrap(), 720.0));
    assert_eq!(limits.len(), counts.len());
    assert_eq!(counts.iter().sum::<f64>(), 720.0);
    let below = hidden.iter().filter(|value| **value < limits[31]).count() as f64;
    assert!((counts[..32].iter().sum::<f64>() - below).abs() <= 1.0);
}

fn json(path: &Path) -> Vec<Value> {
    fs::read_to_string(path).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn csv(path: &Path) -> Vec<csv::StringRecord> {
    let mut reader = csv::Reader::from_path(path).unwrap();
    let header = reader.headers().unwrap().clone();
    std::iter::once(header).chain(reader.records().map(Result::unwrap)).collect()
}

#[test]
fn tables_hold_a_row_for_each_step_and_epoch() {
    let dir = TempDir::new().unwrap();
    let [table, lines] = ["new/log.csv", "new/log.jsonl"].map(|name| dir.path().join(name));
    let report = fit(|trainer| trainer.csv(&table).json_lines(&lines)).unwrap();
    assert!(report.unlogged.is_empty());

    let lines = json(&lines);
    assert_eq!(lines.len(), 4 * 15 + 4);
    let first = &lines[0];
    assert_eq!(
        (&first["kind"], first["step"].as_u64(), first["batch"].as_u64()),
        (&"step".into(), Some(1), Some(1))
    );
    assert!((first["learning_rate"].as_f64().unwrap() - 3e-3).abs() < 1e-9);
    let (last, epoch) = (lines.last().unwrap(), report.history.last().unwrap());
    assert_eq!((&last["kind"], last["step"].as_u64()), (&"epoch".into(), Some(60)));
    assert_eq!(last["test"]["loss"].as_f64(), Some(epoch.test.loss));
    assert_eq!(last["train"]["accuracy"].as_f64(), epoch.train.get("accuracy"));
    assert_eq!(last["samples_per_second"].as_f64(), Some(epoch.samples_per_second));
    assert!(last["stalled_seconds"].as_f64().unwrap() <= last["train_seconds"].as_f64().unwrap());

    let rows = csv(&table);
    assert_eq!(rows.len(), 1 + lines.len());
    let column = |name: &str| rows[0].iter().position(|column| column == name).unwrap();
    for (row, line) in rows[1..].iter().zip(&lines) {
        assert_eq!(row[column("step")], line["step"].to_string());
        let (of_step, of_epoch) = (column("loss"), column("test_accuracy"));
        match line["kind"].as_str() {
            Some("step") => {
                assert_eq!(row[of_step].parse::<f64>().unwrap(), line["loss"].as_f64().unwrap());
                assert!(row[of_epoch].is_empty());
            }
            _ => {
                let accuracy = line["test"]["accuracy"].as_f64().unwrap();
                assert_eq!(row[of_epoch].parse::<f64>().unwrap(), accuracy);
                assert!(row[of_step].is_empty());
            }
        }
    }
}

/// Half a line at the end, as a killed process leaves it; lines of steps behind the checkpoint; then the rest.
#[test]
fn a_resumed_training_goes_on_behind_its_checkpoint() {
    let dir = TempDir::new().unwrap();
    let paths = ["log.csv", "log.jsonl", "board", "run"].map(|name| dir.path().join(name));
    let [table, lines, board, run] = &paths;
    let train = |until: usize| -> Result<Report, TrainError> {
        fit(|trainer| {
            let trainer = trainer.csv(table).json_lines(lines).tensorboard(board);
            let stop = move |step: u64| {
                if step as usize == until { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            };
            trainer.on_step(move |step| Ok(stop(step.step))).checkpoint(run).resume(true)
        })
    };
    train(20).unwrap();
    let steps = json(lines).len() as u64 - 1;
    assert!((20..30).contains(&steps), "stopped within the second epoch, not after {steps}");
    for (file, late) in
        [(table, "29,2,14,0.5,0.1,,,,,1,,,\n29,2,1"), (lines, "{\"step\":29}\n{\"kind\":\"st")]
    {
        let old = fs::read_to_string(file).unwrap();
        fs::write(file, old + late).unwrap();
    }
    train(usize::MAX).unwrap();

    let steps = |lines: &[Value], kind: &str| -> Vec<u64> {
        lines.iter().filter(|line| line["kind"] == kind).map(|line| line["step"].as_u64().unwrap()).collect()
    };
    let lines = json(lines);
    assert_eq!(steps(&lines, "step"), (1..=60).collect::<Vec<_>>());
    assert_eq!(steps(&lines, "epoch"), [15, 30, 45, 60]);
    let rows: Vec<String> = csv(table)[1..].iter().map(|row| row[0].to_owned()).collect();
    assert_eq!(rows, lines.iter().map(|line| line["step"].to_string()).collect::<Vec<_>>());

    let files = event_files(&board.join("train"));
    assert_eq!(files.len(), 2);
    let mut all = scalars(&files[0], "step/loss");
    let second = scalars(&files[1], "step/loss");
    let restart = events(&files[1])[1].clone();
    let Field::Integer(from) = restart[&2][0] else { panic!("a step is an integer") };
    assert_eq!((from, message(restart[&7][0].bytes()).len()), (second[0].0, 1));
    all.extend(second);
    assert_eq!(all.iter().map(|(step, _)| *step).collect::<Vec<_>>(), (1..=60).collect::<Vec<_>>());
}

#[test]
fn a_new_training_replaces_the_tables_of_an_old_one() {
    let dir = TempDir::new().unwrap();
    let [table, lines] = ["log.csv", "log.jsonl"].map(|name| dir.path().join(name));
    for _ in 0..2 {
        fit(|trainer| trainer.csv(&table).json_lines(&lines)).unwrap();
    }
    assert_eq!((csv(&table).len(), json(&lines).len()), (65, 64));
}

#[test]
fn a_log_that_cannot_be_opened_is_an_error() {
    let dir = TempDir::new().unwrap();
    fs::write(dir.path().join("file"), "").unwrap();
    let path = dir.path().join("file/below");
    for setting in [Trainer::csv, Trainer::json_lines, |trainer: Trainer, path| trainer.tensorboard(path)] {
        let error = fit(|trainer| setting(trainer, path.clone())).err().unwrap();
        let TrainError::Log(error) = error else { panic!("{error}") };
        assert_eq!(error.path, path);
        assert!(matches!(error.problem, LogProblem::Io(_)), "{error}");
    }
}

#[test]
fn a_table_of_another_training_is_not_continued() {
    let dir = TempDir::new().unwrap();
    let [table, run] = ["log.csv", "run"].map(|name| dir.path().join(name));
    fit(|trainer| trainer.steps(8).checkpoint(&run)).unwrap();
    fs::write(&table, "name,age\nAda,36\n").unwrap();
    let error = fit(|trainer| trainer.csv(&table).checkpoint(&run).resume(true)).err().unwrap();
    assert!(error.to_string().contains("has the columns name, age"), "{error}");
}

/// The device `/dev/full` takes nothing: the log is lost, the training is not.
#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_ends_the_log_alone() {
    let alone = fit(|trainer| trainer).unwrap();
    let report = fit(|trainer| trainer.json_lines("/dev/full")).unwrap();
    assert_eq!(net::scores(&report), net::scores(&alone));
    assert_eq!(report.unlogged.len(), 1);
    assert!(report.to_string().contains("/dev/full"), "{report}");
}

#[test]
fn learning_rates_follow_their_schedule() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("log.jsonl");
    let vars = Vars::new();
    let net = net::Net::new(&vars);
    let (train, test) = tumours();
    let trainer = Trainer::new(&net::GPU, &vars, Adam::new(Cosine::new(0.1, 8))).progress(false);
    let trainer = trainer.batch_size(64).accumulate(2).steps(8).json_lines(&path);
    trainer.fit(&train, &test, |x, y| Objective::classification(&net.forward(x), y)).unwrap();
    let lines = json(&path);
    let rates = lines.iter().filter_map(|line| line["learning_rate"].as_f64());
    for (batch, rate) in rates.enumerate() {
        let updates = (batch / 2) as f64;
        let expected = 0.05 * (1.0 + (std::f64::consts::PI * updates / 8.0).cos());
        assert!((rate - expected).abs() < 1e-6, "batch {batch}: {rate}, not {expected}");
    }
}
