//! Measures candle's training steps on the CPU, as `cargo xtask bench peers` calls it.

mod models;

use std::time::Instant;

use candle_core::backprop::GradStore;
use candle_core::{DType, Device, Module, Result, Tensor, Var};
use candle_nn::{AdamW, Optimizer, ParamsAdamW, SGD, VarBuilder, VarMap, loss};
use wgrad_measure::{Error, GPT, Kernel, KernelReport, Model, Report, Task, Values, arguments, line};

use models::{Cnn, Perceptron, Resnet, Transformer};

fn main() -> std::result::Result<(), Error> {
    let start = Instant::now();
    let (task, seconds) = arguments()?;
    let report = match task {
        Task::Steps(model) => line(&steps(start, model, seconds)?),
        Task::Kernel(kernel) => line(&single(kernel, seconds)?),
    };
    println!("{}", report?);
    Ok(())
}

fn single(kernel: Kernel, seconds: f64) -> std::result::Result<KernelReport, Error> {
    let [a, b] = kernel.operands().map(|shape| Tensor::rand(-1f32, 1f32, shape, &Device::Cpu));
    let (a, b) = (a?, b?);
    let run = || {
        match kernel {
            Kernel::Matmul(_) => a.matmul(&b)?,
            Kernel::Conv => a.conv2d(&b, 1, 1, 1, 1)?,
        };
        Ok(())
    };
    KernelReport::measure(kernel, seconds, run)
}

fn steps(start: Instant, model: Model, seconds: f64) -> std::result::Result<Report, Error> {
    let map = VarMap::new();
    let vars = VarBuilder::from_varmap(&map, DType::F32, &Device::Cpu);
    let network: Box<dyn Module> = match model {
        Model::Tiny => Box::new(Perceptron::new(&[2, 16, 1], vars)?),
        Model::Mlp => Box::new(Perceptron::new(&[784, 512, 512, 10], vars)?),
        Model::Cnn => Box::new(Cnn::new(vars)?),
        Model::Resnet => Box::new(Resnet::new(vars)?),
        Model::Gpt => Box::new(Transformer::new(GPT, vars)?),
    };
    let adam =
        |lr, weight_decay| AdamW::new(map.all_vars(), ParamsAdamW { lr, weight_decay, ..Default::default() });
    let mut update: Box<dyn FnMut(&GradStore) -> Result<()>> = match model {
        Model::Tiny => stepper(SGD::new(map.all_vars(), 0.01)?),
        Model::Mlp | Model::Cnn => stepper(adam(1e-3, 0.0)?),
        Model::Resnet => momentum(map.all_vars(), 0.01, 0.9),
        Model::Gpt => stepper(adam(3e-4, 0.01)?),
    };
    let batches: Vec<_> = (0..4).map(|number| model.batch(number)).collect();
    let mut batches = batches.iter().cycle();
    let parameters = map.all_vars().iter().map(|var| var.elem_count()).sum();
    let step = |wait| {
        let Some((input, target)) = batches.next() else { return Ok(()) };
        let output = network.forward(&tensor(input, model.input_shape())?)?;
        let target = tensor(target, model.target_shape())?;
        let loss = match model {
            Model::Tiny => loss::mse(&output, &target)?,
            _ => loss::cross_entropy(&output, &target.flatten_all()?)?,
        };
        update(&loss.backward()?)?;
        if wait && !loss.to_scalar::<f32>()?.is_finite() {
            return Err("the loss is not finite".into());
        }
        Ok(())
    };
    Report::measure("candle 0.11.1 on the CPU", model, parameters, start, seconds, step)
}

fn tensor(values: &Values, shape: &[usize]) -> Result<Tensor> {
    match values {
        Values::F32(values) => Tensor::from_slice(values, shape, &Device::Cpu),
        Values::U32(values) => Tensor::from_slice(values, shape, &Device::Cpu),
    }
}

fn stepper(mut optimizer: impl Optimizer + 'static) -> Box<dyn FnMut(&GradStore) -> Result<()>> {
    Box::new(move |gradients| optimizer.step(gradients))
}

/// SGD with momentum, which candle does not have: v ← μ·v + g, w ← w − η·v.
fn momentum(vars: Vec<Var>, rate: f64, keep: f64) -> Box<dyn FnMut(&GradStore) -> Result<()>> {
    let mut velocities: Vec<Option<Tensor>> = vec![None; vars.len()];
    Box::new(move |gradients| {
        for (var, velocity) in vars.iter().zip(&mut velocities) {
            let Some(gradient) = gradients.get(var) else { continue };
            let moved = match velocity {
                Some(velocity) => ((&*velocity * keep)? + gradient)?,
                None => gradient.clone(),
            };
            var.set(&(var.as_tensor() - (&moved * rate)?)?)?;
            *velocity = Some(moved);
        }
        Ok(())
    })
}
