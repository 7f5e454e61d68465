//! Diagrams as SVG pictures, light or dark as the viewer is.

use std::fmt::Write;

use super::layout::{Layout, Place, Size, layout};
use super::{Diagram, Kind};

/// The size of the font and the height of a line; of labels beside arrows, too. A character of a monospaced font is
/// 0.6 as wide as it is high, whichever it is.
const TEXT: (f64, f64) = (12.0, 16.0);
const LABEL: (f64, f64) = (10.0, 12.0);
const CHARACTER: f64 = 0.602;
/// Space around the text of a block, and around the picture.
const PADDING: f64 = 8.0;
const MARGIN: f64 = 12.0;

/// Classes begin with `wg-`: where the picture stands within a page, its style is that of the page.
const STYLE: &str = "
.wg text { font-family: ui-monospace, 'DejaVu Sans Mono', Menlo, Consolas, monospace; fill: #1f2328 }
.wg .wg-heading { font-weight: bold } .wg .wg-label { fill: #59636e }
.wg path { fill: none; stroke: #8b949e } .wg marker path { fill: #8b949e }
.wg rect { stroke: #8b949e; fill: #dcebf7 }
.wg .wg-input { fill: #ececec } .wg .wg-reduction { fill: #fdeecb }
.wg .wg-contraction { fill: #d8f0dc } .wg .wg-update { fill: #f3dcef }
@media (prefers-color-scheme: dark) {
.wg text { fill: #e6edf3 } .wg .wg-label { fill: #9198a1 }
.wg rect { stroke: #656c76; fill: #1c3044 }
.wg .wg-input { fill: #2d3136 } .wg .wg-reduction { fill: #453a1d }
.wg .wg-contraction { fill: #1d3b26 } .wg .wg-update { fill: #412a41 }
}
";

impl Diagram {
    /// The diagram as a picture of its own; nothing else is needed to look at it.
    pub fn to_svg(&self) -> String {
        let blocks: Vec<Size> = self.blocks.iter().map(|block| size(&block.lines, TEXT, PADDING)).collect();
        let labels: Vec<Size> = self.arrows.iter().map(|arrow| size(&arrow.label(), LABEL, 2.0)).collect();
        let layout = layout(self, &blocks, &labels);
        let mut text = String::new();
        // Writing to a string cannot fail.
        let _ = self.write_svg(&layout, &mut text);
        text
    }

    fn write_svg(&self, layout: &Layout, text: &mut String) -> std::fmt::Result {
        let (width, height) = (layout.size.width + 2.0 * MARGIN, layout.size.height + 2.0 * MARGIN);
        writeln!(
            text,
            "<svg xmlns=\"http://www.w3.org/2000/svg\" class=\"wg\" width=\"{width:.0}\" height=\"{height:.0}\" \
             viewBox=\"{} {} {width:.0} {height:.0}\">",
            -MARGIN, -MARGIN
        )?;
        writeln!(text, "<style>{STYLE}</style>")?;
        writeln!(
            text,
            "<defs><marker id=\"wg-arrow\" viewBox=\"0 0 8 8\" refX=\"7\" refY=\"4\" markerWidth=\"7\" \
             markerHeight=\"7\" orient=\"auto\"><path d=\"M0 0L8 4L0 8z\"/></marker></defs>"
        )?;
        for (arrow, bends) in self.arrows.iter().zip(&layout.arrows) {
            let path = path(&layout.blocks[arrow.from], bends, &layout.blocks[arrow.to]);
            writeln!(text, "<path d=\"{path}\" marker-end=\"url(#wg-arrow)\"/>")?;
        }
        for (arrow, bends) in self.arrows.iter().zip(&layout.arrows) {
            if let Some(place) = bends.first() {
                write_lines(text, &arrow.label(), place, LABEL, 2.0, "wg-label")?;
            }
        }
        for (block, place) in self.blocks.iter().zip(&layout.blocks) {
            let Size { width, height } = place.size;
            writeln!(
                text,
                "<rect class=\"{}\" x=\"{:.1}\" y=\"{:.1}\" width=\"{width:.1}\" height=\"{height:.1}\" rx=\"5\"/>",
                class(block.kind),
                place.x - width / 2.0,
                place.y
            )?;
            write_lines(text, &block.lines, place, TEXT, PADDING, "wg-heading")?;
        }
        writeln!(text, "</svg>")
    }
}

/// The size of a text with space around it.
fn size(lines: &[String], (font, line): (f64, f64), padding: f64) -> Size {
    let characters = lines.iter().map(|line| line.chars().count()).max().unwrap_or(0);
    Size {
        width: characters as f64 * font * CHARACTER + 2.0 * padding,
        height: lines.len() as f64 * line + 2.0 * padding,
    }
}

/// Text in the middle of a place. A heading is the first line alone.
fn write_lines(
    text: &mut String,
    lines: &[String],
    place: &Place,
    (font, height): (f64, f64),
    padding: f64,
    class: &str,
) -> std::fmt::Result {
    for (number, line) in lines.iter().enumerate() {
        let base = place.y + padding + number as f64 * height + 0.78 * height;
        let class = if class == "wg-heading" && number > 0 { "" } else { class };
        writeln!(
            text,
            "<text class=\"{class}\" x=\"{:.1}\" y=\"{base:.1}\" font-size=\"{font}\" text-anchor=\"middle\">{}</text>",
            place.x,
            escape(line)
        )?;
    }
    Ok(())
}

/// From the lower edge of a block through every bend to the upper edge of another: straight through ranks,
/// curved between them.
fn path(from: &Place, bends: &[Place], to: &Place) -> String {
    let bottom = |place: &Place| place.y + place.size.height;
    let mut path = format!("M{:.1} {:.1}", from.x, bottom(from));
    let mut last = (from.x, bottom(from));
    for (number, place) in bends.iter().chain([to]).enumerate() {
        let middle = (last.1 + place.y) / 2.0;
        path +=
            &format!("C{:.1} {middle:.1} {:.1} {middle:.1} {:.1} {:.1}", last.0, place.x, place.x, place.y);
        last = (place.x, bottom(place));
        if number < bends.len() {
            path += &format!("{}{:.1} {:.1}", if number == 0 { 'M' } else { 'L' }, last.0, last.1);
        }
    }
    path
}

const fn class(kind: Kind) -> &'static str {
    match kind {
        Kind::Input => "wg-input",
        Kind::Map => "wg-map",
        Kind::Reduction => "wg-reduction",
        Kind::Contraction => "wg-contraction",
        Kind::Update => "wg-update",
    }
}

/// Text as XML holds it.
fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
