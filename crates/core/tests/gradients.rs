//! Are the gradient rules right? Every differentiable case against central differences of the reference, the
//! kinks, and the rules of custom operations.

use wgrad_core::case::{cases, gradcheck, gradgradcheck};
use wgrad_core::interpret::{Environment, evaluate};
use wgrad_core::op::Cotangent;
use wgrad_core::ops::Window;
use wgrad_core::simplify::simplify;
use wgrad_core::{CustomOp, F32, Graph, Mode, Tensor};

#[test]
fn gradients_agree_with_central_differences() {
    for case in cases().iter().filter(|case| case.differentiable) {
        gradcheck(case, 7).unwrap();
    }
}

#[test]
fn second_gradients_agree_with_central_differences() {
    let mut checked = 0;
    for case in cases().iter().filter(|case| case.has_second_gradient()) {
        gradgradcheck(case, 7).unwrap();
        checked += 1;
    }
    assert!(checked > 500, "only {checked} cases were checked");
}

/// x² with a rule that is wrong in a way that a plain comparison of values would miss.
#[test]
fn wrong_rules_are_found() {
    let wrong = CustomOp::new("wrong", |x| x[0].square())
        .with_gradient(|cx| vec![(cx.cotangent * &cx.inputs[0] * 2.001).into()]);
    assert!(gradcheck(&wrong.case("").random([3]), 7).unwrap_err().contains("wrong"));
    let lost = CustomOp::new("lost", |x| x[0].square() * &x[1]).with_gradient(|cx| {
        vec![(cx.cotangent * &cx.inputs[0] * 2.0 * &cx.inputs[1]).into(), Cotangent::Zero]
    });
    assert!(gradcheck(&lost.case("").random([3]).random([3]), 7).is_err());
    // The first derivative is right, but detached from what it depends on.
    let flat = CustomOp::new("flat", |x| x[0].square())
        .with_gradient(|cx| vec![(cx.cotangent * cx.inputs[0].detach() * 2.0).into()]);
    assert_eq!(gradcheck(&flat.case("").random([3]), 7), Ok(()));
    assert!(gradgradcheck(&flat.case("").random([3]), 7).is_err());
}

#[test]
fn custom_operations_leave_no_node_behind() {
    let softsign = CustomOp::new("my_softsign", |x| &x[0] / (x[0].abs() + 1.0))
        .with_gradient(|cx| vec![(cx.cotangent / (cx.inputs[0].abs() + 1.0).square()).into()]);
    let g = Graph::new(Mode::Train);
    let x = g.input("x", [3, 5], F32);
    let y = softsign.apply(&[&x]);
    assert!(format!("{y:?}").contains("my_softsign"));
    let dx = y.sum(..).gradients(&[&x]).remove(0);
    let recording = g.recording();
    assert_eq!(recording.check(), Ok(()));
    let small = simplify(&recording, &[y.id(), dx.id()]).recording;
    assert!(small.nodes.iter().all(|node| node.op.kind() != "Custom"));
    // The rule alone: the sign of |x|'s derivative occurs nowhere.
    assert!(small.nodes.iter().all(|node| node.op.name() != "sign"), "{small:?}");
}

/// The gradient of the sum of an operation's results at given values.
fn gradient_at(x: &[f32], record: impl Fn(&Tensor) -> Tensor) -> Vec<f64> {
    let g = Graph::new(Mode::Train);
    let x = g.constant([x.len()], x);
    let gradient = record(&x).sum(..).gradients(&[&x]).remove(0);
    let recording = g.recording();
    assert_eq!(recording.check(), Ok(()));
    evaluate(&recording, &Environment::new())[gradient.id().index()].data.clone()
}

/// What PyTorch does where no derivative, or no single one, exists.
#[test]
fn kinks_follow_pytorch() {
    let zero = |record: fn(&Tensor) -> Tensor| gradient_at(&[0.0], record)[0];
    assert_eq!(zero(Tensor::relu), 0.0);
    assert_eq!(zero(Tensor::abs), 0.0);
    assert_eq!(zero(Tensor::softplus), 0.5);
    assert_eq!(zero(|x| x.leaky_relu(0.25)), 0.25);
    assert_eq!(zero(|x| x.elu(1.5)), 1.5);
    assert_eq!(zero(|x| x.pow(&0.0)), 0.0);
    assert_eq!(zero(|x| x.pow(&1.0)), 1.0);
    assert_eq!(gradient_at(&[0.0, 0.0], |x| x.norm(0)), [0.0, 0.0]);
    assert_eq!(gradient_at(&[2.0, 2.0], |x| x.std(0, 1)), [0.0, 0.0]);
    assert_eq!(gradient_at(&[f32::INFINITY, 0.0], |x| x.logsumexp(0))[1], 0.0);
    assert_eq!(gradient_at(&[1.0, 1.0, 0.0], |x| x.max(0)), [0.5, 0.5, 0.0]);
    assert_eq!(gradient_at(&[1.0, 1.0, 0.0, 0.0], |x| x.min(0)), [0.0, 0.0, 0.5, 0.5]);
    assert_eq!(gradient_at(&[1.0, 2.0, 3.0], |x| x.maximum(2.0)), [0.0, 0.5, 1.0]);
    assert_eq!(gradient_at(&[1.0, 2.0, 3.0], |x| x.minimum(2.0)), [1.0, 0.5, 0.0]);
    assert_eq!(gradient_at(&[-3.0, -1.0, 0.0, 2.0, 3.0], |x| x.clamp(-1.0, 2.0)), [0.0, 1.0, 1.0, 1.0, 0.0]);
    let pooled = gradient_at(&[1.0, 1.0, 0.0, 2.0, 2.0, 2.0], |x| x.max_pool(&Window::new(&[3]).stride(3)));
    assert_eq!(pooled, [1.0, 0.0, 0.0, 1.0, 0.0, 0.0]);
    assert_eq!(gradient_at(&[0.0, 3.0, 5.0], |x| x.prod(0)), [15.0, 0.0, 0.0]);
}
