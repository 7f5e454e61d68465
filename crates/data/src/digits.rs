//! The small set of handwritten digits that this crate carries.

use crate::Labelled;
use crate::table::embedded;

/// 1,797 handwritten digits as `image` f32\[1, 8, 8\] in 0..1 and `label` u32\[\] below 10.
///
/// Source: E. Alpaydin and C. Kaynak, *Optical Recognition of Handwritten Digits*, UCI Machine Learning
/// Repository, 1998 (its test set); scikit-learn's `load_digits`.
///
/// ```
/// use wgrad_data::{Dataset, digits};
/// assert_eq!(digits().len(), 1797);
/// ```
pub fn digits() -> Labelled {
    let (pixels, labels) = embedded(include_bytes!("../assets/digits.csv.gz"), 0);
    let pixels = pixels.into_iter().map(|pixel| pixel as u8).collect();
    Labelled::from_bytes("image", [1, 8, 8], pixels, 16.0, labels, 10).expect("the embedded table is whole")
}
