//! The summary as a table.

use std::fmt;

use wgrad_core::TensorSpec;

use super::Summary;

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rows =
            vec![["layer", "output", "parameters", "frozen", "flops", "output bytes"].map(String::from)];
        rows.extend(self.layers.iter().map(|layer| {
            let output = layer.output.as_ref().map_or(String::new(), ToString::to_string);
            let bytes = layer.output.as_ref().map_or(0, TensorSpec::bytes);
            let bytes = Scaled(bytes as f64, "B").to_string();
            let flops = Scaled(layer.flops as f64, "").to_string();
            let (parameters, frozen) = (grouped(layer.parameters), grouped(layer.frozen));
            [layer.name.clone(), output, parameters, frozen, flops, bytes]
        }));
        if self.other_flops > 0 {
            let flops = Scaled(self.other_flops as f64, "").to_string();
            rows.push(["(others)".into(), String::new(), String::new(), String::new(), flops, String::new()]);
        }
        let flops = Scaled(self.flops as f64, "").to_string();
        let (parameters, frozen) = (grouped(self.parameters), grouped(self.frozen));
        rows.push(["total".into(), String::new(), parameters, frozen, flops, String::new()]);
        write_table(f, &rows)?;
        let (parameters, buffers) = (self.parameter_bytes as f64, self.buffer_bytes as f64);
        write!(f, "parameters {}, running statistics {}", Scaled(parameters, "B"), Scaled(buffers, "B"))
    }
}

/// Columns as wide as they need to be, the first two to the left; a line above the last row.
fn write_table<const N: usize>(f: &mut fmt::Formatter<'_>, rows: &[[String; N]]) -> fmt::Result {
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..N).map(width).collect();
    let line = "─".repeat(widths.iter().sum::<usize>() + 2 * (N - 1));
    for (number, row) in rows.iter().enumerate() {
        if number == 1 || number + 1 == rows.len() {
            writeln!(f, "{line}")?;
        }
        let mut text = String::new();
        for (column, (cell, width)) in row.iter().zip(&widths).enumerate() {
            let gap = if column == 0 { "" } else { "  " };
            text += &if column < 2 { format!("{gap}{cell:<width$}") } else { format!("{gap}{cell:>width$}") };
        }
        writeln!(f, "{}", text.trim_end())?;
    }
    Ok(())
}

/// Digits in groups of three: 1,234,567.
fn grouped(number: usize) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A number with three digits and a decimal prefix: 12.3 M.
struct Scaled(f64, &'static str);

impl fmt::Display for Scaled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(mut value, unit) = *self;
        let mut prefixes = ["", "k", "M", "G", "T"].into_iter().peekable();
        let mut prefix = prefixes.next().unwrap_or_default();
        // What rounds to 1000 takes the next prefix.
        while value >= 999.5 && prefixes.peek().is_some() {
            value /= 1000.0;
            prefix = prefixes.next().unwrap_or_default();
        }
        let digits = if prefix.is_empty() || value >= 99.95 {
            0
        } else if value >= 9.995 {
            1
        } else {
            2
        };
        write!(f, "{}", format!("{value:.digits$} {prefix}{unit}").trim_end())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_readable() {
        assert_eq!([0, 999, 1000, 1_234_567].map(grouped), ["0", "999", "1,000", "1,234,567"]);
        let scaled = |value: f64| Scaled(value, "B").to_string();
        let expected = ["0 B", "999 B", "1.00 kB", "12.3 kB", "1.00 MB", "123 GB", "4500 TB"];
        assert_eq!([0.0, 999.0, 1000.0, 12_345.0, 999_999.0, 123e9, 4.5e15].map(scaled), expected);
        assert_eq!(Scaled(512.0, "").to_string(), "512");
    }
}
