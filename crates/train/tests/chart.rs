//! Charts: files of both kinds, with the curves in them.

use std::fs;
use std::time::Duration;

use tempfile::TempDir;
use wgrad_train::{EpochReport, History, Scores, chart};

fn history(losses: &[(f64, f64)]) -> History {
    let scores = |loss: f64| Scores { loss, metrics: vec![("accuracy".into(), 1.0 - loss / 3.0)] };
    let epoch = |(index, &(train, test)): (usize, &(f64, f64))| EpochReport {
        epoch: index + 1,
        train: scores(train),
        test: scores(test),
        time: Duration::from_secs(1),
        stalled: Duration::ZERO,
        samples_per_second: 1000.0,
    };
    History::new(losses.iter().enumerate().map(epoch).collect())
}

fn training() -> History {
    history(&[(2.1, 1.4), (0.9, 0.6), (0.4, 0.35), (0.22, 0.24), (0.15, 0.2), (0.11, 0.19), (0.08, 0.2)])
}

#[test]
fn svg_has_a_panel_for_each_score() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("new/curves.svg");
    chart::write(&training(), &path).unwrap();
    let svg = fs::read_to_string(&path).unwrap();
    assert!(svg.starts_with("<svg") && svg.trim_end().ends_with("</svg>"));
    for text in ["loss by epoch", "accuracy by epoch", "train", "test"] {
        assert!(svg.contains(text), "{text}");
    }
    assert!(svg.matches("<polyline").count() >= 4);
}

#[test]
fn png_decodes_and_holds_both_colors() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("curves.PNG");
    chart::write(&training(), &path).unwrap();
    let file = std::io::BufReader::new(fs::File::open(&path).unwrap());
    let mut reader = png::Decoder::new(file).read_info().unwrap();
    let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
    let info = reader.next_frame(&mut pixels).unwrap();
    assert_eq!((info.width, info.height), (1120, 420));
    for color in [[0x1f, 0x77, 0xb4], [0xff, 0x7f, 0x0e]] {
        assert!(pixels.chunks(3).filter(|pixel| *pixel == color).count() > 100);
    }
}

#[test]
fn unusual_histories_can_be_drawn() {
    let dir = TempDir::new().unwrap();
    let unusual = [
        History::default(),
        history(&[(0.5, 0.4)]),
        history(&[(0.5, 0.5), (0.5, 0.5)]),
        history(&[(f64::NAN, f64::INFINITY), (1e30, -1e30)]),
        history(&[(f64::NAN, f64::NAN)]),
        history(&[(1e6, 1e6 + 1e-9), (1e-300, 2e-300)]),
        history(&[(1.0, 1.0 + f64::EPSILON)]),
    ];
    for history in &unusual {
        chart::write(history, dir.path().join("curves.svg")).unwrap();
        chart::write(history, dir.path().join("curves.png")).unwrap();
    }
}

#[test]
fn problems_are_named() {
    let error = chart::write(&training(), "curves").unwrap_err();
    assert_eq!(error.to_string(), "chart curves: the name must end in .svg or .png");
    let dir = TempDir::new().unwrap();
    fs::write(dir.path().join("file"), "").unwrap();
    let error = chart::write(&training(), dir.path().join("file/curves.svg")).unwrap_err();
    assert!(error.to_string().contains("file/curves.svg"), "{error}");
}
