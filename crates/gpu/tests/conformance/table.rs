//! The published support table, `docs/operations.md`: written from the list of cases and what the device made
//! of them.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::path::{Path, PathBuf};

use wgrad_core::case::{self, Case, gradcheck, gradgradcheck};

use crate::compare::DEVICES;

const HEAD: &str = "\
# Operations

Written by `WGRAD_TABLE=docs/operations.md cargo test -p wgrad-gpu --test conformance every_case` from the one list \
of cases that every operation brings along. What a column counts was checked by that run:

- *cases*: how many there are, and how many of them have a result worked out by hand, which the f64 reference must give;
- *gradient*, *second*: in how many cases they agree with central differences of the reference (– where an operation has \
none: it is not differentiable, or gives no floats);
- *GPU*: runs on the device that agree with the reference, result and gradients, fused and unfused;
- *dtypes*: of the cases' operands and results;
- *worst error*: the largest error of any element in these runs, in units of its tolerance, which follows from rounding \
errors put into every node of the graph (`wgrad_core::case::sensitivity`); 0 is bit for bit.

";

#[derive(Default)]
struct Row {
    cases: usize,
    by_hand: usize,
    gradient: usize,
    second: usize,
    runs: usize,
    dtypes: BTreeSet<String>,
    worst: f64,
}

/// The table's path, if it is to be written.
fn path() -> Option<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    std::env::var_os("WGRAD_TABLE").map(|path| root.join(path))
}

/// Writes the table if `WGRAD_TABLE` says where to. `errors` holds the worst error of every case's runs.
pub(crate) fn write(errors: &BTreeMap<String, Vec<f64>>) {
    let Some(path) = path() else { return };
    let mut rows: BTreeMap<String, Row> = BTreeMap::new();
    for case in case::cases() {
        let row = rows.entry(case.operation().into()).or_default();
        row.cases += 1;
        row.by_hand += usize::from(case.expected.is_some());
        row.dtypes.extend(dtypes(&case));
        if case.differentiable {
            gradcheck(&case, 7).unwrap_or_else(|error| panic!("{error}"));
            row.gradient += 1;
        }
        if case.has_second_gradient() {
            gradgradcheck(&case, 7).unwrap_or_else(|error| panic!("{error}"));
            row.second += 1;
        }
        let runs = errors.get(&case.name).map_or(&[][..], |runs| runs);
        row.runs += runs.len();
        row.worst = runs.iter().fold(row.worst, |worst, &error| worst.max(error));
    }
    let mut text = String::from(HEAD);
    let adapter = DEVICES[0].1.info();
    let _ = writeln!(text, "{} operations, on {}.\n", rows.len(), adapter.name);
    text += "| operation | cases (by hand) | gradient | second | GPU | dtypes | worst error |\n";
    text += "|---|---|---|---|---|---|---|\n";
    for (name, row) in &rows {
        let count = |n: usize| if n == 0 { "–".to_string() } else { n.to_string() };
        let dtypes: Vec<&str> = row.dtypes.iter().map(String::as_str).collect();
        let _ = writeln!(
            text,
            "| `{name}` | {} ({}) | {} | {} | {} | {} | {:.2} |",
            row.cases,
            row.by_hand,
            count(row.gradient),
            count(row.second),
            count(row.runs),
            dtypes.join(", "),
            row.worst
        );
    }
    std::fs::write(&path, text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
}

fn dtypes(case: &Case) -> impl Iterator<Item = String> {
    let operands = case.operands.iter().map(|operand| operand.spec.dtype);
    operands
        .chain([case.record(0).output.dtype()])
        .map(|dtype| dtype.to_string())
        .collect::<Vec<_>>()
        .into_iter()
}

#[test]
fn the_table_has_a_row_for_every_operation() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/operations.md");
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let rows: BTreeSet<&str> =
        text.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next()).collect();
    let cases = case::cases();
    let operations: BTreeSet<&str> = cases.iter().map(Case::operation).collect();
    assert_eq!(rows, operations, "write it anew with WGRAD_TABLE=docs/operations.md");
}
