//! WGSL as a sequence of words: enough to find and rename what a text declares.

use std::ops::Range;

/// The text with spaces in place of its comments, so that everything else stays where it is.
pub(super) fn without_comments(source: &str) -> String {
    let mut text = String::with_capacity(source.len());
    let (mut rest, mut nested, mut line) = (source, 0, false);
    while let Some(next) = rest.chars().next() {
        let pair = |pair: &str| rest.starts_with(pair);
        let taken = match () {
            () if next == '\n' => {
                line = false;
                text.push('\n');
                1
            }
            () if !line && pair("/*") => {
                nested += 1;
                2
            }
            () if nested > 0 && pair("*/") => {
                nested -= 1;
                2
            }
            () if nested == 0 && pair("//") => {
                line = true;
                2
            }
            () if line || nested > 0 => next.len_utf8(),
            () => {
                text.push(next);
                rest = &rest[next.len_utf8()..];
                continue;
            }
        };
        if next != '\n' {
            text.extend(std::iter::repeat_n(' ', taken));
        }
        rest = &rest[taken..];
    }
    text
}

/// Identifiers, keywords and numbers, with their places.
pub(super) fn words(text: &str) -> Vec<(Range<usize>, &str)> {
    let mut found = vec![];
    let mut start = None;
    for (at, c) in text.char_indices().chain([(text.len(), ' ')]) {
        let inside = c.is_alphanumeric() || c == '_';
        match start {
            None if inside => start = Some(at),
            Some(from) if !inside => {
                found.push((from..at, &text[from..at]));
                start = None;
            }
            _ => {}
        }
    }
    found
}

/// The names that a text without comments declares outside of functions.
pub(super) fn declared(text: &str) -> Vec<&str> {
    let (mut names, mut depth, mut before, mut end) = (vec![], 0i32, "", 0);
    for (place, word) in words(text) {
        let between = &text[end..place.start];
        depth += between.matches('{').count() as i32 - between.matches('}').count() as i32;
        if depth == 0 && matches!(before, "fn" | "const" | "struct" | "alias") {
            names.push(word);
        }
        (before, end) = (word, place.end);
    }
    names
}

/// The text with a suffix on every word that is one of the names, except for members and attributes.
pub(super) fn renamed(text: &str, names: &[&str], suffix: &str) -> String {
    let (mut result, mut end) = (String::with_capacity(text.len()), 0);
    for (place, word) in words(text) {
        result.push_str(&text[end..place.end]);
        let own = !text[..place.start].ends_with(['.', '@']);
        if own && names.contains(&word) {
            result.push_str(suffix);
        }
        end = place.end;
    }
    result + &text[end..]
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOURCE: &str = "// const no = 1;\nconst k = 2.0; /* fn /* nor */ this() */\nstruct Pair { k: f32 }\n\
        fn f(x: f32) -> f32 { let fn_ = x; return g(x) + k; }\nfn g(y: f32) -> f32 { return v.g; }\n";

    #[test]
    fn comments_become_spaces() {
        let text = without_comments(SOURCE);
        assert_eq!(text.len(), SOURCE.len());
        assert!(!text.contains("no") && !text.contains("this") && text.contains("return g(x)"));
        assert_eq!(text.find("struct"), SOURCE.find("struct"));
        assert_eq!(without_comments("a / b // c /* d\n* /"), "a / b          \n* /");
    }

    #[test]
    fn declarations_are_found_and_renamed() {
        let text = without_comments(SOURCE);
        let names = declared(&text);
        assert_eq!(names, ["k", "Pair", "f", "g"]);
        let renamed = renamed(&text, &names, "_1");
        assert!(renamed.contains("fn f_1(x: f32)") && renamed.contains("g_1(x) + k_1"), "{renamed}");
        assert!(renamed.contains("v.g;"), "{renamed}");
    }
}
