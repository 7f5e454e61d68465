//! A page that shows a whole training: one HTML file that needs no network and no script.
//!
//! [`scores`] makes tiles, curves and the table of epochs, [`confusion`] the matrix, [`kernels`] where a step's
//! time goes. Colours follow the viewer's, light or dark. What comes from outside is escaped by [`html`].

mod confusion;
mod html;
mod kernels;
mod scores;

use std::fs;
use std::io;
use std::path::Path;

use html::{cell, escape, paragraph, preformatted, row, section, table};

use crate::Report;
use crate::log::{LogError, LogProblem, make_parent};

const STYLE: &str = include_str!("style.css");

/// Writes the page of a report.
pub(crate) fn write(report: &Report, path: &Path) -> Result<(), LogError> {
    let written = make_parent(path).and_then(|()| fs::write(path, html(report)));
    written.map_err(|error: io::Error| LogProblem::at(path)(error))
}

/// The page.
pub(crate) fn html(report: &Report) -> String {
    let sections = [
        section("Curves", &scores::curves(&report.history)),
        section("Epochs", &scores::epochs(&report.history)),
        section("Confusion", &report.confusion.as_ref().map_or(String::new(), confusion::matrix)),
        section("Time", &scores::timing(&report.timing)),
        section("Kernels of a training step", &kernels::roofline(report.profile.as_ref())),
        section("The step as a picture", &kernels::picture(report.profile.as_ref())),
        section(
            "Model",
            &report.summary.as_ref().map_or(String::new(), |model| preformatted(&model.to_string())),
        ),
        section("Run", &facts(report)),
        section("Notes", &notes(report)),
    ];
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"/>\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"/>\n\
         <title>{title}</title>\n<style>{STYLE}</style></head>\n<body>\n<h1>{title}</h1>\n{}{}{}</body></html>\n",
        paragraph(report.to_string().lines().next().unwrap_or_default()),
        scores::tiles(report),
        sections.concat(),
        title = escape("Training report"),
    )
}

fn facts(report: &Report) -> String {
    let rows: Vec<String> =
        report.facts.iter().map(|(name, value)| row("", &[cell(name), cell(value)])).collect();
    if rows.is_empty() { String::new() } else { table("text", &["what", "value"], &rows) }
}

/// What went wrong without ending the training.
fn notes(report: &Report) -> String {
    let resumed = report.resumed_from.iter().map(|path| format!("went on from {}", path.display()));
    let skipped = report.skipped.iter().map(ToString::to_string);
    let unlogged = report.unlogged.iter().map(ToString::to_string);
    resumed.chain(skipped).chain(unlogged).map(|note| paragraph(&note)).collect()
}
