//! The files that `make_goldens.py` wrote.

use std::collections::{BTreeMap, BTreeSet};

use wgrad::core::{Array, DType};
use wgrad::weights::Weights;

/// One golden file. The arrays of a case are called `Class/variant.what`.
pub(crate) struct Goldens(Weights);

impl Goldens {
    /// The file with a name, without folder and extension.
    pub(crate) fn read(name: &str) -> Self {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/pytorch/goldens");
        Self(Weights::read(format!("{folder}/{name}.safetensors")).expect("the golden file is whole"))
    }

    /// The names of the cases. Arrays of `given` belong to all of them.
    pub(crate) fn cases(&self) -> BTreeSet<String> {
        let case = |name: &str| name.split('.').next().unwrap_or_default().to_string();
        self.0.iter().map(|(name, _)| case(name)).filter(|case| case != "given").collect()
    }

    /// The arrays of a case, by what they are.
    pub(crate) fn case(&self, name: &str) -> Weights {
        self.0.sub(name)
    }

    /// An array by its whole name.
    pub(crate) fn array(&self, name: &str) -> Array {
        array(&self.0, name, DType::F32)
    }
}

/// An array by name, in a given dtype.
pub(crate) fn array(weights: &Weights, name: &str, dtype: DType) -> Array {
    let entry = weights.get(name).unwrap_or_else(|| panic!("the golden file lacks `{name}`"));
    entry.array_as(dtype).expect("the golden file has the right types")
}

/// The names that both sides have, or a list of those that one side lacks. Prints how many cases each class has.
pub(crate) fn same_cases(file: &str, ours: impl IntoIterator<Item = impl ToString>) {
    let theirs = Goldens::read(file).cases();
    let (mut names, mut counts) = (BTreeSet::new(), BTreeMap::<String, usize>::new());
    for name in ours {
        let name = name.to_string();
        let class = name.split('/').next().unwrap_or_default().to_string();
        *counts.entry(class).or_default() += 1;
        assert!(names.insert(name.clone()), "`{name}` is tested twice");
    }
    let lines: Vec<String> = counts.iter().map(|(class, count)| format!("{class} {count}")).collect();
    println!("{file}: {} cases of {}: {}", names.len(), counts.len(), lines.join(", "));
    let here: Vec<_> = names.difference(&theirs).collect();
    let there: Vec<_> = theirs.difference(&names).collect();
    assert!(here.is_empty() && there.is_empty(), "only here: {here:?}; only in the file: {there:?}");
}
