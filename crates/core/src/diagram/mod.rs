//! Graphs to look at: blocks of text with arrows between them, as DOT for Graphviz or as an SVG picture.
//!
//! [`Recording::diagram`](crate::Recording::diagram) and [`Tensor::diagram`](crate::Tensor::diagram) draw what
//! was recorded; the compiler draws its plan the same way. `dot` and `svg` write a diagram, `layout` finds the
//! places that the picture needs.

mod dot;
mod layers;
mod layout;
mod recording;
mod svg;

/// What a block does, which decides its colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Gives values from outside.
    Input,
    /// Computes element by element.
    Map,
    /// Reduces along axes.
    Reduction,
    /// Sums products: matrix products, convolutions.
    Contraction,
    /// Changes variables of the state.
    Update,
}

/// Some lines of text in a box.
#[derive(Clone, Debug, PartialEq)]
pub struct Block {
    /// The first line is a heading.
    pub lines: Vec<String>,
    /// What it does.
    pub kind: Kind,
}

/// What passes from one block to a later one.
#[derive(Clone, Debug, PartialEq)]
pub struct Arrow {
    /// The position of the block that it leaves.
    pub from: usize,
    /// The position of the block that it enters; larger than `from`.
    pub to: usize,
    /// What stands beside it, line by line.
    pub lines: Vec<String>,
}

/// Blocks, and arrows from earlier to later ones.
///
/// ```
/// use wgrad_core::{F32, Graph, Mode};
/// let g = Graph::new(Mode::Eval);
/// let y = g.input("x", [8, 3], F32).exp().sum(1);
/// let diagram = y.diagram();
/// assert!(diagram.to_dot().starts_with("digraph"));
/// assert!(diagram.to_svg().starts_with("<svg"));
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Diagram {
    blocks: Vec<Block>,
    arrows: Vec<Arrow>,
}

impl Diagram {
    /// A diagram without blocks.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a block; returns its position.
    pub fn block(&mut self, kind: Kind, lines: Vec<String>) -> usize {
        self.blocks.push(Block { lines, kind });
        self.blocks.len() - 1
    }

    /// Adds an arrow. A second one between the same blocks adds its line to the first. One that does not lead
    /// from a block to a later one is ignored.
    pub fn arrow(&mut self, from: usize, to: usize, line: String) {
        if from >= to || to >= self.blocks.len() {
            return;
        }
        match self.arrows.iter_mut().find(|arrow| (arrow.from, arrow.to) == (from, to)) {
            Some(known) => known.lines.push(line),
            None => self.arrows.push(Arrow { from, to, lines: vec![line] }),
        }
    }

    /// The blocks, by position.
    pub fn blocks(&self) -> &[Block] {
        &self.blocks
    }

    /// The arrows.
    pub fn arrows(&self) -> &[Arrow] {
        &self.arrows
    }
}

impl Arrow {
    /// The lines, or how many they are where that is shorter.
    fn label(&self) -> Vec<String> {
        const MOST: usize = 3;
        match self.lines.len() {
            0..=MOST => self.lines.clone(),
            count => {
                let first = self.lines.iter().take(MOST - 1).cloned();
                first.chain([format!("and {} more", count + 1 - MOST)]).collect()
            }
        }
    }
}

/// A number of bytes for people.
///
/// ```
/// assert_eq!(wgrad_core::diagram::bytes(1536), "1.5 KiB");
/// ```
pub fn bytes(bytes: u64) -> String {
    let mut value = bytes as f64;
    for unit in ["bytes", "KiB", "MiB"] {
        if value < 1024.0 {
            return if unit == "bytes" { format!("{bytes} bytes") } else { digits(value, unit) };
        }
        value /= 1024.0;
    }
    digits(value, "GiB")
}

fn digits(value: f64, unit: &str) -> String {
    let decimals = usize::from(value < 10.0 && value.fract() > 0.04);
    format!("{value:.decimals$} {unit}")
}
