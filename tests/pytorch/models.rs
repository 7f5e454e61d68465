//! Whole models, small, under the names that published weights have.

use wgrad::nn::models::{Bert, BertConfig, Gpt, GptConfig, UNet, Vit, VitConfig};

use crate::case::{Case, layer};
use crate::suite::check;

fn models() -> Vec<Case> {
    vec![
        layer("Gpt", |v| {
            let (vocabulary, context, layers, heads, width) = (7, 6, 2, 2, 6);
            let config = GptConfig { vocabulary, context, layers, heads, width, ..GptConfig::default() };
            Gpt::new(v, GptConfig { tied: false, ..config })
        }),
        layer("Vit", |v| {
            let (image, patch, channels, layers, heads, width, classes) = (6, 3, 2, 2, 2, 6, 4);
            let config = VitConfig { image, patch, channels, ..VitConfig::default() };
            Vit::new(v, VitConfig { layers, heads, width, classes, ..config })
        }),
        Case::new("Bert", |v, x| {
            let (vocabulary, context, layers, heads, width, feedforward) = (7, 6, 2, 2, 6, 8);
            let config = BertConfig { vocabulary, context, layers, heads, width, ..BertConfig::default() };
            let bert = Bert::new(v, BertConfig { feedforward, dropout: 0.0, ..config });
            let features = bert.encode(&x[0], Some(&x[1]), Some(&x[2].gt(0.0)));
            let pooled = bert.pool(&features);
            vec![features, pooled]
        }),
        layer("UNet", |v| UNet::with_width(v, 2, 3, 1)).eval(),
    ]
}

#[test]
fn models_agree() {
    check("models", "models", models());
}

#[test]
fn every_model_is_here() {
    crate::golden::same_cases("models", models().iter().map(|case| case.name));
}
