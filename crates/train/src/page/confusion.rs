//! The confusion matrix as a table with shades, or the most frequent confusions where it is too large to see.

use super::html::{cell, escape, paragraph, percent, row, table};
use crate::{Average, ConfusionMatrix};

/// Up to so many classes each count is a number; up to so many, a shade.
const NUMBERS: usize = 32;
const SHADES: usize = 100;
/// How many confusions are listed of still more classes.
const LISTED: usize = 30;

pub(super) fn matrix(matrix: &ConfusionMatrix) -> String {
    let text = format!(
        "{} test records; accuracy {:.4}, macro precision {:.4}, recall {:.4}, F1 {:.4}.",
        matrix.total(),
        matrix.accuracy(),
        matrix.precision(Average::Macro),
        matrix.recall(Average::Macro),
        matrix.f1(Average::Macro),
    );
    let body = if matrix.classes() <= SHADES { shaded(matrix) } else { listed(matrix) };
    paragraph(&text) + &body
}

/// Rows are labels, columns predictions; a shade is the share of the label's records.
fn shaded(matrix: &ConfusionMatrix) -> String {
    let classes = 0..matrix.classes();
    let with_numbers = matrix.classes() <= NUMBERS;
    let count = |label: usize, predicted: usize| {
        let count = matrix.count(label, predicted);
        let share = count as f64 / matrix.support(label).max(1) as f64;
        let class = if label == predicted { "right" } else { "wrong" };
        // A single mistake among many should still be seen.
        let shade = if count == 0 { 0.0 } else { 12.0 + 0.78 * percent(share) };
        let text = if with_numbers && count > 0 { count.to_string() } else { String::new() };
        let title = escape(&format!("label {label}, predicted {predicted}: {count}"));
        format!("<td class=\"{class}\" style=\"--share:{shade:.0}%\" title=\"{title}\">{text}</td>")
    };
    let rate = |value: f64| format!("<td class=\"rate\">{value:.3}</td>");
    let line = |label: usize| {
        let mut cells = vec![if with_numbers { format!("<th>{label}</th>") } else { "<th></th>".into() }];
        cells.extend(classes.clone().map(|predicted| count(label, predicted)));
        if with_numbers {
            cells.push(rate(matrix.recall(Average::Class(label))));
        }
        row("", &cells)
    };
    let mut rows: Vec<String> = classes.clone().map(line).collect();
    let mut header = vec!["label".to_owned()];
    if with_numbers {
        let mut precisions = vec!["<th>precision</th>".to_owned()];
        precisions.extend(classes.clone().map(|class| rate(matrix.precision(Average::Class(class)))));
        rows.push(row("", &precisions));
        header.extend(classes.map(|class| class.to_string()));
        header.push("recall".into());
    }
    let header: String = header.iter().map(|name| format!("<th>{name}</th>")).collect();
    let body = if with_numbers { "" } else { " class=\"many\"" };
    format!(
        "<div class=\"scroll confusion\"><table><thead><tr>{header}</tr></thead>\n<tbody{body}>\n{}</tbody></table></div>\n",
        rows.concat()
    )
}

fn listed(matrix: &ConfusionMatrix) -> String {
    let classes = matrix.classes();
    let mut pairs: Vec<(u64, usize, usize)> = (0..classes * classes)
        .map(|index| (matrix.counts()[index], index / classes, index % classes))
        .filter(|(count, label, predicted)| *count > 0 && label != predicted)
        .collect();
    pairs.sort_by_key(|&(count, label, predicted)| (std::cmp::Reverse(count), label, predicted));
    let line = |&(count, label, predicted): &(u64, usize, usize)| {
        let share = count as f64 / matrix.support(label).max(1) as f64;
        let cells =
            [label.to_string(), predicted.to_string(), count.to_string(), format!("{:.1} %", percent(share))];
        row("", &cells.map(cell))
    };
    let rows: Vec<String> = pairs.iter().take(LISTED).map(line).collect();
    paragraph("The most frequent confusions:")
        + &table("", &["label", "taken for", "records", "of the label"], &rows)
}
