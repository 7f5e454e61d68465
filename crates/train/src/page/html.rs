//! Pieces of HTML. They are XML as well, so that any parser can check them.

/// Text from outside, as it may stand in an element or in a quoted attribute. Characters that XML does not know
/// are replaced.
pub(super) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            '\t' | '\n' => escaped.push(character),
            _ if character.is_control() || matches!(character, '\u{fffe}' | '\u{ffff}') => {
                escaped.push('\u{fffd}');
            }
            _ => escaped.push(character),
        }
    }
    escaped
}

/// A section under a heading, unless it is empty.
pub(super) fn section(heading: &str, body: &str) -> String {
    if body.is_empty() { String::new() } else { format!("<h2>{}</h2>\n{body}\n", escape(heading)) }
}

pub(super) fn paragraph(text: &str) -> String {
    format!("<p class=\"faint\">{}</p>\n", escape(text))
}

/// Text as it is, in columns.
pub(super) fn preformatted(text: &str) -> String {
    format!("<pre>{}</pre>\n", escape(text))
}

/// A cell with text in it.
pub(super) fn cell(text: impl AsRef<str>) -> String {
    format!("<td>{}</td>", escape(text.as_ref()))
}

/// A cell that is filled up to a share.
pub(super) fn bar(text: &str, share: f64) -> String {
    format!("<td class=\"bar\" style=\"--share:{:.1}%\">{}</td>", percent(share), escape(text))
}

/// A share between 0 and 1 in percent; nothing where it is no number.
pub(super) fn percent(share: f64) -> f64 {
    if share.is_nan() { 0.0 } else { 100.0 * share.clamp(0.0, 1.0) }
}

pub(super) fn row(class: &str, cells: &[String]) -> String {
    let class = if class.is_empty() { String::new() } else { format!(" class=\"{class}\"") };
    format!("<tr{class}>{}</tr>\n", cells.concat())
}

/// A table under a header, which scrolls where it is large. Rows are made by [`row`].
pub(super) fn table(class: &str, header: &[&str], rows: &[String]) -> String {
    let header: String = header.iter().map(|name| format!("<th>{}</th>", escape(name))).collect();
    format!(
        "<div class=\"scroll\"><table class=\"{class}\"><thead><tr>{header}</tr></thead>\n<tbody>\n{}</tbody></table></div>\n",
        rows.concat()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_from_outside_is_markup() {
        assert_eq!(escape("<a b='c'>\"&\"</a>"), "&lt;a b=&#39;c&#39;&gt;&quot;&amp;&quot;&lt;/a&gt;");
        assert_eq!(escape("a\u{0}\u{8}b\nü"), "a\u{fffd}\u{fffd}b\nü");
    }

    #[test]
    fn shares_are_percents() {
        assert_eq!([f64::NAN, -1.0, 0.25, 2.0].map(percent), [0.0, 0.0, 25.0, 100.0]);
    }
}
