use wgrad_core::interpret::evaluate;
use wgrad_core::*;
#[test]
fn smoke() {
    let g = Graph::new(Mode::Train);
    let x = g.constant([2, 2], &[1f32, 2., 3., 4.]);
    let w = g.constant([2, 3], &[1f32, 0., 1., 0., 1., 1.]);
    let y = x.matmul(&w).relu().sum(..);
    let dx = y.gradients(&[&x, &w]);
    let r = g.recording();
    r.check().unwrap();
    let v = evaluate(&r, &Default::default());
    assert_eq!(v[y.id().index()].item(), 20.0);
    assert_eq!(v[dx[0].id().index()].data, [2., 2., 2., 2.]);
    assert_eq!(v[dx[1].id().index()].data, [4., 4., 4., 6., 6., 6.]);
}
