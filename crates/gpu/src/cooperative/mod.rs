//! Whether a device multiplies with cooperative matrices (tensor cores): what the adapter offers, and a self-test.
//!
//! wgpu calls them an experiment, and drivers have had faults: sums kept across a loop were wrong on one generation of
//! GPUs. So at the first program that multiplies f16, not before, a device computes products whose sums are known.
//! Where a single element differs, all programs do without.

mod self_test;

use std::sync::OnceLock;

use wgrad_core::batch::Batch;
use wgrad_core::{Array, DType, Graph, Mode, Tensor, Vars};

use crate::adapter::{AdapterKind, Subgroups};
use crate::codegen::{Cooperative, Shaping, multiplies_halves};
use crate::device::Gpu;
use crate::error::Error;
use crate::plan::Plan;
use crate::program::Program;
use self_test::SelfTest;

/// Why products do without cooperative matrices.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NoCooperative {
    /// [`Options::cooperative`](crate::Options::cooperative) says so.
    #[error("`Options::cooperative` turns them off")]
    Off,
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
        if !self.options().cooperative {
            return Err(NoCooperative::Off);
        }
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
            None => "no cooperative matrices: nothing asks for them\n".into(),
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

    #[test]
    fn they_can_be_turned_off() {
        let options = crate::Options { cooperative: false, ..Default::default() };
        let gpu = Gpu::with_options(options).expect("an adapter");
        assert_eq!(gpu.cooperative(), Err(NoCooperative::Off));
        let feature = wgpu::Features::EXPERIMENTAL_COOPERATIVE_MATRIX;
        assert!(!gpu.inner.device.features().contains(feature));
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
