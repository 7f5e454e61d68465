//! Convex combinations of pairs of examples.

use wgrad_core::{F32, TensorSpec, U32};

use crate::record::Visit;
use crate::scratch::Scratch;
use crate::{DataError, Dataset, Record};

/// Each record is mixed with another, drawn at random: λ of its inputs and its class, 1 − λ of the other's,
/// with λ from a beta distribution (H. Zhang et al., "mixup: Beyond empirical risk minimization", 2018).
/// Fields of f32 keep their spec; the label becomes a share of each class, `label` f32\[classes\].
///
/// ```
/// use wgrad_data::{Dataset, Mixup, digits};
/// let mixed = Mixup::new(digits(), 10, 0.2)?;
/// assert_eq!(mixed.fields()[1].1.to_string(), "f32[10]");
/// # Ok::<(), wgrad_data::DataError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Mixup<D> {
    data: D,
    label: String,
    classes: usize,
    alpha: f64,
}

impl<D: Dataset> Mixup<D> {
    /// Mixes a dataset with one u32\[\] field, the label, whose other fields are f32. Both parameters of the
    /// beta distribution are `alpha`, above 0 and at most 4; 0.1 to 0.4 are usual. Errors: other fields,
    /// another `alpha`.
    pub fn new(data: D, classes: usize, alpha: f64) -> Result<Self, DataError> {
        let wrong = |problem| Err(DataError::Transformation { transformation: "mixup", problem });
        if !(alpha > 0.0 && alpha <= 4.0) {
            return wrong(format!("alpha is {alpha}, but must be above 0 and at most 4"));
        }
        let fields = data.fields();
        let (inputs, labels): (Vec<_>, Vec<_>) = fields.iter().partition(|(_, spec)| spec.dtype == F32);
        match &labels[..] {
            [(label, spec)] if *spec == TensorSpec::new(U32, []) && !inputs.is_empty() => {
                Ok(Self { label: label.clone(), data, classes, alpha })
            }
            _ => {
                let fields: Vec<_> = fields.iter().map(|(name, spec)| format!("`{name}` {spec}")).collect();
                wrong(format!("needs inputs of f32 and one label u32[], got {}", fields.join(", ")))
            }
        }
    }
}

impl<D: Dataset> Dataset for Mixup<D> {
    fn len(&self) -> usize {
        self.data.len()
    }

    fn fields(&self) -> Vec<(String, TensorSpec)> {
        let mut fields = self.data.fields();
        let label = fields.iter_mut().filter(|(name, _)| *name == self.label);
        label.for_each(|(_, spec)| *spec = TensorSpec::new(F32, [self.classes]));
        fields
    }

    fn name(&self, record: usize) -> Option<String> {
        self.data.name(record)
    }

    fn write(&self, record: usize, sink: &mut Record<'_>) -> Result<(), DataError> {
        let mut random = sink.random("mixup");
        let lambda = random.beta(self.alpha) as f32;
        let partner = random.below(self.len() as u64) as usize;
        let read = |record| Scratch::of(&self.data, Visit { record, ..sink.visit() });
        let (a, b) = (read(record)?, read(partner)?);
        for (field, other) in a.fields().iter().zip(b.fields()) {
            if field.name == self.label {
                let mut shares = vec![0.0; self.classes];
                for (scratch, field, share) in [(&a, field, lambda), (&b, other, 1.0 - lambda)] {
                    let label = bytemuck::pod_read_unaligned::<u32>(scratch.bytes(field));
                    let classes = self.classes;
                    let error = DataError::Label { record, label, classes };
                    *shares.get_mut(label as usize).ok_or(error)? += share;
                }
                sink.write(&self.label, &shares)?;
            } else {
                let (a, b) = (a.floats(field), b.floats(other));
                let mixed = a.iter().zip(&b).map(|(a, b)| lambda * a + (1.0 - lambda) * b);
                sink.write_iter(&field.name, mixed)?;
            }
        }
        Ok(())
    }
}
