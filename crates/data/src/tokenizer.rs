//! Text as numbers, by any tokenizer of Hugging Face's library.

use std::fmt;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;

use tokenizers::models::bpe::{BPE, BpeTrainerBuilder};
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::{AddedToken, Encoding, TokenizerBuilder};

use crate::DataError;
use crate::epoch::panicked;
use crate::error::FileProblem;

/// A tokenizer as `tokenizer.json` describes it (Hugging Face's `PreTrainedTokenizerFast`): byte pairs, word
/// pieces or unigrams, with whatever goes before and after. Clones share it.
///
/// For batches of one length, or of a few, give what [`Tokenizer::encode_all`] returns to
/// [`Sequences`](crate::Sequences); for a language model give that of [`Tokenizer::encode_file`] or
/// [`Tokenizer::encode_documents`] to [`TokenStream`](crate::TokenStream).
///
/// ```
/// use wgrad_data::{Dataset, Sequences, TokenStream, Tokenizer};
/// let reviews = ["a good film, a very good film", "not a good film", "good"];
/// let tokenizer = Tokenizer::train(&reviews, 280, &["<pad>", "<end>"])?;
/// let pad = tokenizer.token("<pad>")?;
///
/// let tokens = tokenizer.encode_all(&reviews)?;
/// let data = Sequences::new(tokens, vec![1, 0, 1], 2)?.padding(pad).padded_to(8);
/// assert_eq!((data.len(), data.fields()[0].1.to_string()), (3, "u32[8]".into()));
///
/// let stream = TokenStream::new(tokenizer.encode_documents(&reviews, "<end>")?, 4);
/// assert!(stream.len() > 1);
/// assert_eq!(tokenizer.decode(&tokenizer.encode("a good film")?)?, "a good film");
/// # Ok::<(), wgrad_data::DataError>(())
/// ```
#[derive(Clone)]
pub struct Tokenizer {
    inner: Arc<tokenizers::Tokenizer>,
    /// One more than the largest number of a token.
    len: usize,
}

impl Tokenizer {
    /// Reads a `tokenizer.json`. Its truncation and padding are left out, as Hugging Face's
    /// `PreTrainedTokenizerFast` does unless a call asks for them: texts are encoded whole, and batches are
    /// padded. Errors: a file that cannot be read, or describes no tokenizer.
    pub fn read(path: impl AsRef<Path>) -> Result<Self, DataError> {
        let path = path.as_ref();
        let bytes = std::fs::read(path).map_err(DataError::io(path))?;
        Self::from_bytes(&bytes).map_err(|error| {
            let problem = FileProblem::Format(error.to_string());
            DataError::File { path: path.into(), problem }
        })
    }

    /// [`Tokenizer::read`] for a file in memory.
    pub fn from_bytes(json: &[u8]) -> Result<Self, DataError> {
        let inner = guarded(|| {
            let mut tokenizer = tokenizers::Tokenizer::from_bytes(json)?;
            tokenizer.with_padding(None).with_truncation(None)?;
            Ok(tokenizer)
        })?;
        let last = inner.get_vocab(true).into_values().max();
        Ok(Self { inner: Arc::new(inner), len: last.map_or(0, |last| last as usize + 1) })
    }

    /// Byte pairs learnt from texts, as GPT-2's (R. Sennrich et al., "Neural machine translation of rare words
    /// with subword units", 2016): the special tokens, the 256 bytes and the most frequent pairs of tokens,
    /// again and again, up to `vocabulary` in all. Every text can be encoded.
    pub fn train<T: AsRef<str> + Sync>(
        texts: &[T],
        vocabulary: usize,
        special: &[&str],
    ) -> Result<Self, DataError> {
        let special = special.iter().map(|token| AddedToken::from(*token, true)).collect();
        let mut trainer = BpeTrainerBuilder::new()
            .show_progress(false)
            .vocab_size(vocabulary)
            .special_tokens(special)
            .initial_alphabet(ByteLevel::alphabet().into_iter().collect())
            .build();
        let bytes = || ByteLevel::default().add_prefix_space(false);
        let json = guarded(|| {
            let mut tokenizer = TokenizerBuilder::new()
                .with_model(BPE::default())
                .with_normalizer(None::<tokenizers::NormalizerWrapper>)
                .with_pre_tokenizer(Some(bytes()))
                .with_post_processor(Some(bytes()))
                .with_decoder(Some(bytes()))
                .build()?;
            tokenizer.train(&mut trainer, texts.iter().map(AsRef::as_ref))?;
            tokenizer.to_string(false)
        });
        Self::from_bytes(json?.as_bytes())
    }

    /// The description that [`Tokenizer::read`] reads.
    pub fn to_json(&self) -> Result<String, DataError> {
        guarded(|| self.inner.to_string(true))
    }

    /// How many rows an embedding needs: one more than the largest number of a token.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are no tokens.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The number of a token, as of `[PAD]`. Errors: there is none.
    pub fn token(&self, token: &str) -> Result<u32, DataError> {
        let unknown = || DataError::Tokenizer { problem: format!("there is no token `{token}`") };
        self.inner.token_to_id(token).ok_or_else(unknown)
    }

    /// The numbers of a text's tokens, with those that the tokenizer puts in front and behind.
    pub fn encode(&self, text: &str) -> Result<Vec<u32>, DataError> {
        self.numbers(&guarded(|| self.inner.encode_fast(text, true))?)
    }

    /// [`Tokenizer::encode`] for many texts, on all cores.
    pub fn encode_all<T: AsRef<str>>(&self, texts: &[T]) -> Result<Vec<Vec<u32>>, DataError> {
        let texts = texts.iter().map(AsRef::as_ref).collect();
        let encoded = guarded(|| self.inner.encode_batch_fast::<&str>(texts, true))?;
        encoded.iter().map(|encoding| self.numbers(encoding)).collect()
    }

    /// All texts one after the other, with a token behind each: the stream that a language model learns from.
    pub fn encode_documents<T: AsRef<str>>(&self, texts: &[T], end: &str) -> Result<Vec<u32>, DataError> {
        let end = self.token(end)?;
        let documents = self.plain(texts.iter().map(AsRef::as_ref).collect())?;
        Ok(documents.into_iter().flat_map(|tokens| tokens.into_iter().chain([end])).collect())
    }

    /// The tokens of a text file, which is read and encoded some lines at a time. Tokens do not reach across
    /// line ends, and nothing is put in front or behind. Errors: a file that cannot be read, or is not UTF-8.
    pub fn encode_file(&self, path: impl AsRef<Path>) -> Result<Vec<u32>, DataError> {
        const PIECE: usize = 1 << 20;
        let io = DataError::io(path.as_ref());
        let mut file = BufReader::new(File::open(path.as_ref()).map_err(&io)?);
        let (mut tokens, mut lines, mut bytes) = (Vec::new(), Vec::new(), 0);
        loop {
            let mut line = String::new();
            let read = file.read_line(&mut line).map_err(&io)?;
            bytes += read;
            lines.push(line);
            if read == 0 || bytes >= PIECE {
                let piece = self.plain(lines.iter().map(String::as_str).collect())?;
                tokens.extend(piece.into_iter().flatten());
                (lines, bytes) = (Vec::new(), 0);
            }
            if read == 0 {
                return Ok(tokens);
            }
        }
    }

    /// The tokens of texts, without any in front or behind.
    fn plain(&self, texts: Vec<&str>) -> Result<Vec<Vec<u32>>, DataError> {
        let encoded = guarded(|| self.inner.encode_batch_fast::<&str>(texts, false))?;
        encoded.iter().map(|encoding| self.numbers(encoding)).collect()
    }

    /// What is put in front and behind, or padded with, may be no token at all where a file is damaged.
    fn numbers(&self, encoding: &Encoding) -> Result<Vec<u32>, DataError> {
        match encoding.get_ids().iter().find(|&&number| number as usize >= self.len) {
            Some(number) => {
                Err(DataError::Tokenizer { problem: format!("it gives {number}, which is no token") })
            }
            None => Ok(encoding.get_ids().to_vec()),
        }
    }

    /// The text of tokens, special ones left out.
    pub fn decode(&self, tokens: &[u32]) -> Result<String, DataError> {
        guarded(|| self.inner.decode(tokens, true))
    }
}

impl fmt::Debug for Tokenizer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tokenizer of {} tokens", self.len)
    }
}

/// A description that contradicts itself can make the library panic.
fn guarded<T>(run: impl FnOnce() -> tokenizers::Result<T>) -> Result<T, DataError> {
    let problem = match catch_unwind(AssertUnwindSafe(run)) {
        Ok(Ok(result)) => return Ok(result),
        Ok(Err(error)) => error.to_string(),
        Err(panic) => panicked(panic).to_string(),
    };
    Err(DataError::Tokenizer { problem })
}
