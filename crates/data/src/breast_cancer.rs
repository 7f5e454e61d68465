//! The table of tumour measurements that this crate carries.

use crate::Labelled;
use crate::table::embedded;

/// 569 tumours with 30 measurements each as `features` f32\[30\] and `label` u32\[\]: 0 malignant, 1
/// benign. The measurements have very different ranges: see [`Labelled::standardized_by`].
///
/// Source: W. H. Wolberg, W. N. Street and O. L. Mangasarian, *Breast Cancer Wisconsin (Diagnostic)*, UCI
/// Machine Learning Repository, 1995; scikit-learn's `load_breast_cancer`.
///
/// ```
/// use wgrad_data::breast_cancer;
/// let (train, test) = breast_cancer().split(0.8, 1);
/// let (test, train) = (test.standardized_by(&train)?, train.standardized_by(&train)?);
/// assert!(train.moments().0.abs() < 1e-4);
/// # Ok::<(), wgrad_data::DataError>(())
/// ```
pub fn breast_cancer() -> Labelled {
    let (features, labels) = embedded(include_bytes!("../assets/breast_cancer.csv.gz"), 1);
    Labelled::new("features", [30], features, labels, 2).expect("the embedded table is whole")
}
