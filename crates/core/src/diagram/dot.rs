//! Diagrams in Graphviz's language (<https://graphviz.org/doc/info/lang.html>).

use std::fmt::Write;

use super::{Diagram, Kind};

impl Diagram {
    /// The diagram for Graphviz: `dot -Tsvg`.
    pub fn to_dot(&self) -> String {
        let mut text = String::from("digraph {\n");
        // Writing to a string cannot fail.
        let _ = self.write_dot(&mut text);
        text + "}\n"
    }

    fn write_dot(&self, text: &mut String) -> std::fmt::Result {
        writeln!(text, "  node [shape=box, style=\"rounded,filled\", fontname=\"sans-serif\", fontsize=11]")?;
        writeln!(text, "  edge [fontname=\"sans-serif\", fontsize=9, color=\"#666666\"]")?;
        for (position, block) in self.blocks.iter().enumerate() {
            let fill = fill(block.kind);
            writeln!(text, "  b{position} [fillcolor=\"{fill}\", label=\"{}\"]", label(&block.lines))?;
        }
        for arrow in &self.arrows {
            let lines = label(&arrow.label());
            writeln!(text, "  b{} -> b{} [label=\"{lines}\"]", arrow.from, arrow.to)?;
        }
        Ok(())
    }
}

/// Lines of a quoted string.
fn label(lines: &[String]) -> String {
    lines.join("\n").replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

const fn fill(kind: Kind) -> &'static str {
    match kind {
        Kind::Input => "#e8e8e8",
        Kind::Map => "#dcebf7",
        Kind::Reduction => "#fdeecb",
        Kind::Contraction => "#d8f0dc",
        Kind::Update => "#f3dcef",
    }
}
