//! Whether a device multiplies with cooperative matrices (tensor cores): what the adapter offers, and a self-test.
//!
//! wgpu calls them an experiment, and drivers have had faults: sums kept across a loop were wrong on one generation of
//! GPUs. So at the first program that multiplies f16, not before, a device computes products whose sums are known.
//! Where a single element differs, all programs do without.

use std::sync::OnceLock;

use wgrad_core::batch::Batch;
use wgrad_core::{Array, DType, Graph, Mode, Tensor, TensorSpec, Vars};

use crate::adapter::{AdapterKind, Subgroups};
use crate::codegen::{Cooperative, Shaping, multiplies_halves};
use crate::device::Gpu;
use crate::error::Error;
use crate::plan::Plan;
use crate::program::Program;

/// Why products do without cooperative matrices.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NoCooperative {
    /// None of f16 with sums of f32 that are 8 × 8 × 8 or 16 × 16 × 16, or the program brought the device.
    #[error("the adapter offers none of f16 with sums of f32, 8 × 8 or 16 × 16")]
    Absent,
    /// It is not known which invocations are a subgroup.
    #[error("subgroups of the adapter differ in size")]
    Subgroups,
    /// A workgroup would have too many invocations, or too much memory.
    #[error("a workgroup needs {needed} {what}, and the adapter allows {limit}")]
    Limit {
        /// What there is too little of.
        what: &'static str,
        /// How much of it a kernel needs.
        needed: usize,
        /// How much there is.
        limit: usize,
    },
    /// The device could not run the self-test.
    #[error("the self-test failed: {0}")]
    Failed(String),
    /// The device computed something else.
    #[error("element {element} of the self-test is {found}, not {expected}")]
    Wrong {
        /// Its number.
        element: usize,
        /// What it should have been.
        expected: i64,
        /// What it was, in words as it may be no number.
        found: String,
    },
}

/// What a device offers, and what came of its self-test once there was one.
#[derive(Debug, Default)]
pub(crate) struct Offer {
    /// Rows and columns of the matrices that kernels can be written for, the largest first.
    pub(crate) sizes: Vec<usize>,
    tested: OnceLock<Result<Cooperative, NoCooperative>>,
}

impl Offer {
    pub(crate) fn new(sizes: Vec<usize>) -> Self {
        Self { sizes, tested: OnceLock::new() }
    }
}

/// The sizes of square cooperative matrices of f16 with sums of f32.
pub(crate) fn sizes(adapter: &wgpu::Adapter) -> Vec<usize> {
    use wgpu::CooperativeScalarType::{F16, F32};
    let offered = adapter.cooperative_matrix_properties();
    let is_offered = |&size: &usize| {
        offered.iter().any(|offer| {
            let square = [offer.m_size, offer.n_size, offer.k_size] == [size as u32; 3];
            square && offer.ab_type == F16 && offer.cr_type == F32
        })
    };
    [16, 8].into_iter().filter(is_offered).collect()
}

/// A device with cooperative matrices and f16, if the adapter has matrices of these sizes and opens one.
pub(crate) async fn request(
    adapter: &wgpu::Adapter,
    sizes: &[usize],
    descriptor: &wgpu::DeviceDescriptor<'_>,
) -> Option<(wgpu::Device, wgpu::Queue)> {
    let needed = wgpu::Features::SHADER_F16 | wgpu::Features::EXPERIMENTAL_COOPERATIVE_MATRIX;
    if sizes.is_empty() || !adapter.features().contains(needed) {
        return None;
    }
    let descriptor = wgpu::DeviceDescriptor {
        required_features: descriptor.required_features | needed,
        experimental_features: experimental(sizes),
        ..descriptor.clone()
    };
    adapter.request_device(&descriptor).await.ok()
}

/// The agreement that wgpu asks for where a device is to have cooperative matrices of some sizes.
#[allow(unsafe_code)]
pub(crate) fn experimental(sizes: &[usize]) -> wgpu::ExperimentalFeatures {
    if sizes.is_empty() {
        return wgpu::ExperimentalFeatures::disabled();
    }
    // SAFETY: who agrees says that safe calls may reach faults of the experiment. One kernel uses it,
    // `matmul_cooperative.wgsl`; its accesses are proved to be in bounds as all others are, and programs get it only
    // where the self-test passed.
    unsafe { wgpu::ExperimentalFeatures::enabled() }
}

/// The cooperative matrices to test: the largest, if workgroups of such subgroups are allowed, with the memory that they
/// need.
fn choose(
    sizes: &[usize],
    subgroup: Option<u32>,
    [invocations, bytes]: [u32; 2],
) -> Result<Cooperative, NoCooperative> {
    let size = *sizes.first().ok_or(NoCooperative::Absent)?;
    let subgroup = subgroup.ok_or(NoCooperative::Subgroups)?;
    let cooperative = Cooperative { size, subgroup, block: None };
    let most = Cooperative::BLOCKS.iter().map(|block| cooperative.bytes(*block)).max();
    let within = |what, needed: usize, limit: u32| match limit as usize {
        limit if needed > limit => Err(NoCooperative::Limit { what, needed, limit }),
        _ => Ok(()),
    };
    within("invocations", cooperative.invocations() as usize, invocations)?;
    within("bytes of memory", most.unwrap_or(0), bytes)?;
    Ok(cooperative)
}

/// Batches of matrices of small whole numbers, whose products are exact in any order of summation.
struct SelfTest {
    /// Matrices of a batch, rows, columns, and what is summed over.
    extents: [usize; 4],
}

impl SelfTest {
    /// One for a block. Every axis ends within a tile, and sums take several.
    fn new(cooperative: &Cooperative, block: [usize; 2]) -> Self {
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
    fn check(
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

impl Gpu {
    /// The cooperative matrices (tensor cores) that products of f16 are computed with, or why there are none. Tests
    /// them if that has not been done yet.
    ///
    /// GPUs use them without being asked. On a processor they are slow, and only
    /// [`Shaping::cooperative`](crate::Shaping) asks for them.
    ///
    /// ```no_run
    /// # let gpu = wgrad_gpu::Gpu::new()?;
    /// match gpu.cooperative() {
    ///     Ok(matrices) => println!("matrices of {0} × {0}", matrices.size),
    ///     Err(reason) => println!("no cooperative matrices: {reason}"),
    /// }
    /// # Ok::<(), wgrad_gpu::Error>(())
    /// ```
    pub fn cooperative(&self) -> Result<Cooperative, NoCooperative> {
        self.inner.cooperative.tested.get_or_init(|| self.test_cooperative()).clone()
    }

    fn test_cooperative(&self) -> Result<Cooperative, NoCooperative> {
        // All of Apple's GPUs have subgroups of 32, of which Metal only says that they may be less and more.
        let of_apple = || (self.info().backend == "metal").then_some(32);
        let subgroup = self.info().subgroups.and_then(Subgroups::single).or_else(of_apple);
        let cooperative = choose(&self.inner.cooperative.sizes, subgroup, self.shaping().workgroup_limits)?;
        // Whatever goes wrong there leaves this device as it is.
        let device = self.sibling_shaped(Some(Shaping::hardware()));
        let device =
            device.ok_or_else(|| NoCooperative::Failed("no second device could be opened".into()))?;
        for block in Cooperative::BLOCKS {
            let shaping = Shaping {
                cooperative: Some(Cooperative { block: Some(block), ..cooperative }),
                ..device.shaping()
            };
            SelfTest::new(&cooperative, block).check(|factors| device.multiply(factors, shaping))?;
        }
        Ok(cooperative)
    }

    /// Products of f16 in f32, of factors as they are and of factors that lie transposed, by kernels of this shape.
    fn multiply(&self, [plain, transposed]: [[Array; 2]; 2], shaping: Shaping) -> Result<Vec<Array>, Error> {
        let graph = Graph::new(Mode::Eval);
        let names = ["a", "b", "at", "bt"];
        let arrays: Vec<(&str, &Array)> = names.into_iter().zip(plain.iter().chain(&transposed)).collect();
        let input =
            |&(name, array): &(&str, &Array)| graph.input(name, array.shape(), DType::F16).cast(DType::F32);
        let inputs: Vec<Tensor> = arrays.iter().map(input).collect();
        let products =
            [inputs[0].matmul(&inputs[1]), inputs[2].transpose(1, 2).matmul(&inputs[3].transpose(1, 2))];
        let outputs = products.each_ref().map(Tensor::id);
        let program = self.compiler().shaped(shaping).compile_recording(&graph.recording(), &outputs)?;
        let mut state = self.init(&Vars::new(), 0)?;
        let run = program.run(&mut state, Batch::of_arrays(arrays))?;
        let results = (0..products.len()).map(|number| run.get(number)).collect();
        self.check()?;
        results
    }

    /// How the kernels of a plan are shaped: by [`Gpu::shaping`], and with cooperative matrices where they are wanted
    /// and work.
    pub(crate) fn shaping_of(&self, plan: &Plan) -> Shaping {
        let of_device = || self.cooperative().ok();
        let is_of_device = |wanted: &Cooperative| of_device() == Some(Cooperative { block: None, ..*wanted });
        let cooperative = match (self.options().shaping, self.info().kind) {
            _ if !multiplies_halves(plan) => None,
            (Some(shaping), _) => shaping.cooperative.filter(is_of_device),
            (None, AdapterKind::Software) => None,
            (None, _) => of_device(),
        };
        Shaping { cooperative, ..self.shaping() }
    }
}

impl Program {
    /// Which dispatches use cooperative matrices, or why none does; nothing where no product is of f16.
    pub(crate) fn explain_cooperative(&self) -> String {
        if !multiplies_halves(self.plan()) {
            return String::new();
        }
        let names = self.sources().enumerate().filter(|(_, source)| source.contains("coop_mat"));
        let names: Vec<String> = names.map(|(number, _)| format!("k{number}")).collect();
        let gpu = &self.inner.gpu;
        match gpu.inner.cooperative.tested.get() {
            Some(Ok(matrices)) if !names.is_empty() => {
                format!("cooperative matrices of {0} × {0} in {1}\n", matrices.size, names.join(", "))
            }
            Some(Ok(_)) => "no cooperative matrices: no product fills a tile of them\n".into(),
            Some(Err(reason)) => format!("no cooperative matrices: {reason}\n"),
            None => "no cooperative matrices: nobody asked for them, and the adapter is a processor\n".into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EIGHTS: Cooperative = Cooperative { size: 8, subgroup: 8, block: None };

    #[test]
    fn what_an_adapter_lacks_is_said() {
        assert_eq!(choose(&[8], Some(8), [256, 16 << 10]), Ok(EIGHTS));
        let sixteens = Cooperative { size: 16, subgroup: 32, block: None };
        assert_eq!(choose(&[16, 8], Some(32), [256, 32 << 10]), Ok(sixteens));
        assert_eq!(choose(&[], Some(32), [256, 32 << 10]), Err(NoCooperative::Absent));
        assert_eq!(choose(&[16], None, [256, 32 << 10]), Err(NoCooperative::Subgroups));
        let limit = |found: Result<Cooperative, NoCooperative>| match found {
            Err(NoCooperative::Limit { needed, limit, .. }) => Some((needed, limit)),
            _ => None,
        };
        assert_eq!(limit(choose(&[16], Some(128), [256, 32 << 10])), Some((512, 256)));
        let bytes = sixteens.bytes(Cooperative::BLOCKS[0]);
        assert_eq!(limit(choose(&[16], Some(32), [256, 16 << 10])), Some((bytes, 16 << 10)));
    }

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

    /// A device that works is given kernels for subgroups of another size than it has: the test must see it, and every
    /// program do without.
    #[test]
    fn a_kernel_that_is_wrong_is_not_used() {
        let gpu = Gpu::new().expect("an adapter");
        let Ok(own) = gpu.cooperative() else {
            println!("no cooperative matrices on {}", gpu.info());
            return;
        };
        let wrong = Cooperative { subgroup: own.subgroup / 2, block: Some([1, 1]), ..own };
        let shaping = Shaping { cooperative: Some(wrong), ..Shaping::hardware() };
        let device = gpu.sibling_shaped(Some(shaping)).expect("another device");
        let found = SelfTest::new(&wrong, [1, 1]).check(|factors| device.multiply(factors, shaping));
        println!("{found:?}");
        assert!(matches!(found, Err(NoCooperative::Wrong { .. })), "{found:?}");
    }
}
