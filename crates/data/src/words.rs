//! Text as numbers, word by word.

use std::collections::HashMap;
use std::sync::Arc;

/// The frequent words of some texts, numbered from 2 by falling frequency: 0 is kept for
/// [padding](crate::Sequences), 1 for every other word. A word is a run of letters, digits and apostrophes
/// within it, in lower case; any other character but white space is a word of its own.
///
/// ```
/// use wgrad_data::Words;
/// let words = Words::of(["A film, a good film!", "No film"], 2);
/// assert_eq!(words.len(), 4); // padding, other, "film", "a"
/// assert_eq!(words.encode("a bad film"), [3, 1, 2]);
/// assert_eq!(words.decode(&[3, 2]), "a film");
/// ```
#[derive(Clone, Debug)]
pub struct Words {
    words: Arc<[String]>,
    numbers: Arc<HashMap<String, u32>>,
}

impl Words {
    /// The number that pads.
    pub const PADDING: u32 = 0;
    /// The number of words that are not in the vocabulary.
    pub const OTHER: u32 = 1;

    /// The words that occur at least `at_least` times. Equally frequent ones are in alphabetical order.
    pub fn of<T: AsRef<str>>(texts: impl IntoIterator<Item = T>, at_least: usize) -> Self {
        let mut counts = HashMap::<String, usize>::new();
        for text in texts {
            split(text.as_ref()).for_each(|word| *counts.entry(word).or_default() += 1);
        }
        let mut frequent: Vec<(String, usize)> =
            counts.into_iter().filter(|(_, count)| *count >= at_least).collect();
        frequent.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
        let reserved = ["<padding>", "<other>"].map(String::from);
        let words: Arc<[String]> =
            reserved.into_iter().chain(frequent.into_iter().map(|(word, _)| word)).collect();
        let numbers = words.iter().cloned().zip(0..).skip(2).collect();
        Self { words, numbers: Arc::new(numbers) }
    }

    /// How many numbers there are, the two reserved ones included.
    pub fn len(&self) -> usize {
        self.words.len()
    }

    /// Whether no word is frequent enough.
    pub fn is_empty(&self) -> bool {
        self.words.len() == 2
    }

    /// The numbers of a text's words.
    pub fn encode(&self, text: &str) -> Vec<u32> {
        split(text).map(|word| self.numbers.get(&word).copied().unwrap_or(Self::OTHER)).collect()
    }

    /// The words of numbers, with spaces between.
    pub fn decode(&self, tokens: &[u32]) -> String {
        let word = |&token: &u32| self.words.get(token as usize).unwrap_or(&self.words[1]).as_str();
        tokens.iter().map(word).collect::<Vec<_>>().join(" ")
    }
}

/// The words of a text.
fn split(text: &str) -> impl Iterator<Item = String> + '_ {
    let lone = |part: &str| part.chars().next().is_some_and(|first| !within(first));
    let parts = text.split_whitespace().flat_map(|part| {
        let mut words: Vec<&str> = Vec::new();
        let mut rest = part;
        while let Some(first) = rest.chars().next() {
            let end = if within(first) {
                rest.find(|c| !within(c)).unwrap_or(rest.len())
            } else {
                first.len_utf8()
            };
            words.push(&rest[..end]);
            rest = &rest[end..];
        }
        words
    });
    let trimmed = parts.map(move |part| if lone(part) { part } else { part.trim_matches('\'') });
    trimmed.filter(|word| !word.is_empty()).map(str::to_lowercase)
}

/// Whether a character belongs within a word.
fn within(character: char) -> bool {
    character.is_alphanumeric() || character == '\''
}
