//! Tables as Markdown, aligned so that a terminal shows them as well.

/// A table of a header and rows; the first column is aligned left, the others right.
pub fn table(header: &[&str], rows: &[Vec<String>]) -> String {
    let header: Vec<String> = header.iter().map(|&name| name.into()).collect();
    let cell = |row: &Vec<String>, column: usize| row.get(column).cloned().unwrap_or_default();
    let width = |column| {
        let all = std::iter::once(&header).chain(rows);
        all.map(|row| cell(row, column).chars().count()).max().unwrap_or(0).max(3)
    };
    let widths: Vec<usize> = (0..header.len()).map(width).collect();
    let line = |row: &Vec<String>| {
        let cells = widths.iter().enumerate().map(|(column, &width)| match column {
            0 => format!("{:<width$}", cell(row, 0)),
            _ => format!("{:>width$}", cell(row, column)),
        });
        format!("| {} |\n", cells.collect::<Vec<_>>().join(" | "))
    };
    let rule = widths.iter().enumerate().map(|(column, &width)| match column {
        0 => "-".repeat(width + 2),
        _ => format!("{}:", "-".repeat(width + 1)),
    });
    let rule = format!("|{}|\n", rule.collect::<Vec<_>>().join("|"));
    line(&header) + &rule + &rows.iter().map(line).collect::<String>()
}

/// A number with about three digits that matter.
pub fn digits(value: f64) -> String {
    match value.abs() {
        x if x >= 100.0 => format!("{value:.0}"),
        x if x >= 10.0 => format!("{value:.1}"),
        x if x >= 0.1 || x == 0.0 => format!("{value:.2}"),
        _ => format!("{value:.3}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned() {
        let rows = [vec!["mlp".to_owned(), digits(21.345)], vec!["resnet".to_owned(), digits(751.0)]];
        let expected = "| model  |   ms |\n|--------|-----:|\n| mlp    | 21.3 |\n| resnet |  751 |\n";
        assert_eq!(table(&["model", "ms"], &rows), expected);
    }
}
