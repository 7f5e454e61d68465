//! The self-test of a device's cooperative matrices: products whose elements are known to the last bit.

use wgrad_core::{Array, DType, TensorSpec};

use super::NoCooperative;
use crate::codegen::Cooperative;
use crate::error::Error;

/// Batches of matrices of small whole numbers, whose products are exact in any order of summation.
pub(super) struct SelfTest {
    /// Matrices of a batch, rows, columns, and what is summed over.
    extents: [usize; 4],
}

impl SelfTest {
    /// One for a block. Every axis ends within a tile, and sums take several.
    pub(super) fn new(cooperative: &Cooperative, block: [usize; 2]) -> Self {
        let [rows, columns] = cooperative.tile(block);
        Self { extents: [2, rows + 4, columns + 4, 76] }
    }

    /// An element of the first or second factor.
    fn element(side: usize, at: [usize; 3]) -> i64 {
        let number =
            at.iter().fold(side as u32 + 1, |number, &at| (number ^ at as u32).wrapping_mul(0x9e37_79b1));
        i64::from(number >> 28) - 8
    }

    /// The factors as they lie in memory, or both transposed.
    fn factors(&self, transposed: bool) -> [Array; 2] {
        let [batch, m, n, k] = self.extents;
        let shapes = [[batch, m, k], [batch, k, n]];
        [0, 1].map(|side| {
            let [batch, rows, columns] = shapes[side];
            let shape = if transposed { [batch, columns, rows] } else { [batch, rows, columns] };
            Array::from_fn(&TensorSpec::new(DType::F16, shape), |at| {
                let (row, column) = if transposed { (at[2], at[1]) } else { (at[1], at[2]) };
                Self::element(side, [at[0], row, column]) as f64
            })
        })
    }

    /// Compares the products that something computes, from factors in both layouts, with the sums.
    pub(super) fn check(
        &self,
        multiply: impl FnOnce([[Array; 2]; 2]) -> Result<Vec<Array>, Error>,
    ) -> Result<(), NoCooperative> {
        let products = multiply([self.factors(false), self.factors(true)]);
        let products = products.map_err(|error| NoCooperative::Failed(error.to_string()))?;
        let [batch, m, n, k] = self.extents;
        for element in 0..batch * m * n {
            let (of, row, column) = (element / (m * n), element / n % m, element % n);
            let term = |k| Self::element(0, [of, row, k]) * Self::element(1, [of, k, column]);
            let expected: i64 = (0..k).map(term).sum();
            let found = |product: &Array| product.data.get(element).copied().unwrap_or(f64::NAN);
            if let Some(found) = products.iter().map(found).find(|found| *found != expected as f64) {
                return Err(NoCooperative::Wrong { element, expected, found: found.to_string() });
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EIGHTS: Cooperative = Cooperative { size: 8, subgroup: 8, block: None };

    /// What a right device computes.
    fn right(factors: [[Array; 2]; 2]) -> Vec<Array> {
        let [[a, b], _] = factors;
        let ([batch, m, k], n) = ([a.shape()[0], a.shape()[1], a.shape()[2]], b.shape()[2]);
        let product = Array::from_fn(&TensorSpec::new(DType::F32, [batch, m, n]), |at| {
            (0..k).map(|k| a.at(&[at[0], at[1], k]) * b.at(&[at[0], k, at[2]])).sum()
        });
        vec![product.clone(), product]
    }

    #[test]
    fn one_wrong_element_is_seen() {
        let test = SelfTest::new(&EIGHTS, [1, 1]);
        assert_eq!(test.check(|factors| Ok(right(factors))), Ok(()));
        let last = test.extents[..3].iter().product::<usize>() - 1;
        for (product, element, change) in [(0, 0, 1.0), (1, last, -1.0), (0, last, f64::NAN)] {
            let changed = |factors| {
                let mut products = right(factors);
                products[product].data[element] += change;
                Ok(products)
            };
            let found = test.check(changed);
            assert!(
                matches!(found, Err(NoCooperative::Wrong { element: at, .. }) if at == element),
                "{found:?}"
            );
        }
        let cut = |factors| {
            Ok(right(factors).into_iter().map(|product| Array { data: vec![], ..product }).collect())
        };
        assert!(matches!(test.check(cut), Err(NoCooperative::Wrong { element: 0, .. })));
        let broken = test.check(|_| Err(Error::DeviceLost("it fell asleep".into())));
        assert!(matches!(broken, Err(NoCooperative::Failed(reason)) if reason.contains("it fell asleep")));
    }

    #[test]
    fn factors_are_small_whole_numbers_in_both_layouts() {
        let test = SelfTest::new(&EIGHTS, [1, 2]);
        let (plain, transposed) = (test.factors(false), test.factors(true));
        for (plain, transposed) in plain.iter().zip(&transposed) {
            assert!(plain.data.iter().all(|value| value.fract() == 0.0 && value.abs() <= 8.0));
            assert_eq!(plain.at(&[1, 3, 5]), transposed.at(&[1, 5, 3]));
            assert!(plain.data.iter().any(|value| *value != plain.data[0]));
        }
    }
}
