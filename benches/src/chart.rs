//! The growth as a chart: measured times beside the work, both axes logarithmic.

use std::path::Path;

use plotters::coord::Shift;
use plotters::prelude::*;

use crate::Error;
use crate::growth::Series;

const PANEL: (u32, u32) = (420, 360);
const COLUMNS: usize = 3;
const TIME: RGBColor = RGBColor(0x1f, 0x77, 0xb4);
const WORK: RGBColor = RGBColor(0xff, 0x7f, 0x0e);

/// Writes an SVG file with a panel for each series.
pub fn write(series: &[Series], path: &Path) -> Result<(), Error> {
    let mut svg = String::new();
    {
        let rows = series.len().div_ceil(COLUMNS);
        let size = (PANEL.0 * COLUMNS as u32, PANEL.1 * rows as u32);
        let area = SVGBackend::with_string(&mut svg, size).into_drawing_area();
        area.fill(&WHITE)?;
        for (panel, series) in area.split_evenly((rows, COLUMNS)).iter().zip(series) {
            draw(panel, series)?;
        }
        area.present()?;
    }
    Ok(std::fs::write(path, svg)?)
}

/// A label of a logarithmic axis: nothing for numbers whose labels would lie upon each other.
fn tick(value: &f64) -> String {
    let leading = value / 10f64.powf(value.log10().floor());
    if [1.0, 2.0, 5.0].iter().any(|shown| (leading - shown).abs() < 1e-6) {
        format!("{value}")
    } else {
        String::new()
    }
}

/// One panel. The line of the work is scaled to meet the time at the largest size: where the time runs
/// above it, the small sizes pay for something else than their work; a steeper time would be a fault.
fn draw(panel: &DrawingArea<SVGBackend<'_>, Shift>, series: &Series) -> Result<(), Error> {
    let (Some(first), Some(last)) = (series.points.first(), series.points.last()) else { return Ok(()) };
    let times: Vec<(f64, f64)> = series.points.iter().map(|point| (point.size as f64, point.ms)).collect();
    let scaled = |work: f64| work / last.work * last.ms;
    let works: Vec<_> = series.points.iter().map(|p| (p.size as f64, scaled(p.work))).collect();
    let all = times.iter().chain(&works).map(|point| point.1);
    let low = all.clone().fold(f64::INFINITY, f64::min) / 1.5;
    let high = all.fold(0.0, f64::max) * 1.5;
    let mut chart = ChartBuilder::on(panel)
        .caption(format!("{} by {}", series.timed, series.name), ("sans-serif", 20))
        .margin(12)
        .x_label_area_size(32)
        .y_label_area_size(64)
        .build_cartesian_2d((first.size as f64..last.size as f64).log_scale(), (low..high).log_scale())?;
    chart
        .configure_mesh()
        .light_line_style(TRANSPARENT)
        .y_desc("ms")
        .x_label_formatter(&tick)
        .y_label_formatter(&tick)
        .label_style(("sans-serif", 14))
        .draw()?;
    for (line, label, color) in [(times, "measured", TIME), (works, series.work, WORK)] {
        chart
            .draw_series(LineSeries::new(line, color.stroke_width(2)).point_size(3))?
            .label(label)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 16, y)], color.stroke_width(2)));
    }
    let position = SeriesLabelPosition::UpperLeft;
    chart
        .configure_series_labels()
        .position(position)
        .background_style(WHITE.mix(0.8))
        .border_style(BLACK.mix(0.3))
        .label_font(("sans-serif", 14))
        .draw()?;
    Ok(())
}
