//! Curves of loss and metrics over the epochs, as an SVG or PNG file.
//!
//! One panel for the loss and one for each metric, with a curve for the training and one for the test
//! data. No font of the system is needed: SVG leaves text to its viewer, PNG uses an embedded one.

mod canvas;

use std::fmt::Display;
use std::fs;
use std::ops::Range;
use std::path::Path;

use plotters::coord::Shift;
use plotters::prelude::*;

use crate::log::{LogError, LogProblem, check_writable, make_parent};
use crate::{EpochReport, History, Scores};

const PANEL: (u32, u32) = (560, 420);
const TRAIN: RGBColor = RGBColor(0x1f, 0x77, 0xb4);
const TEST: RGBColor = RGBColor(0xff, 0x7f, 0x0e);

/// The formats, known by the extension of the file.
#[derive(Clone, Copy)]
enum Format {
    Svg,
    Png,
}

impl Format {
    fn of(path: &Path) -> Result<Self, LogError> {
        let extension = path.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
        match extension.to_ascii_lowercase().as_str() {
            "svg" => Ok(Self::Svg),
            "png" => Ok(Self::Png),
            _ => Err(failed(path, "the name must end in .svg or .png")),
        }
    }
}

fn failed(path: &Path, problem: impl Display) -> LogError {
    LogError { path: path.into(), problem: LogProblem::Chart(problem.to_string()) }
}

/// Checks that a chart can be written there, before anything is worth drawing.
pub(crate) fn check(path: &Path) -> Result<(), LogError> {
    Format::of(path).and_then(|_| check_writable(path))
}

/// Writes the curves of a history to a file whose name ends in `.svg` or `.png`, making its directory
/// where needed.
///
/// ```
/// use wgrad_train::{History, chart};
/// let error = chart::write(&History::default(), "curves.bmp").unwrap_err();
/// assert_eq!(error.to_string(), "curves.bmp: the name must end in .svg or .png");
/// ```
pub fn write(history: &History, path: impl AsRef<Path>) -> Result<(), LogError> {
    let path = path.as_ref();
    let size = (PANEL.0 * history.names().len() as u32, PANEL.1);
    let bytes = match Format::of(path)? {
        Format::Svg => svg(size, history).map_err(|error| failed(path, error))?,
        Format::Png => canvas::png(size, |canvas| draw(&canvas.into_drawing_area(), history))
            .map_err(|error| failed(path, error))?,
    };
    make_parent(path).and_then(|()| fs::write(path, bytes)).map_err(LogProblem::at(path))
}

fn svg(size: (u32, u32), history: &History) -> Result<Vec<u8>, impl Display> {
    let mut svg = String::new();
    let drawn = draw(&SVGBackend::with_string(&mut svg, size).into_drawing_area(), history);
    drawn.map(|()| svg.into_bytes())
}

/// The curves of one score, as an SVG element.
pub(crate) fn panel(history: &History, name: &str) -> Result<String, String> {
    let mut svg = String::new();
    let drawn = draw_score(&SVGBackend::with_string(&mut svg, PANEL).into_drawing_area(), history, name);
    drawn.map(|()| svg).map_err(|error| error.to_string())
}

type Drawn<B> = Result<(), DrawingAreaErrorKind<<B as DrawingBackend>::ErrorType>>;

fn draw<B: DrawingBackend>(area: &DrawingArea<B, Shift>, history: &History) -> Drawn<B> {
    area.fill(&WHITE)?;
    let names = history.names();
    for (panel, name) in area.split_evenly((1, names.len())).iter().zip(names) {
        draw_score(panel, history, name)?;
    }
    area.present()
}

fn draw_score<B: DrawingBackend>(panel: &DrawingArea<B, Shift>, history: &History, name: &str) -> Drawn<B> {
    let curve = |scores: fn(&EpochReport) -> &Scores| -> Vec<(i32, f64)> {
        let value = |epoch: &EpochReport| Some((epoch.epoch as i32, scores(epoch).get(name)?));
        let drawable = |point: &(i32, f64)| (point.1 as f32).is_finite();
        history.epochs().iter().filter_map(value).filter(drawable).collect()
    };
    draw_panel(panel, name, &curve(|epoch| &epoch.train), &curve(|epoch| &epoch.test))
}

fn draw_panel<B: DrawingBackend>(
    panel: &DrawingArea<B, Shift>,
    name: &str,
    train: &[(i32, f64)],
    test: &[(i32, f64)],
) -> Drawn<B> {
    let last = train.iter().chain(test).map(|point| point.0).max().unwrap_or(1);
    let epochs = if last > 1 { 1..last } else { 0..2 };
    let values = value_range(train.iter().chain(test).map(|point| point.1));
    let decimals = decimals(values.end - values.start);
    let mut chart = ChartBuilder::on(panel)
        .caption(format!("{name} by epoch"), ("sans-serif", 24))
        .margin(16)
        .x_label_area_size(36)
        .y_label_area_size(72)
        .build_cartesian_2d(epochs, values)?;
    chart
        .configure_mesh()
        .label_style(("sans-serif", 18))
        .light_line_style(TRANSPARENT)
        .bold_line_style(BLACK.mix(0.12))
        .x_labels(10)
        .y_labels(8)
        .y_label_formatter(&|value| format!("{value:.decimals$}"))
        .draw()?;
    for (curve, label, color) in [(train, "train", TRAIN), (test, "test", TEST)] {
        let line = LineSeries::new(curve.iter().copied(), color.filled().stroke_width(2)).point_size(3);
        chart
            .draw_series(line)?
            .label(label)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 20, y)], color.stroke_width(2)));
    }
    // The loss falls, metrics mostly rise: this corner stays free.
    let corner =
        if name == "loss" { SeriesLabelPosition::UpperRight } else { SeriesLabelPosition::LowerRight };
    chart
        .configure_series_labels()
        .position(corner)
        .margin(12)
        .label_font(("sans-serif", 18))
        .border_style(BLACK.mix(0.3))
        .background_style(WHITE.mix(0.8))
        .draw()
}

/// From a little below the smallest value to a little above the largest.
fn value_range(values: impl Iterator<Item = f64>) -> Range<f64> {
    let (low, high) = values
        .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| (low.min(value), high.max(value)));
    if low > high {
        return 0.0..1.0;
    }
    // Curves that differ by rounding alone are drawn as the flat lines they are.
    let (span, scale) = (high - low, high.abs().max(low.abs()));
    let margin = if span > 1e-6 * scale { 0.06 * span } else { 0.1 * scale.max(1e-6) };
    low - margin..high + margin
}

/// Enough decimals to write labels that are at least an eighth of a span apart.
fn decimals(span: f64) -> usize {
    (span / 8.0).log10().floor().clamp(-9.0, 0.0).abs() as usize
}
