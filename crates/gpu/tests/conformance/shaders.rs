//! Every generated kernel validates in naga and is written as SPIR-V, MSL, HLSL and GLSL.

use std::collections::BTreeSet;

use naga::back;
use naga::valid::{Capabilities, ModuleInfo, ValidationFlags, Validator};
use wgrad_core::NodeId;
use wgrad_core::case;

use crate::compare::DEVICES;

fn write_everywhere(module: &naga::Module, info: &ModuleInfo, in_glsl: bool) -> Result<(), String> {
    back::spv::write_vec(module, info, &back::spv::Options::default(), None)
        .map_err(|e| format!("SPIR-V: {e}"))?;
    let msl = back::msl::Options { lang_version: (2, 4), fake_missing_bindings: true, ..Default::default() };
    back::msl::write_string(module, info, &msl, &back::msl::PipelineOptions::default())
        .map_err(|e| format!("MSL: {e}"))?;
    let hlsl = back::hlsl::Options {
        shader_model: back::hlsl::ShaderModel::V6_2,
        fake_missing_bindings: true,
        ..Default::default()
    };
    let mut text = String::new();
    back::hlsl::Writer::new(&mut text, &hlsl, &back::hlsl::PipelineOptions::default())
        .write(module, info, None)
        .map_err(|e| format!("HLSL: {e}"))?;
    if in_glsl {
        let glsl = back::glsl::Options { version: back::glsl::Version::Desktop(430), ..Default::default() };
        let pipeline = back::glsl::PipelineOptions {
            shader_stage: naga::ShaderStage::Compute,
            entry_point: "main".into(),
            multiview: None,
        };
        let mut text = String::new();
        back::glsl::Writer::new(
            &mut text,
            module,
            info,
            &glsl,
            &pipeline,
            naga::proc::BoundsCheckPolicies::default(),
        )
        .and_then(|mut writer| writer.write())
        .map_err(|e| format!("GLSL: {e}"))?;
    }
    Ok(())
}

/// Validates a kernel and writes it in all languages that have its types.
pub(crate) fn translate(source: &str) {
    // GLSL has no f16 and no integers of 64 bits.
    let in_glsl = !source.contains("enable f16;") && !source.contains("u64");
    let module = naga::front::wgsl::parse_str(source)
        .unwrap_or_else(|e| panic!("{}\n{source}", e.emit_to_string(source)));
    let capabilities = Capabilities::SHADER_FLOAT16 | Capabilities::SHADER_INT64 | Capabilities::SUBGROUP;
    let info = Validator::new(ValidationFlags::all(), capabilities).validate(&module);
    let info = info.unwrap_or_else(|e| panic!("{e:?}\n{source}"));
    write_everywhere(&module, &info, in_glsl).unwrap_or_else(|e| panic!("{e}\n{source}"));
}

#[test]
fn every_kernel_is_valid_and_is_written_for_every_backend() {
    let mut sources = BTreeSet::new();
    for case in case::cases() {
        let recorded = case.record(0);
        let mut outputs = vec![recorded.output.clone()];
        if case.differentiable && recorded.output.dtype().is_float() {
            let floats: Vec<_> = recorded.inputs.iter().filter(|x| x.dtype().is_float()).collect();
            outputs.extend(recorded.output.pull_back(&recorded.output.ones_like(), &floats));
        }
        let ids: Vec<NodeId> = outputs.iter().map(|output| output.id()).collect();
        let recording = recorded.graph.recording();
        for (name, gpu) in DEVICES.iter() {
            let program = gpu.compile_recording(&recording, &ids);
            let program = program.unwrap_or_else(|error| panic!("{} ({name}): {error}", case.name));
            sources.extend(program.sources().map(String::from));
        }
    }
    assert!(sources.len() > 100, "only {} kernels", sources.len());
    sources.iter().for_each(|source| translate(source));
    println!("{} kernels written in four languages", sources.len());
}
