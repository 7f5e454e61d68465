//! Text as numbers, character by character.

use std::sync::Arc;

use crate::DataError;

/// The characters of a text, numbered from 0 in the order of their code points.
///
/// ```
/// use wgrad_data::Characters;
/// let characters = Characters::of("to be or not to be");
/// let tokens = characters.encode("not to be")?;
/// assert_eq!(characters.len(), 7);
/// assert_eq!(characters.decode(&tokens), "not to be");
/// # Ok::<(), wgrad_data::DataError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Characters(Arc<[char]>);

impl Characters {
    /// The characters that occur in a text.
    pub fn of(text: &str) -> Self {
        let characters: std::collections::BTreeSet<char> = text.chars().collect();
        Self(characters.into_iter().collect())
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The numbers of a text's characters. Errors: a character that is not one of them.
    pub fn encode(&self, text: &str) -> Result<Vec<u32>, DataError> {
        let number = |character: char| match self.0.binary_search(&character) {
            Ok(number) => Ok(number as u32),
            Err(_) => Err(DataError::Character { character }),
        };
        text.chars().map(number).collect()
    }

    /// The text of numbers. A number that stands for nothing becomes `�`.
    pub fn decode(&self, tokens: &[u32]) -> String {
        let character = |&token: &u32| self.0.get(token as usize).copied();
        tokens.iter().map(|token| character(token).unwrap_or(char::REPLACEMENT_CHARACTER)).collect()
    }
}
