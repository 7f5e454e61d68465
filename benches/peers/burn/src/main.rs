//! Measures Burn's training steps, as `cargo xtask bench peers` calls it.

mod models;

use std::time::Instant;

use burn::cubecl::{self, MemoryScope};
use burn::module::Module;
use burn::nn::loss::{CrossEntropyLossConfig, MseLoss, Reduction};
use burn::optim::momentum::MomentumConfig;
use burn::optim::{AdamConfig, AdamWConfig, GradientsParams, ModuleOptimizer, SgdConfig};
use burn::prelude::*;
use burn::tensor::DeviceKind;
use burn::tensor::Distribution;
use burn::tensor::module::conv2d;
use burn::tensor::ops::ConvOptions;
use wgrad_measure::{Error, GPT, Kernel, KernelReport, Model, Report, Task, Values, arguments, line};

use models::{Cnn, Perceptron, Resnet, Transformer};

fn main() -> Result<(), Error> {
    let start = Instant::now();
    let (task, seconds) = arguments()?;
    let report = match task {
        Task::Steps(model) => line(&steps(start, model, seconds)?),
        Task::Kernel(kernel) => line(&single(kernel, seconds)?),
    };
    println!("{}", report?);
    Ok(())
}

fn single(kernel: Kernel, seconds: f64) -> Result<KernelReport, Error> {
    let device = Device::wgpu(DeviceKind::DefaultDevice);
    let wait = || device.sync().map_err(|error| format!("{error:?}").into());
    let [first, second] = kernel.operands();
    match kernel {
        Kernel::Matmul(_) => {
            let draw =
                |shape: &[usize]| Tensor::<2>::random(shape, Distribution::Uniform(-1.0, 1.0), &device);
            let (a, b) = (draw(&first), draw(&second));
            KernelReport::measure(kernel, seconds, || {
                let _result = a.clone().matmul(b.clone());
                wait()
            })
        }
        Kernel::Conv => {
            let draw =
                |shape: &[usize]| Tensor::<4>::random(shape, Distribution::Uniform(-1.0, 1.0), &device);
            let (x, weight) = (draw(&first), draw(&second));
            let options = ConvOptions::new([1, 1], [1, 1], [1, 1], 1);
            KernelReport::measure(kernel, seconds, || {
                let _result = conv2d(x.clone(), weight.clone(), None, options.clone());
                wait()
            })
        }
    }
}

fn steps(start: Instant, model: Model, seconds: f64) -> Result<Report, Error> {
    let device = Device::wgpu(DeviceKind::DefaultDevice).autodiff();
    let adam = || AdamConfig::new().with_epsilon(1e-8).init();
    let momentum = MomentumConfig::new().with_momentum(0.9).with_dampening(0.0);
    let run = Run { start, model, seconds, device: device.clone() };
    match model {
        Model::Tiny => {
            let loss = |net: &Perceptron, input: Tensor<2>, target: Tensor<2>| {
                MseLoss::new().forward(net.forward(input), target, Reduction::Mean)
            };
            run.train(
                Perceptron::new(&[2, 16, 1], &device),
                SgdConfig::new().init(),
                0.01,
                |net, input, target| {
                    loss(
                        net,
                        numbers(input, model.input_shape(), &device),
                        numbers(target, model.target_shape(), &device),
                    )
                },
            )
        }
        Model::Mlp => {
            run.train(Perceptron::new(&[784, 512, 512, 10], &device), adam(), 1e-3, |net, input, target| {
                let input = numbers(input, model.input_shape(), &device);
                cross_entropy(net.forward(input), target, &device)
            })
        }
        Model::Cnn => run.train(Cnn::new(&device), adam(), 1e-3, |net, input, target| {
            cross_entropy(net.forward(numbers(input, model.input_shape(), &device)), target, &device)
        }),
        Model::Resnet => {
            let sgd = SgdConfig::new().with_momentum(Some(momentum)).init();
            run.train(Resnet::new(&device), sgd, 0.01, |net, input, target| {
                cross_entropy(net.forward(numbers(input, model.input_shape(), &device)), target, &device)
            })
        }
        Model::Gpt => {
            let adamw = AdamWConfig::new().with_epsilon(1e-8).with_weight_decay(0.01).init();
            run.train(Transformer::new(GPT, &device), adamw, 3e-4, |net, input, target| {
                let tokens = classes(input, &device).reshape([16, GPT.sequence]);
                cross_entropy(net.forward(tokens), target, &device)
            })
        }
    }
}

/// What does not depend on the type of the model.
struct Run {
    start: Instant,
    model: Model,
    seconds: f64,
    device: Device,
}

impl Run {
    fn train<M: Module>(
        &self,
        network: M,
        mut optimizer: ModuleOptimizer,
        rate: f64,
        loss: impl Fn(&M, &Values, &Values) -> Tensor<1>,
    ) -> Result<Report, Error> {
        let batches: Vec<_> = (0..4).map(|number| self.model.batch(number)).collect();
        let mut batches = batches.iter().cycle();
        let parameters = network.num_params();
        let mut network = Some(network);
        let step = |wait| {
            let (Some(current), Some((input, target))) = (network.take(), batches.next()) else {
                return Err("an earlier step failed".into());
            };
            let loss = loss(&current, input, target);
            let gradients = GradientsParams::from_grads(loss.backward(), &current);
            network = Some(optimizer.step(rate, current, gradients));
            if wait {
                let loss: f32 = loss.into_scalar();
                if !loss.is_finite() {
                    return Err(format!("the loss is {loss}").into());
                }
            }
            Ok(())
        };
        let framework = format!("Burn 0.22.1 on {:?}", self.device);
        let report = Report::measure(&framework, self.model, parameters, self.start, self.seconds, step)?;
        Ok(Report { device_bytes: Some(reserved_bytes()), ..report })
    }
}

/// What the pools of the device have reserved.
fn reserved_bytes() -> u64 {
    let client = cubecl::Device::Wgpu(Default::default()).client();
    client.memory_report(MemoryScope::Device).usage().bytes_reserved
}

fn numbers<const D: usize>(values: &Values, shape: &[usize], device: &Device) -> Tensor<D> {
    Tensor::from_data(TensorData::new(values.f32().to_vec(), shape), device)
}

fn classes(values: &Values, device: &Device) -> Tensor<1, Int> {
    let values: Vec<i32> = values.u32().iter().map(|&class| class as i32).collect();
    let shape = [values.len()];
    Tensor::from_data(TensorData::new(values, shape), device)
}

fn cross_entropy(logits: Tensor<2>, target: &Values, device: &Device) -> Tensor<1> {
    CrossEntropyLossConfig::new().init(device).forward(logits, classes(target, device))
}
