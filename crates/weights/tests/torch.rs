//! Files that `torch.save` wrote (`fixtures/make.py`): every element type, views, nesting, and what is refused.

use std::path::PathBuf;

use wgrad_core::{Array, DType, F16, F32, I32, U32};
use wgrad_weights::{StoredType, Weights, WeightsError};

fn fixture(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
}

fn read(name: &str) -> Weights {
    Weights::read(fixture(name)).unwrap()
}

fn values(weights: &Weights, name: &str) -> Array {
    weights.get(name).unwrap_or_else(|| panic!("no `{name}`")).array().unwrap()
}

/// 0, ¼, ½, … in row-major order.
fn ramp(dtype: DType, shape: &[usize]) -> Array {
    let numel = shape.iter().product::<usize>();
    Array::new(dtype, shape, (0..numel).map(|i| i as f64 / 4.0).collect())
}

#[test]
fn every_format_holds_the_same_state() {
    for file in ["state.zip.pth", "state.legacy.pth", "state.protocol4.pth"] {
        let weights = read(file);
        for (name, shape) in [
            ("net.0.weight", &[2, 3][..]),
            ("net.0.bias", &[2]),
            ("net.1.weight", &[2]),
            ("net.1.running_var", &[2]),
            ("parameter", &[5]),
            ("f64", &[3]),
            ("bf16", &[4]),
            ("shared", &[4, 6]),
            ("channels_last", &[2, 3, 2, 2]),
            ("empty", &[0, 3]),
        ] {
            assert_eq!(values(&weights, name), ramp(F32, shape), "{name} of {file}");
        }
        assert_eq!(values(&weights, "f16"), ramp(F16, &[2, 3]), "{file}");
        let expected = [
            ("i64", Array::new(I32, [2], vec![-3.0, 2147483647.0])),
            ("i32", Array::new(I32, [1, 2], vec![1.0, -2.0])),
            ("i16", Array::new(I32, [1], vec![-7.0])),
            ("i8", Array::new(I32, [1], vec![-8.0])),
            ("u8", Array::new(U32, [2], vec![200.0, 0.0])),
            ("bool", Array::new(DType::Bool, [3], vec![1.0, 0.0, 1.0])),
            ("scalar", Array::new(F32, [], vec![1.5])),
            ("net.1.num_batches_tracked", Array::new(I32, [], vec![0.0])),
            ("expanded", Array::new(F32, [3, 2], vec![0.0, 0.0, 0.25, 0.25, 0.5, 0.5])),
            ("part", Array::new(F32, [2, 3], vec![2.0, 2.25, 2.5, 3.5, 3.75, 4.0])),
        ];
        for (name, expected) in expected {
            assert_eq!(values(&weights, name), expected, "{name} of {file}");
        }
        let transposed = values(&weights, "transposed");
        assert_eq!(transposed.shape()[..], [6, 4]);
        assert!((0..6).all(|i| (0..4).all(|j| transposed.at(&[i, j]) == (6 * j + i) as f64 / 4.0)), "{file}");
        assert_eq!(weights.get("i64").unwrap().stored(), StoredType::I64);
        assert_eq!(weights.len(), 25, "{file}");
        assert_eq!(weights.iter().next().unwrap().0, "net.0.weight");
    }
}

#[test]
fn integers_that_do_not_fit_are_an_error() {
    let weights = read("state.zip.pth");
    let error = weights.get("i64.large").unwrap().array().unwrap_err();
    assert_eq!(error.to_string(), "the value 1099511627776 does not fit into i32");
    let error = weights.get("i64").unwrap().array_as(U32).unwrap_err();
    assert_eq!(error.to_string(), "the value -3 does not fit into u32");
    let error = weights.get("bool").unwrap().array_as(F32).unwrap_err();
    assert_eq!(error.to_string(), "bool values cannot become f32");
}

#[test]
fn nested_dicts_are_named_along_the_way() {
    let weights = read("nested.pth");
    let names: Vec<_> = weights.iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["model.fc.weight", "optimizer.state.0.step", "optimizer.state.0.exp_avg"]);
    assert_eq!(values(&weights.sub("model"), "fc.weight"), ramp(F32, &[2, 2]));
    assert_eq!(values(&weights, "optimizer.state.0.step").item(), 7.0);
}

#[test]
fn what_is_no_state_dict_is_named() {
    for (file, global) in
        [("module.pth", "torch.nn.modules.linear.Linear"), ("complex.pth", "torch.ComplexFloatStorage")]
    {
        let error = Weights::read(fixture(file)).unwrap_err();
        let WeightsError::File { path, source } = &error else { panic!("{error}") };
        assert!(path.ends_with(file));
        assert!(matches!(&**source, WeightsError::Global { name } if name == global), "{source}");
        assert!(error.to_string().contains("model.state_dict()"), "{error}");
    }
}

#[test]
fn other_files_are_refused() {
    let refused = |bytes: &[u8]| Weights::from_bytes(bytes.to_vec()).unwrap_err();
    assert!(matches!(refused(b""), WeightsError::UnknownFormat { .. }));
    assert!(matches!(refused(b"\x7fELF\x02\x01\x01\0\0\0\0"), WeightsError::UnknownFormat { .. }));
    assert!(matches!(refused(b"PK\x03\x04 and nothing"), WeightsError::Damaged { .. }));
    assert!(matches!(refused(b"\x08\0\0\0\0\0\0\0{\"a\": 1}"), WeightsError::Damaged { .. }));
    let error = Weights::read(fixture("none.pth")).unwrap_err().to_string();
    assert!(error.contains("none.pth: cannot be read"), "{error}");
}
