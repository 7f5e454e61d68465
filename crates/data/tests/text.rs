//! Vocabularies, streams and sequences of tokens.

use proptest::prelude::*;
use wgrad_core::batch::{Batch, HostMemory};
use wgrad_data::{Buckets, Characters, DataError, Dataset, Loader, Sequences, TokenStream, Words};

fn field(batch: &Batch, name: &str) -> Vec<u32> {
    let memory = batch.memory.as_any().downcast_ref::<HostMemory>().unwrap();
    let field = batch.layout.get(name).unwrap();
    let bytes = &memory.0[field.offset..field.offset + field.spec.bytes()];
    bytes.chunks(4).map(|b| u32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect()
}

fn batches(data: impl Dataset + 'static, size: usize) -> Vec<(Vec<u32>, Vec<u32>)> {
    let names: Vec<String> = data.fields().into_iter().map(|(name, _)| name).collect();
    let both = |batch: Batch| (field(&batch, &names[0]), field(&batch, &names[1]));
    Loader::new(data, size).epoch(0).map(|batch| both(batch.unwrap())).collect()
}

#[test]
fn characters_are_numbered_in_order() {
    let characters = Characters::of("bañb");
    assert_eq!(characters.encode("abñ").unwrap(), [0, 1, 2]);
    assert_eq!(characters.decode(&[2, 0, 9]), "ña�");
    let error = characters.encode("abc").unwrap_err();
    assert!(matches!(error, DataError::Character { character: 'c' }));
    assert!(Characters::of("").is_empty());
}

proptest! {
    #[test]
    fn characters_come_back(text in ".{0,40}", other in ".{0,10}") {
        let characters = Characters::of(&(text.clone() + &other));
        prop_assert_eq!(characters.decode(&characters.encode(&text).unwrap()), text);
    }

    #[test]
    fn any_text_has_words(text in ".{0,60}") {
        let words = Words::of([&text], 1);
        let tokens = words.encode(&text);
        prop_assert!(tokens.iter().all(|&token| token >= 2 && (token as usize) < words.len()));
        prop_assert_eq!(words.is_empty(), tokens.is_empty());
    }
}

#[test]
fn words_are_split_and_counted() {
    let words = Words::of(["Don't stop; ''don't'' stop — STOP!"], 1);
    assert_eq!(words.decode(&words.encode("stop don't unknown !")), "stop don't <other> !");
    assert_eq!(words.encode("stop"), [2]);
    assert_eq!(words.len(), 2 + 5, "stop, don't, ; — !");
    assert_eq!(Words::of(["a a b"], 2).encode("a b"), [2, Words::OTHER]);
}

#[test]
fn windows_and_what_follows_them() {
    let stream = TokenStream::new((0..10).collect(), 3);
    assert_eq!(
        batches(stream.clone(), 1),
        [(vec![0, 1, 2], vec![1, 2, 3]), (vec![3, 4, 5], vec![4, 5, 6]), (vec![6, 7, 8], vec![7, 8, 9])]
    );
    let close = stream.clone().stride(2);
    assert_eq!(batches(close, 4)[0].0, [0, 1, 2, 2, 3, 4, 4, 5, 6, 6, 7, 8]);
    let (first, rest) = stream.split(0.6);
    assert_eq!(batches(first, 1), [(vec![0, 1, 2], vec![1, 2, 3])], "token 6 belongs to the rest");
    assert_eq!(batches(rest, 1), [(vec![6, 7, 8], vec![7, 8, 9])]);
    for short in [TokenStream::new(vec![1, 2], 2), TokenStream::new(vec![], 1), TokenStream::new(vec![1], 0)]
    {
        assert!(short.is_empty());
    }
}

#[test]
fn sequences_are_padded_and_cut() {
    let data = Sequences::new(vec![vec![5], vec![1, 2, 3]], vec![1, 0], 2).unwrap();
    assert_eq!(batches(data.clone(), 2), [(vec![5, 0, 0, 1, 2, 3], vec![1, 0])]);
    let short = data.clone().padded_to(2).padding(9);
    assert_eq!(batches(short, 2), [(vec![5, 9, 1, 2], vec![1, 0])]);
    assert_eq!(data.subset([1]).unwrap().labels().collect::<Vec<_>>(), [0]);
    assert!(matches!(data.subset([2]), Err(DataError::NoSuchRecord { .. })));
    assert!(matches!(Sequences::new(vec![vec![]], vec![0, 1], 2), Err(DataError::Count { .. })));
    assert!(matches!(Sequences::new(vec![vec![]], vec![2], 2), Err(DataError::Label { .. })));
}

/// Every sequence is in one bucket, the shortest that it fits.
#[test]
fn buckets_hold_what_fits() {
    let lengths = [3, 9, 1, 4, 7, 12];
    let sequences = lengths.iter().map(|&n| vec![n as u32; n]).collect();
    let data = Sequences::new(sequences, vec![0; 6], 1).unwrap();
    let buckets = data.buckets(&[8, 4, 100, 10]);
    let sizes: Vec<_> = buckets.iter().map(|b| (b.fields()[0].1.shape[0], b.len())).collect();
    assert_eq!(sizes, [(4, 3), (8, 1), (10, 1), (100, 1)]);
    let cut = data.buckets(&[4, 8]);
    assert_eq!(batches(cut[1].clone(), 3)[0].0, [[9; 8], [7, 7, 7, 7, 7, 7, 7, 0], [12; 8]].concat());

    let loaders = buckets.into_iter().map(|bucket| Loader::new(bucket, 1)).collect();
    let buckets = Buckets::new(loaders, 3);
    let turns = |epoch| buckets.epoch(epoch).unwrap().map(|(turn, _)| turn).collect::<Vec<_>>();
    assert_eq!(turns(0), turns(0));
    assert!((1..8).any(|epoch| turns(epoch) != turns(0)));
    let mut sorted = turns(0);
    sorted.sort_unstable();
    assert_eq!(sorted, [0, 0, 0, 1, 2, 3]);
}
