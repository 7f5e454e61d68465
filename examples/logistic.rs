//! Logistic regression with a squared loss, on the breast-cancer table:
//!
//!     L(w, b) = ½ (y − σ(w·x + b))² + λ w²
//!
//! averaged over the records. First the gradient that wgrad records is printed beside the one derived by
//! hand; then the model is trained.
//!
//!     cargo run --release --example logistic

use wgrad::prelude::*;
use wgrad::train::Objective;

const LAMBDA: f64 = 1e-4;

struct Logistic {
    w: Var,
    b: Var,
}

impl Logistic {
    fn new(vars: &Vars) -> Self {
        let init = init::uniform(-0.1, 0.1);
        Self { w: vars.var("w", [30], init), b: vars.var("b", [], init::zeros()) }
    }

    /// z = w·x + b for each record.
    fn score(&self, x: &Tensor) -> Tensor {
        x.matmul(&x.graph().var(&self.w)) + x.graph().var(&self.b)
    }

    fn loss(&self, x: &Tensor, label: &Tensor) -> Tensor {
        let (w, y) = (x.graph().var(&self.w), label.cast(F32));
        (y - self.score(x).sigmoid()).square().mean(..) * 0.5 + w.square().sum(..) * LAMBDA
    }

    fn accuracy(&self, x: &Tensor, label: &Tensor) -> Tensor {
        self.score(x).gt(0.0).cast(U32).eq(label).cast(F32).mean(..)
    }
}

fn main() {
    if let Err(error) = run() {
        eprintln!("error: {error}");
        std::process::exit(1);
    }
}

fn run() -> Result<(), Box<dyn std::error::Error>> {
    let (train, test) = breast_cancer().split(0.8, 1);
    let (train, test) = (train.standardized_by(&train)?, test.standardized_by(&train)?);
    let (gpu, vars) = (Gpu::new()?, Vars::new());
    let model = Logistic::new(&vars);
    compare_gradients(&gpu, &vars, &model, &train)?;

    let report = Trainer::new(&gpu, &vars, Sgd::new(1.0).momentum(0.9)).epochs(15).batch_size(65).fit(
        &train,
        &test,
        |x, y| Objective::new(model.loss(x, y)).metric("accuracy", model.accuracy(x, y)),
    )?;
    println!("\n{report}");
    println!("test accuracy {:.4}", report.test().get("accuracy").unwrap_or_default());
    Ok(())
}

/// Prints ∂L/∂w and ∂L/∂b over the whole table, as recorded and as derived by hand.
fn compare_gradients(
    gpu: &Gpu,
    vars: &Vars,
    model: &Logistic,
    data: &Labelled,
) -> Result<(), Box<dyn std::error::Error>> {
    let n = data.len();
    let program = gpu.compile(Mode::Eval, |g| {
        let (x, y) = (g.input("features", [n, 30], F32), g.input("label", [n], U32));
        let gradients = model.loss(&x, &y).backward(vars);
        gradients.into_iter().map(|(_, gradient)| gradient).collect::<Vec<_>>()
    })?;
    let mut state = gpu.init(vars, 1)?;
    let batch =
        Loader::new(data.clone(), n).allocator(program.staging()).epoch(0).next().ok_or("no data")??;
    let recorded = program.run(&mut state, batch)?;
    let (dw, db) = (recorded.get(0)?, recorded.get(1)?);
    let (dw_by_hand, db_by_hand) = derived_by_hand(&state.read("w")?.data, state.read("b")?.item(), data);

    println!("          recorded     by hand");
    let by_hand = dw_by_hand.iter().chain([&db_by_hand]);
    let mut largest = 0f64;
    for (i, (recorded, by_hand)) in dw.data.iter().chain(&db.data).zip(by_hand).enumerate() {
        let name = if i < 30 { format!("∂L/∂w{i}") } else { "∂L/∂b".into() };
        println!("{name:8} {recorded:10.7} {by_hand:11.7}");
        largest = largest.max((recorded - by_hand).abs());
    }
    println!("largest difference {largest:.1e}");
    if largest < 1e-6 { Ok(()) } else { Err("the gradients do not agree".into()) }
}

/// With z = w·x + b, the chain rule gives for each record
/// ∂L/∂b = (σ(z) − y) σ'(z), and ∂L/∂w = (σ(z) − y) σ'(z) x + 2λw, where σ' = σ (1 − σ).
fn derived_by_hand(w: &[f64], b: f64, data: &Labelled) -> (Vec<f64>, f64) {
    let n = data.len() as f64;
    let (mut dw, mut db) = (w.iter().map(|w| 2.0 * LAMBDA * w).collect::<Vec<_>>(), 0.0);
    for (x, y) in (0..data.len()).filter_map(|i| data.input(i).zip(data.label(i))) {
        let z = b + w.iter().zip(&x).map(|(w, &x)| w * f64::from(x)).sum::<f64>();
        let sigma = 1.0 / (1.0 + (-z).exp());
        let slope = (sigma - f64::from(y)) * sigma * (1.0 - sigma) / n;
        dw.iter_mut().zip(&x).for_each(|(dw, &x)| *dw += slope * f64::from(x));
        db += slope;
    }
    (dw, db)
}
