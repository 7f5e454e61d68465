//! Transfer learning: a MobileNetV2 that learned on photographs sorts emoji into five groups. The net stays
//! frozen; only a new head is trained, on the features of the net, which are computed once. Beside it, the
//! same with a net of random weights.
//!
//!     cargo xtask data emoji
//!     cargo xtask data mobilenet
//!     cargo run --release --example transfer

use std::path::PathBuf;

use clap::Parser;
use wgrad::data::{Augmented, ImageFolder, split};
use wgrad::nn::models::MobileNetV2;
use wgrad::prelude::*;
use wgrad::train::Objective;

const SIZE: usize = 96;
const BATCH: usize = 28;
/// The moments of ImageNet's channels, by which torchvision's models expect images to be normalized.
const MEANS: [f32; 3] = [0.485, 0.456, 0.406];
const DEVIATIONS: [f32; 3] = [0.229, 0.224, 0.225];

#[derive(Parser)]
struct Options {
    /// The directory with a folder of images for each class.
    #[arg(long, default_value = "data/emoji")]
    data: PathBuf,
    /// The folders to tell apart.
    #[arg(long, value_delimiter = ',', default_value = "animals,food,objects,people,travel")]
    classes: Vec<String>,
    /// torchvision's weights.
    #[arg(long, default_value = "data/mobilenet/mobilenet_v2.pth")]
    weights: PathBuf,
    /// Passes of the head through the features.
    #[arg(long, default_value_t = 40)]
    epochs: usize,
}

fn main() {
    if let Err(error) = run(&Options::parse()) {
        eprintln!("error: {error}");
        std::process::exit(1);
    }
}

fn run(options: &Options) -> Result<(), Box<dyn std::error::Error>> {
    let images = ImageFolder::open(&options.data, SIZE, SIZE)?.only(&options.classes)?;
    println!("{} images: {}", images.len(), images.classes().join(", "));
    let weights = Weights::read(&options.weights)?;
    let gpu = Gpu::new()?;
    let pretrained = accuracy(&gpu, &images, Some(&weights), options.epochs)?;
    let random = accuracy(&gpu, &images, None, options.epochs)?;
    let points = 100.0 * (pretrained - random);
    println!(
        "test accuracy {pretrained:.4} with the pretrained net, {random:.4} with a random one: {points:.0} points"
    );
    Ok(())
}

/// What a head reaches on a quarter of the images, trained on the features of the others.
fn accuracy(
    gpu: &Gpu,
    images: &ImageFolder,
    weights: Option<&Weights>,
    epochs: usize,
) -> Result<f64, Box<dyn std::error::Error>> {
    let features = features(gpu, images, weights)?;
    let parts = split::by_class(features.labels(), &[0.75, 0.25], 5)?;
    let (train, test) = (features.subset(parts[0].clone())?, features.subset(parts[1].clone())?);
    let (train, test) = (train.standardized_by(&train)?, test.standardized_by(&train)?);

    let vars = Vars::new();
    let (drop, head) =
        (Dropout::new(0.5), Linear::new(vars.sub("classifier.1"), MobileNetV2::FEATURES, features.classes()));
    let report = Trainer::new(gpu, &vars, AdamW::new(1e-3).weight_decay(0.1))
        .epochs(epochs)
        .batch_size(64)
        .progress(false)
        .fit(&train, &test, |x, y| Objective::classification(&head.forward(&drop.forward(x)), y))?;
    Ok(report.test().get("accuracy").unwrap_or_default())
}

/// The 1,280 features of each image.
fn features(
    gpu: &Gpu,
    images: &ImageFolder,
    weights: Option<&Weights>,
) -> Result<Labelled, Box<dyn std::error::Error>> {
    let vars = Vars::new();
    let net = MobileNetV2::new(&vars, 1000);
    if let Some(weights) = weights {
        println!("{}", weights.apply(&vars)?);
    }
    let program =
        gpu.compile(Mode::Eval, |g| [net.features(&g.input("image", [BATCH, 3, SIZE, SIZE], F32))])?;
    let mut state = gpu.init(&vars, 1)?;
    let normal = Augmented::new(images.clone())?.normalize(&MEANS, &DEVIATIONS)?;
    let loader = Loader::new(normal, BATCH).workers(2).allocator(program.staging());
    let mut features = vec![];
    for (number, batch) in loader.epoch(0).enumerate() {
        let rows = program.run(&mut state, batch?)?.get(0)?.to_vec::<f32>();
        features.extend_from_slice(&rows[..loader.records(number) * MobileNetV2::FEATURES]);
    }
    let labels: Vec<u32> = images.labels().collect();
    Ok(Labelled::new("features", [MobileNetV2::FEATURES], features, labels, images.classes().len())?)
}
