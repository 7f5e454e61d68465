//! What was measured: tiles with the last scores, curves, and the table of epochs; and where the time went.

use std::time::Duration;

use super::html::{cell, escape, paragraph, row, table};
use crate::{EpochReport, History, Report, Scores, Timing, chart};

/// A score with four digits behind the point, or as it is where that says nothing.
fn number(value: f64) -> String {
    let plain = value == 0.0 || (1e-3..1e6).contains(&value.abs()) || !value.is_finite();
    if plain { format!("{value:.4}") } else { format!("{value:.3e}") }
}

fn seconds(time: Duration) -> String {
    let seconds = time.as_secs_f64();
    match seconds {
        0.0..1.0 => format!("{:.0} ms", 1e3 * seconds),
        1.0..100.0 => format!("{seconds:.1} s"),
        100.0..6000.0 => format!("{:.0} min {:.0} s", (seconds / 60.0).floor(), (seconds % 60.0).floor()),
        _ => format!("{:.0} h {:.0} min", (seconds / 3600.0).floor(), (seconds / 60.0 % 60.0).floor()),
    }
}

/// The scores over the test data after the last epoch, and how the run went.
pub(super) fn tiles(report: &Report) -> String {
    let Some(last) = report.history.last() else { return paragraph("No epoch has ended yet.") };
    let mut tiles: Vec<(String, String)> = names(&last.test)
        .into_iter()
        .map(|name| (format!("test {name}"), number(last.test.get(&name).unwrap_or(f64::NAN))))
        .collect();
    let best = report.history.best().map_or("–".into(), |best| best.epoch.to_string());
    tiles.extend([
        ("epochs".into(), report.history.epochs().len().to_string()),
        ("best epoch".into(), best),
        ("training".into(), seconds(report.history.epochs().iter().map(|epoch| epoch.time).sum())),
        ("samples/s".into(), format!("{:.0}", last.samples_per_second)),
    ]);
    let tile = |(name, value): &(String, String)| {
        format!(
            "<div class=\"tile\"><b>{}</b><span class=\"faint\">{}</span></div>",
            escape(value),
            escape(name)
        )
    };
    format!("<div class=\"tiles\">{}</div>\n", tiles.iter().map(tile).collect::<String>())
}

fn names(scores: &Scores) -> Vec<String> {
    let metrics = scores.metrics.iter().map(|(name, _)| name.clone());
    std::iter::once("loss".to_owned()).chain(metrics).collect()
}

/// A picture for the loss and for each metric.
pub(super) fn curves(history: &History) -> String {
    if history.epochs().is_empty() {
        return String::new();
    }
    match history.names().into_iter().map(|name| chart::panel(history, name)).collect::<Result<String, _>>() {
        Ok(panels) => format!("<div class=\"curves\">{panels}</div>\n"),
        Err(problem) => paragraph(&format!("The curves could not be drawn: {problem}")),
    }
}

/// A row for each epoch; the one with the lowest test loss stands out.
pub(super) fn epochs(history: &History) -> String {
    let Some(first) = history.epochs().first() else { return String::new() };
    let names = names(&first.test);
    let mut header = vec!["epoch".to_owned()];
    for part in ["train", "test"] {
        header.extend(names.iter().map(|name| format!("{part} {name}")));
    }
    header.extend(["time", "waiting for data", "samples/s"].map(String::from));
    let best = history.best().map(|best| best.epoch);
    let line = |epoch: &EpochReport| {
        let scores = [&epoch.train, &epoch.test].into_iter();
        let scores = scores.flat_map(|scores| names.iter().map(|name| scores.get(name).unwrap_or(f64::NAN)));
        let mut cells = vec![cell(epoch.epoch.to_string())];
        cells.extend(scores.map(|score| cell(number(score))));
        cells.extend([seconds(epoch.time), seconds(epoch.stalled)].map(cell));
        cells.push(cell(format!("{:.0}", epoch.samples_per_second)));
        row(if best == Some(epoch.epoch) { "best" } else { "" }, &cells)
    };
    let header: Vec<&str> = header.iter().map(String::as_str).collect();
    table("", &header, &history.epochs().iter().map(line).collect::<Vec<_>>())
}

/// The parts of the time that this process took.
pub(super) fn timing(timing: &Timing) -> String {
    let Timing { compile, train, evaluate, stalled, .. } = *timing;
    let parts = [
        ("compiling", compile, "var(--faint)"),
        ("training steps", train.saturating_sub(stalled), "var(--accent)"),
        ("waiting for data", stalled.min(train), "var(--bad)"),
        ("evaluating", evaluate, "var(--second)"),
    ];
    let total: Duration = parts.iter().map(|(_, time, _)| *time).sum();
    if total.is_zero() {
        return String::new();
    }
    let share = |time: Duration| 100.0 * time.as_secs_f64() / total.as_secs_f64();
    let bars: String = parts
        .iter()
        .map(|(_, time, shade)| format!("<span style=\"--shade:{shade};width:{:.2}%\"></span>", share(*time)))
        .collect();
    let rows: Vec<String> = parts
        .iter()
        .map(|(name, time, shade)| {
            let name = format!("<td><span class=\"key\" style=\"--shade:{shade}\"></span>{name}</td>");
            row("", &[name, cell(seconds(*time)), cell(format!("{:.1} %", share(*time)))])
        })
        .collect();
    format!("<div class=\"parts\">{bars}</div>\n{}", table("text", &["part", "time", "share"], &rows))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short() {
        assert_eq!(
            [0.0, 0.123_456, 12.0, 1e-5, 1e9].map(number),
            ["0.0000", "0.1235", "12.0000", "1.000e-5", "1.000e9"]
        );
        assert_eq!(number(f64::NAN), "NaN");
        let shown = [0.0123, 2.34, 125.0, 7300.0].map(|time| seconds(Duration::from_secs_f64(time)));
        assert_eq!(shown, ["12 ms", "2.3 s", "2 min 5 s", "2 h 1 min"]);
    }
}
