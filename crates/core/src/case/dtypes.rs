//! Cases in other dtypes than they were written in: what is said about f32 is said about f16, i32 and u32 where an
//! operation has a meaning there.

use super::{Case, Fill, Operand};
use crate::{DType, TensorSpec};

/// Operations on numbers of any kind.
const NUMBERS: &str = "\
    add addcmul all any argmax cast chunk clamp concat cumprod cumsum diag_embed diagonal div einsum \
    embedding eq expand flatten flip fold full_like gather ge gt index_add index_select le lt masked_fill \
    max max_keep max_pool max_pool2d max_pool_with maximum meshgrid minimum movedim mul narrow ne \
    ones_like pad permute pixel_shuffle prod rem repeat repeat_interleave reshape roll scatter_add select \
    select_index slice slice_step sort split squeeze stack sub sum sum_keep t tile top_k trace transpose \
    tril triu unbind unflatten unfold unslide unsqueeze upsample_nearest windows zeros_like";

/// Operations that need negative numbers.
const SIGNED: &str = "\
    abs argmin argsort min min_keep neg remainder sign threshold";

/// Operations on floats that are made of others, or whose kernels treat half precision apart.
const FLOATS: &str = "\
    adaptive_avg_pool atan2 avg_pool2d batch_norm bmm ceil conv conv1d conv2d conv_transpose2d cos \
    cosine_similarity cross_entropy dot elu erf exp expm1 floor frac gelu gelu_tanh group_norm \
    instance_norm layer_norm leaky_relu lerp log log1p log_softmax logsumexp matmul mean mse_loss norm \
    normalize outer pow reciprocal relu rms_norm round rsqrt scaled_dot_product_attention sigmoid silu sin \
    softmax softplus sqrt square std tanh trunc upsample_linear var";

/// One case of each of these operations in each dtype that it has a meaning for.
pub(super) fn in_other_dtypes(cases: &[Case]) -> Vec<Case> {
    let lists: [(&str, &[DType]); 3] = [
        (NUMBERS, &[DType::F16, DType::I32, DType::U32]),
        (SIGNED, &[DType::F16, DType::I32]),
        (FLOATS, &[DType::F16]),
    ];
    let mut variants = vec![];
    for (operations, dtypes) in lists {
        for operation in operations.split_whitespace() {
            let own = || cases.iter().filter(move |case| case.operation() == operation);
            for &dtype in dtypes {
                // The smallest one with random operands and no trivial axis, if there is such a case.
                let mut typical: Vec<&Case> = own().filter(|case| is_typical(case)).collect();
                typical.sort_by_key(|case| elements(case));
                let others = own().filter(|case| !is_typical(case));
                let can = |case: &Case| case.record(0).graph.recording().check().is_ok();
                variants.extend(
                    typical.into_iter().chain(others).filter_map(|case| variant(case, dtype)).find(can),
                );
            }
        }
    }
    variants
}

fn elements(case: &Case) -> usize {
    case.operands.iter().map(|operand| operand.spec.shape.numel()).sum()
}

fn is_typical(case: &Case) -> bool {
    let random = |operand: &Operand| !matches!(operand.fill, Fill::Given(_));
    let wide = |operand: &Operand| operand.spec.shape.iter().all(|&extent| extent > 1);
    let floats = case.operands.iter().filter(|operand| operand.spec.dtype == DType::F32);
    floats.clone().count() > 0 && floats.clone().all(|operand| random(operand) && wide(operand))
}

/// A case with its f32 operands in another dtype, if it has such, and their values exist there.
fn variant(case: &Case, dtype: DType) -> Option<Case> {
    if !case.operands.iter().any(|operand| operand.spec.dtype == DType::F32) {
        return None;
    }
    let operands = case.operands.iter().map(|operand| match operand.spec.dtype {
        DType::F32 => in_dtype(operand, dtype),
        _ => Some(operand.clone()),
    });
    let separator = if case.name.contains('/') { "_in_" } else { "/in_" };
    Some(Case {
        name: format!("{}{separator}{dtype}", case.name),
        operands: operands.collect::<Option<_>>()?,
        build: case.build.clone(),
        expected: None,
        differentiable: case.differentiable && dtype.is_float(),
    })
}

fn in_dtype(operand: &Operand, dtype: DType) -> Option<Operand> {
    let count = operand.spec.shape.numel() as f64;
    let below = if dtype == DType::I32 { (count / 2.0).floor() } else { 0.0 };
    let fill = match &operand.fill {
        fill if dtype.is_float() => fill.clone(),
        Fill::Given(values) => {
            let exists = |v: &f64| v.fract() == 0.0 && v.abs() < 1e6 && (*v >= 0.0 || dtype == DType::I32);
            values.iter().all(exists).then(|| operand.fill.clone())?
        }
        Fill::Uniform(..) if dtype == DType::I32 => Fill::Uniform(-9.0, 10.0),
        Fill::Uniform(..) => Fill::Uniform(0.0, 10.0),
        Fill::Distinct(..) => Fill::Distinct(-below, count - below),
    };
    Some(Operand { spec: TensorSpec::new(dtype, &operand.spec.shape), fill })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_listed_operation_has_its_variants() {
        let cases = crate::ops::cases();
        let count = |list: &str| list.split_whitespace().count();
        let variants = in_other_dtypes(&cases);
        assert_eq!(variants.len(), 3 * count(NUMBERS) + 2 * count(SIGNED) + count(FLOATS));
    }
}
