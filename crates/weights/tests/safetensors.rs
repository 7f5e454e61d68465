//! Safetensors: what is written is read again, bit for bit, and lies as the format wants it.

use proptest::prelude::*;
use tempfile::TempDir;
use wgrad_core::{Array, Bool, DType, F16, F32, I32, Init, TensorSpec, U32, Vars};
use wgrad_weights::{StoredType, Weights, WeightsError};

#[test]
fn arrays_come_back_as_they_were() {
    let arrays = [
        (
            "weights",
            Array::new(F32, [2, 2], vec![1.0, -0.0, f64::INFINITY, f64::from(f32::MIN_POSITIVE / 2.0)]),
        ),
        ("halves", Array::new(F16, [3], vec![0.5, -65504.0, 6e-8])),
        ("flags", Array::new(Bool, [3], vec![1.0, 0.0, 1.0])),
        ("signed", Array::new(I32, [2, 1], vec![-2147483648.0, 7.0])),
        ("unsigned", Array::new(U32, [], vec![4294967295.0])),
        ("nothing", Array::new(F32, [0, 4], vec![])),
    ];
    let mut weights = Weights::new();
    for (name, array) in &arrays {
        let rounded = array.data.iter().map(|&v| array.spec.dtype.round(v)).collect();
        weights.insert(*name, &Array::new(array.spec.dtype, array.shape(), rounded));
    }
    weights.set_metadata("format", "pt");
    weights.set_metadata("quote", "\"é\"");
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("new/dir/weights.safetensors");
    weights.write(&path).unwrap();
    let read = Weights::read(&path).unwrap();
    assert_eq!(read.metadata(), weights.metadata());
    assert_eq!(read.len(), arrays.len());
    for (name, entry) in weights.iter() {
        let back = read.get(name).unwrap();
        assert_eq!(back.spec(), entry.spec(), "{name}");
        assert_eq!(back.to_bytes(), entry.to_bytes(), "{name}");
    }
    assert_eq!(read.to_bytes().unwrap(), std::fs::read(&path).unwrap());
    let files = std::fs::read_dir(path.parent().unwrap()).unwrap().count();
    assert_eq!(files, 1, "no temporary file is left");
}

/// The layout that the format's description asks for: header padded to eight bytes, arrays aligned, no gaps.
#[test]
fn the_header_is_as_documented() {
    let mut weights = Weights::new();
    weights.insert("byte", &Array::new(Bool, [1], vec![1.0]));
    weights.insert("word", &Array::from_slice([1], &[1.5f32]));
    let bytes = weights.to_bytes().unwrap();
    let header = r#"{"byte":{"data_offsets":[4,5],"dtype":"BOOL","shape":[1]},"word":{"data_offsets":[0,4],"dtype":"F32","shape":[1]}}"#;
    let length = header.len().next_multiple_of(8);
    assert_eq!(bytes[..8], (length as u64).to_le_bytes());
    let found: serde_json::Value = serde_json::from_slice(&bytes[8..8 + length]).unwrap();
    assert_eq!(found, serde_json::from_str::<serde_json::Value>(header).unwrap());
    assert_eq!(bytes[8 + length..], [0, 0, 0xc0, 0x3f, 1]);
}

#[test]
fn a_file_that_cannot_be_written_says_where() {
    let dir = TempDir::new().unwrap();
    std::fs::write(dir.path().join("file"), "").unwrap();
    for path in ["file/weights.safetensors", ".."] {
        let error = Weights::new().write(dir.path().join(path)).unwrap_err();
        assert!(matches!(&error, WeightsError::File { .. }), "{error}");
        assert!(
            error.to_string().contains(path) && error.to_string().contains("cannot be written"),
            "{error}"
        );
    }
}

#[test]
fn types_beyond_this_library_are_refused() {
    let header = br#"{"w":{"dtype":"F8_E4M3","shape":[1],"data_offsets":[0,1]}}      "#;
    let bytes = [&(header.len() as u64).to_le_bytes()[..], header, &[0]].concat();
    let error = Weights::from_bytes(bytes).unwrap_err();
    assert_eq!(error.to_string(), "holds `w` as F8_E4M3, which is not supported");
}

#[test]
fn a_model_is_saved_as_pytorch_names_and_types_it() {
    let vars = Vars::new();
    let body = vars.sub("body");
    let weight = body.var("weight", [2], Init::constant(0.0));
    body.buffer("count", TensorSpec::new(U32, []), Init::constant(0.0));
    vars.slot("adam.exp_avg", &weight, Init::constant(0.0));
    vars.var("head", [1], Init::constant(0.0));
    let value = |name: &str| match name {
        "body.count" => Ok::<_, ()>(Array::new(U32, [], vec![4294967295.0])),
        "head" => Ok(Array::from_slice([1], &[3f32])),
        _ => Ok(Array::from_slice([2], &[1f32, 2.0])),
    };
    let model = Weights::of_model(&vars, value).unwrap();
    let names = |weights: &Weights| weights.iter().map(|(name, _)| name.to_string()).collect::<Vec<_>>();
    assert_eq!(names(&model), ["body.weight", "body.count", "head"]);
    let count = model.get("body.count").unwrap();
    assert_eq!(count.stored(), StoredType::I64);
    assert_eq!(count.array_as(U32).unwrap().item(), 4294967295.0);
    let training = Weights::of_training(&vars, value).unwrap();
    assert_eq!(names(&training), ["body.weight", "body.count", "body.weight.adam.exp_avg", "head"]);
    assert_eq!(names(&Weights::of_model(&body, value).unwrap()), ["weight", "count"]);
    assert!(Weights::of_model(&vars, |_| Err::<Array, _>("gone")).is_err());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_bits_survive(words in prop::collection::vec(any::<u32>(), 0..40), split in 0usize..40) {
        let (left, right) = words.split_at(split.min(words.len()));
        let mut weights = Weights::new();
        weights.insert("left", &Array::from_slice([left.len()], left));
        weights.insert("right", &Array::from_slice([right.len(), 1], right));
        let read = Weights::from_bytes(weights.to_bytes().unwrap()).unwrap();
        for (name, words) in [("left", left), ("right", right)] {
            prop_assert_eq!(read.get(name).unwrap().array().unwrap().to_vec::<u32>(), words);
            prop_assert_eq!(read.get(name).unwrap().spec().dtype, DType::U32);
        }
    }
}
