//! Tokenizers: trained ones, those of a file, and what is wrong with files.
#![cfg(feature = "tokenizers")]

use std::fs;

use tempfile::TempDir;
use wgrad_data::{Buckets, DataError, Dataset, Loader, Sequences, TokenStream, Tokenizer};

const SPECIAL: [&str; 2] = ["<pad>", "<end>"];

fn texts() -> Vec<String> {
    let text = "the cat sat on the mat and the dog sat on the cat";
    (1..=12).map(|words| text.split(' ').take(words).collect::<Vec<_>>().join(" ")).collect()
}

fn trained() -> Tokenizer {
    Tokenizer::train(&texts(), 270, &SPECIAL).unwrap()
}

/// Four words, with `[CLS]` in front of every text and lower case before anything else.
const WORDS: &str = r#"{
    "version": "1.0", "truncation": null, "padding": null,
    "added_tokens": [{"id": 0, "content": "[CLS]", "single_word": false, "lstrip": false, "rstrip": false,
                      "normalized": false, "special": true}],
    "normalizer": {"type": "Lowercase"}, "pre_tokenizer": {"type": "Whitespace"},
    "post_processor": {"type": "TemplateProcessing",
        "single": [{"SpecialToken": {"id": "[CLS]", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
        "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 0}}],
        "special_tokens": {"[CLS]": {"id": "[CLS]", "ids": [0], "tokens": ["[CLS]"]}}},
    "decoder": null,
    "model": {"type": "WordLevel", "unk_token": "?", "vocab": {"[CLS]": 0, "?": 1, "cat": 2, "dog": 7}}
}"#;

#[test]
fn byte_pairs_are_learnt_and_merge_what_is_frequent() {
    let tokenizer = trained();
    assert_eq!(tokenizer.len(), 270);
    assert_eq!((tokenizer.token("<pad>").unwrap(), tokenizer.token("<end>").unwrap()), (0, 1));
    // 258 are special tokens and bytes; with 12 merges the most frequent word is one token.
    assert_eq!(tokenizer.encode(" the").unwrap().len(), 1);
    let text = "the zebra 🦓 sat\n";
    assert_eq!(tokenizer.decode(&tokenizer.encode(text).unwrap()).unwrap(), text);
    let again = trained();
    assert_eq!(again.to_json().unwrap(), tokenizer.to_json().unwrap(), "the same texts give the same tokens");
}

#[test]
fn a_description_survives_a_file() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("tokenizer.json");
    let tokenizer = trained();
    fs::write(&path, tokenizer.to_json().unwrap()).unwrap();
    let read = Tokenizer::read(&path).unwrap();
    assert_eq!(read.encode_all(&texts()).unwrap(), tokenizer.encode_all(&texts()).unwrap());

    let words = Tokenizer::from_bytes(WORDS.as_bytes()).unwrap();
    assert_eq!(words.encode("Dog eats CAT").unwrap(), [0, 7, 1, 2]);
    assert_eq!(words.len(), 8, "an embedding needs a row for the largest number");
    assert!(words.token("[PAD]").unwrap_err().to_string().contains("[PAD]"));
}

/// A saved file keeps the truncation and padding of the last call before.
#[test]
fn texts_are_neither_cut_nor_padded() {
    let truncation = r#""truncation": {"direction": "Right", "max_length": 3, "strategy": "LongestFirst",
        "stride": 0}"#;
    let padding = r#""padding": {"strategy": {"Fixed": 6}, "direction": "Right", "pad_to_multiple_of": null,
        "pad_id": 1, "pad_type_id": 0, "pad_token": "?"}"#;
    let json = WORDS.replace(r#""truncation": null"#, truncation).replace(r#""padding": null"#, padding);
    let words = Tokenizer::from_bytes(json.as_bytes()).unwrap();
    let texts = ["cat dog cat dog", "cat"];
    assert_eq!(words.encode(texts[0]).unwrap(), [0, 2, 7, 2, 7]);
    assert_eq!(words.encode_all(&texts).unwrap(), [vec![0, 2, 7, 2, 7], vec![0, 2]]);
    assert_eq!(words.encode_documents(&texts, "?").unwrap(), [2, 7, 2, 7, 1, 2, 1]);

    let dir = TempDir::new().unwrap();
    let path = dir.path().join("text.txt");
    fs::write(&path, texts.join("\n")).unwrap();
    assert_eq!(words.encode_file(&path).unwrap(), [2, 7, 2, 7, 2]);
}

#[test]
fn documents_and_files_become_streams() {
    let tokenizer = trained();
    let texts = texts();
    let stream = tokenizer.encode_documents(&texts, "<end>").unwrap();
    let encoded = tokenizer.encode_all(&texts).unwrap();
    let expected: Vec<u32> = encoded.into_iter().flat_map(|tokens| [tokens, vec![1]].concat()).collect();
    assert_eq!(stream, expected);

    let dir = TempDir::new().unwrap();
    let path = dir.path().join("text.txt");
    let text = texts.join("\n");
    fs::write(&path, &text).unwrap();
    let tokens = tokenizer.encode_file(&path).unwrap();
    assert_eq!(tokenizer.decode(&tokens).unwrap(), text);
    let chunks = TokenStream::new(tokens.clone(), 16);
    assert_eq!(chunks.len(), (tokens.len() - 1) / 16);
    fs::write(&path, [b'a', 0xff]).unwrap();
    let error = tokenizer.encode_file(&path).unwrap_err();
    assert!(error.to_string().contains("text.txt"), "{error}");
}

#[test]
fn encoded_texts_fill_padded_batches_by_buckets() {
    let tokenizer = trained();
    let encoded = tokenizer.encode_all(&texts()).unwrap();
    let labels = vec![0; encoded.len()];
    let data = Sequences::new(encoded, labels, 1).unwrap().padding(tokenizer.token("<pad>").unwrap());
    let loaders = data.buckets(&[8, 16, 32]).into_iter().map(|bucket| Loader::new(bucket, 3).shuffle(1));
    let buckets = Buckets::new(loaders.collect(), 1);
    let lengths = buckets.epoch(0).unwrap().map(|(_, batch)| batch.unwrap().layout.fields()[0].spec.shape[1]);
    let lengths: Vec<usize> = lengths.collect();
    assert!(lengths.iter().all(|length| [8, 16, 32].contains(length)) && lengths.len() > 3, "{lengths:?}");
}

#[test]
fn descriptions_of_no_tokenizer_are_errors() {
    for json in ["", "{}", "[1]", "{\"model\": {\"type\": \"BPE\"}}", &WORDS[..300]] {
        assert!(matches!(Tokenizer::from_bytes(json.as_bytes()), Err(DataError::Tokenizer { .. })), "{json}");
    }
    let dir = TempDir::new().unwrap();
    assert!(matches!(Tokenizer::read(dir.path().join("none")), Err(DataError::File { .. })));
    let damaged = WORDS.replace("\"ids\": [0]", "\"ids\": [900]");
    let error = Tokenizer::from_bytes(damaged.as_bytes()).unwrap().encode("cat").unwrap_err().to_string();
    assert!(error.ends_with("it gives 900, which is no token"), "{error}");
    // An unknown word, and none to stand for it.
    let words = Tokenizer::from_bytes(WORDS.replace("\"?\": 1,", "").as_bytes());
    assert!(words.and_then(|words| words.encode("zebra")).is_err());
}
