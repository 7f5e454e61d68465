//! Every file, and every function extracted alone, validates in naga and is written for each shader language.

use naga::back::{glsl, hlsl, msl, spv};
use naga::valid::{Capabilities, ModuleInfo, ValidationFlags, Validator};
use wgrad_shaders::{MATMUL_COOPERATIVE, PHILOX, math, math_for, math_names, replace};

fn validate(name: &str, source: &str, capabilities: Capabilities) -> (naga::Module, ModuleInfo) {
    let module = naga::front::wgsl::parse_str(source)
        .unwrap_or_else(|error| panic!("{name}: {}\n{source}", error.emit_to_string(source)));
    let info = Validator::new(ValidationFlags::all(), capabilities)
        .validate(&module)
        .unwrap_or_else(|error| panic!("{name}: {}\n{source}", error.emit_to_string(source)));
    (module, info)
}

fn translate_to_spirv_and_msl(name: &str, module: &naga::Module, info: &ModuleInfo) {
    let words = spv::write_vec(module, info, &spv::Options::default(), None)
        .unwrap_or_else(|error| panic!("{name} as SPIR-V: {error}"));
    assert!(words.len() > 100, "{name} as SPIR-V has {} words", words.len());

    let options = msl::Options { lang_version: (2, 3), fake_missing_bindings: true, ..Default::default() };
    let (text, _) = msl::write_string(module, info, &options, &msl::PipelineOptions::default())
        .unwrap_or_else(|error| panic!("{name} as MSL: {error}"));
    assert!(text.contains("kernel void main_("), "{name} as MSL:\n{text}");
}

/// Writes a shader whose entry point is `main` in all four languages.
fn translate(name: &str, source: &str) {
    let (module, info) = validate(name, source, Capabilities::empty());
    translate_to_spirv_and_msl(name, &module, &info);

    let options = hlsl::Options { fake_missing_bindings: true, ..Default::default() };
    let mut text = String::new();
    hlsl::Writer::new(&mut text, &options, &hlsl::PipelineOptions::default())
        .write(&module, &info, None)
        .unwrap_or_else(|error| panic!("{name} as HLSL: {error}"));
    assert!(text.contains("void main("), "{name} as HLSL:\n{text}");

    let options = glsl::Options { version: glsl::Version::new_gles(310), ..Default::default() };
    let pipeline = glsl::PipelineOptions {
        shader_stage: naga::ShaderStage::Compute,
        entry_point: "main".into(),
        multiview: None,
    };
    let mut text = String::new();
    glsl::Writer::new(
        &mut text,
        &module,
        &info,
        &options,
        &pipeline,
        naga::proc::BoundsCheckPolicies::default(),
    )
    .and_then(|mut writer| writer.write())
    .unwrap_or_else(|error| panic!("{name} as GLSL: {error}"));
    assert!(text.contains("void main()"), "{name} as GLSL:\n{text}");
}

/// A compute shader that stores the value of an expression of type f32 in `x` and `y`.
fn kernel(library: &str, expression: &str) -> String {
    format!(
        "{library}
@group(0) @binding(0) var<storage, read_write> data: array<f32>;
@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {{
    let x = data[id.x];
    let y = data[id.x + 1u];
    data[id.x] = {expression};
}}
"
    )
}

fn call(name: &str) -> String {
    match name {
        "wg_nan" | "wg_inf" => format!("{name}()"),
        "wg_is_nan" => format!("select(0.0, 1.0, {name}(x))"),
        "wg_scale" | "wg_exp_scaled" | "wg_sin_quadrant" => format!("{name}(x, i32(y))"),
        "wg_log2_parts" => format!("{name}(x).x"),
        "wg_copysign" | "wg_exp_remainder" | "wg_log_poly" | "wg_pi_remainder" | "wg_asin_tail"
        | "wg_atan2" | "wg_pow" => format!("{name}(x, y)"),
        "wg_atan_sum" => format!("{name}(x, y, y)"),
        _ => format!("{name}(x)"),
    }
}

#[test]
fn every_math_function_alone() {
    let names = math_names();
    assert!(names.len() > 24, "{names:?}");
    for name in names {
        translate(name, &kernel(&math(&[name]), &call(name)));
    }
}

#[test]
fn all_math_together() {
    let sum = math_names().into_iter().map(call).collect::<Vec<_>>().join(" + ");
    translate("math.wgsl", &kernel(wgrad_shaders::MATH, &sum));
    assert_eq!(math_for(&sum), math(&math_names()));
}

#[test]
fn philox_translates() {
    translate("philox.wgsl", &kernel(PHILOX, "f32(philox(vec4<u32>(u32(x)), vec2<u32>(u32(y))).x)"));
}

/// Cooperative matrices exist in two languages; in one of them, only those of 8 × 8.
#[test]
fn cooperative_matmul_translates() {
    let eight = MATMUL_COOPERATIVE.replace("16x16", "8x8").replace("= 16u", "= 8u");
    for source in [MATMUL_COOPERATIVE, &eight] {
        let capabilities = Capabilities::SHADER_FLOAT16 | Capabilities::COOPERATIVE_MATRIX;
        let (module, info) = validate("matmul_cooperative.wgsl", source, capabilities);
        translate_to_spirv_and_msl("matmul_cooperative.wgsl", &module, &info);
    }
}

#[test]
fn extraction_is_exact() {
    let defined = |names: &[&str]| {
        let source = math(names);
        let lines = source.lines().filter_map(|line| line.strip_prefix("fn ")?.split('(').next());
        lines.map(str::to_owned).collect::<Vec<_>>()
    };
    assert!(defined(&[]).is_empty());
    assert!(defined(&["wg_no_such_function"]).is_empty());
    assert_eq!(defined(&["wg_nan", "wg_nan"]), ["wg_nan"]);
    // Neither another function that a comment names, nor one whose name begins alike.
    assert_eq!(
        defined(&["wg_sin"]),
        ["wg_pi_remainder", "wg_sin_poly", "wg_cos_poly", "wg_sin_quadrant", "wg_sin"]
    );
    assert_eq!(math_for("wg_sin(x) + wg_nan()"), math(&["wg_nan", "wg_sin"]));
}

#[test]
fn regions_are_replaced() {
    let replaced = replace(PHILOX, "multiply_high", "// here\n");
    assert!(replaced.contains("// here\n") && !replaced.contains(":begin multiply_high"));
    assert_eq!(replace(PHILOX, "no such region", "// here\n"), PHILOX);
    for line in MATMUL_COOPERATIVE.lines() {
        let Some(region) = line.trim().strip_prefix("//:begin ") else { continue };
        let replaced = replace(MATMUL_COOPERATIVE, region, "// here\n");
        assert!(
            replaced.contains("// here\n") && !replaced.contains(&format!(":begin {region}")),
            "{region}"
        );
    }
}
