use wgrad_core::batch::Batch;
use wgrad_core::*;
use wgrad_gpu::*;
#[test]
fn smoke() {
    let gpu = Gpu::new().unwrap();
    println!("{}", gpu.info());
    let p = gpu
        .compile(Mode::Eval, |g| {
            let x = g.input("x", [2, 2], F32);
            let w = g.constant([2, 3], &[1f32, 0., 1., 0., 1., 1.]);
            let y = x.matmul(&w).relu();
            let s = (&y * 2.0 + 1.0).exp().log().sum(..);
            let d = s.gradients(&[&x, &w]);
            [y, s, d[0].clone(), d[1].clone()]
        })
        .unwrap();
    println!("{}", p.explain());
    for s in p.sources() {
        println!("{s}");
    }
    let mut state = gpu.init(&Vars::new(), 7).unwrap();
    let o = p.run(&mut state, Batch::new().with("x", [2, 2], &[1f32, 2., 3., 4.])).unwrap();
    for i in 0..4 {
        println!("{:?}", o.get(i).unwrap());
    }
    assert_eq!(o.get(0).unwrap().data, [1., 2., 3., 3., 4., 7.]);
    assert!((o.scalar(1).unwrap() - 46.0).abs() < 1e-4);
}
