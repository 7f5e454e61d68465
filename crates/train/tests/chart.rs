//! Charts: files of both kinds, with the curves in them. One that cannot be written ends no training.

#[path = "net/mod.rs"]
mod net;

use std::fs;
use std::time::Duration;

use tempfile::TempDir;
use wgrad_train::{EpochReport, History, LogProblem, Scores, TrainError, chart};

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
    assert_eq!(error.to_string(), "curves: the name must end in .svg or .png");
    let dir = TempDir::new().unwrap();
    fs::write(dir.path().join("file"), "").unwrap();
    let error = chart::write(&training(), dir.path().join("file/curves.svg")).unwrap_err();
    assert!(error.to_string().contains("file/curves.svg"), "{error}");
}

#[test]
fn a_chart_that_cannot_be_written_is_an_error_before_training() {
    let dir = TempDir::new().unwrap();
    fs::write(dir.path().join("file"), "").unwrap();
    for (path, is_io) in [("file/curves.svg", true), ("curves.bmp", false)] {
        let path = dir.path().join(path);
        let see = |_: &wgrad_train::StepReport| panic!("nothing may be trained");
        let error = net::fit(|trainer| trainer.chart(&path).on_step(see)).err().unwrap();
        let TrainError::Log(error) = error else { panic!("{error}") };
        assert_eq!(matches!(error.problem, LogProblem::Io(_)), is_io, "{error}");
        assert_eq!(error.path, path);
    }
}

/// The disk is full when the training ends; what was trained is not lost.
#[cfg(target_os = "linux")]
#[test]
fn a_chart_that_fails_in_the_end_is_told() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("curves.svg");
    std::os::unix::fs::symlink("/dev/full", &path).unwrap();
    let alone = net::fit(|trainer| trainer).unwrap();
    let report = net::fit(|trainer| trainer.chart(&path)).unwrap();
    assert_eq!(net::bits(&report.state), net::bits(&alone.state));
    assert!(matches!(report.unlogged[..], [ref error] if error.path == path));
    assert!(report.to_string().contains("curves.svg"), "{report}");
}
