//! A stream of tokens as a dataset for language models.

use std::sync::Arc;

use wgrad_core::{TensorSpec, U32};

use crate::{DataError, Dataset, Record};

/// Windows of one long sequence of tokens: `tokens` u32\[length\], and `next` u32\[length\], the same one
/// position later, which a language model learns to predict. Clones and parts share the tokens.
///
/// ```
/// use wgrad_data::{Characters, Dataset, TokenStream};
/// let text = "to be or not to be, that is the question";
/// let characters = Characters::of(text);
/// let stream = TokenStream::new(characters.encode(text)?, 8);
/// let (train, validation) = stream.split(0.75);
/// assert_eq!((stream.len(), train.len(), validation.len()), (4, 3, 1));
/// # Ok::<(), wgrad_data::DataError>(())
/// ```
#[derive(Clone, Debug)]
pub struct TokenStream {
    tokens: Arc<[u32]>,
    start: usize,
    end: usize,
    length: usize,
    stride: usize,
}

impl TokenStream {
    /// Windows of `length` tokens, one behind the other. Tokens come from [`Characters`], [`Words`] or any
    /// other tokenizer.
    ///
    /// [`Characters`]: crate::Characters
    /// [`Words`]: crate::Words
    pub fn new(tokens: Vec<u32>, length: usize) -> Self {
        let end = tokens.len();
        Self { tokens: tokens.into(), start: 0, end, length, stride: length.max(1) }
    }

    /// Windows that start `stride` tokens after one another (at least 1): they overlap where it is smaller
    /// than their length.
    pub fn stride(self, stride: usize) -> Self {
        Self { stride: stride.max(1), ..self }
    }

    /// The beginning and the rest of the stream. Windows do not reach across the cut. `fraction` is that
    /// of the beginning, 0 to 1.
    pub fn split(&self, fraction: f64) -> (Self, Self) {
        let length = (self.end - self.start) as f64;
        let cut = self.start + (length * fraction.clamp(0.0, 1.0)).round() as usize;
        (Self { end: cut, ..self.clone() }, Self { start: cut, ..self.clone() })
    }
}

impl Dataset for TokenStream {
    fn len(&self) -> usize {
        // Each window needs one more token, the last to predict.
        let starts = (self.end - self.start).saturating_sub(self.length);
        if self.length == 0 { 0 } else { starts.div_ceil(self.stride) }
    }

    fn fields(&self) -> Vec<(String, TensorSpec)> {
        let spec = TensorSpec::new(U32, [self.length]);
        vec![("tokens".into(), spec.clone()), ("next".into(), spec)]
    }

    fn write(&self, record: usize, sink: &mut Record<'_>) -> Result<(), DataError> {
        if record >= self.len() {
            return Err(DataError::NoSuchRecord { record, records: self.len() });
        }
        let start = self.start + record * self.stride;
        let window = &self.tokens[start..=start + self.length];
        sink.write("tokens", &window[..self.length])?;
        sink.write("next", &window[1..])
    }
}
