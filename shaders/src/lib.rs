//! The WGSL of wgrad: functions that generated kernels call, and a kernel with replaceable parts.
//!
//! [`math`] and [`math_for`] extract elementary functions (a few ulp, the same on every adapter) from one
//! library file; [`PHILOX`] is the random generator, and [`MATMUL_COOPERATIVE`] a whole kernel, whose marked regions
//! [`replace`] exchanges.

/// Elementary functions over f32, all named `wg_*`; [`math`] extracts from it.
pub const MATH: &str = include_str!("../math.wgsl");

/// `fn philox(counter: vec4<u32>, key: vec2<u32>) -> vec4<u32>`: one Philox 4x32-10 block.
///
/// Region: `multiply_high`, for adapters with integers of 64 bits [`MULTIPLY_HIGH_64`].
pub const PHILOX: &str = include_str!("../philox.wgsl");

/// The upper half of a product of two words, of which [`PHILOX`] takes twenty, where there is a type for the whole.
pub const MULTIPLY_HIGH_64: &str = "fn philox_multiply_high(a: u32, b: u32) -> u32 {
    return u32((u64(a) * u64(b)) >> 32u);
}
";

/// Batched matrix product of f16 with sums of f32, on cooperative matrices.
///
/// Regions, which are exchanged by [`replace`]: `sizes`, `functions` (bindings, `load_a`, `load_b`, `store`), `shape`
/// (size of a cooperative matrix and of a subgroup's block), `layout` (of the tiles in workgroup memory), `grid` (`tile`:
/// n tile, m tile and batch of the workgroup, from its id `workgroup`), and of a block's matrices `accumulators`, `stage`,
/// `multiply` and `results`. Grid: ceil(N / `TILE_N`) × ceil(M / `TILE_M`) × batch workgroups.
pub const MATMUL_COOPERATIVE: &str = include_str!("../matmul_cooperative.wgsl");

/// The named functions of [`MATH`] and those they call, each once, in the file's order.
///
/// A name that the library does not define adds nothing; the shader that calls it is then refused by its
/// compiler, which says the name.
///
/// ```
/// let source = wgrad_shaders::math(&["wg_tanh"]);
/// assert!(source.contains("fn wg_tanh(") && source.contains("fn wg_exp(") && !source.contains("fn wg_sin("));
/// ```
pub fn math(names: &[&str]) -> String {
    let functions = functions(MATH);
    let mut needed: Vec<bool> = functions.iter().map(|(name, _)| names.contains(name)).collect();
    loop {
        let found = functions.iter().enumerate().position(|(i, (callee, _))| {
            !needed[i]
                && functions
                    .iter()
                    .zip(&needed)
                    .any(|((_, body), &on)| on && words(body).any(|w| w == *callee))
        });
        match found {
            Some(i) => needed[i] = true,
            None => break,
        }
    }
    functions.iter().zip(needed).filter(|(_, on)| *on).map(|((_, text), _)| format!("{text}\n")).collect()
}

/// The functions of [`MATH`] that a shader source mentions, and those they call.
///
/// ```
/// let kernel = "fn f(x: f32) -> f32 { return wg_sin(x) * 2.0; }";
/// assert_eq!(wgrad_shaders::math_for(kernel), wgrad_shaders::math(&["wg_sin"]));
/// ```
pub fn math_for(source: &str) -> String {
    math(&words(source).filter(|word| word.starts_with("wg_")).collect::<Vec<_>>())
}

/// The names of the functions that [`MATH`] defines.
pub fn math_names() -> Vec<&'static str> {
    functions(MATH).into_iter().map(|(name, _)| name).collect()
}

/// `source` with the text between the lines `//:begin REGION` and `//:end REGION` exchanged for `text`; the
/// marker lines go too. As with [`str::replace`], a source without the region comes back as it is.
///
/// ```
/// let source = "//:begin sizes\nconst N: u32 = 1u;\n//:end sizes\nfn f() {}\n";
/// assert_eq!(wgrad_shaders::replace(source, "sizes", "const N: u32 = 7u;\n"), "const N: u32 = 7u;\nfn f() {}\n");
/// ```
pub fn replace(source: &str, region: &str, text: &str) -> String {
    let (begin, end) = (format!("//:begin {region}\n"), format!("//:end {region}\n"));
    match source.split_once(&begin).and_then(|(head, rest)| Some((head, rest.split_once(&end)?.1))) {
        Some((head, tail)) => [head, text, tail].concat(),
        None => source.to_owned(),
    }
}

/// Top-level functions as (name, text). They begin with `fn ` and end with `}` in the first column.
fn functions(source: &str) -> Vec<(&str, &str)> {
    let mut found = Vec::new();
    let mut rest = source;
    while let Some(start) = rest.find("\nfn ") {
        rest = &rest[start + 1..];
        let end = rest.find("\n}\n").map_or(rest.len(), |end| end + 3);
        let name = &rest[3..rest.find('(').unwrap_or(end)];
        found.push((name, &rest[..end]));
        rest = &rest[end - 1..];
    }
    found
}

/// The identifiers and numbers of a source.
fn words(source: &str) -> impl Iterator<Item = &str> {
    source.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').filter(|word| !word.is_empty())
}
