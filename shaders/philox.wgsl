// Philox 4x32-10: random words as a pure function of (counter, key).
//
// Source: Salmon, Moraes, Dror, Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC 2011.

//:begin multiply_high
// The upper half of the 64-bit product, from 16-bit halves: the middle sum is (2^16-1)^2 + 2 (2^16-1) at most.
fn philox_multiply_high(a: u32, b: u32) -> u32 {
    let a_low = a & 0xffffu;
    let a_high = a >> 16u;
    let b_low = b & 0xffffu;
    let b_high = b >> 16u;
    let cross = a_high * b_low + ((a_low * b_low) >> 16u);
    let middle = a_low * b_high + (cross & 0xffffu);
    return a_high * b_high + (cross >> 16u) + (middle >> 16u);
}
//:end multiply_high

fn philox_round(c: vec4<u32>, k: vec2<u32>) -> vec4<u32> {
    return vec4<u32>(
        philox_multiply_high(0xcd9e8d57u, c.z) ^ c.y ^ k.x,
        0xcd9e8d57u * c.z,
        philox_multiply_high(0xd2511f53u, c.x) ^ c.w ^ k.y,
        0xd2511f53u * c.x,
    );
}

// Ten rounds, written out: software drivers limit the loop iterations of an invocation.
fn philox(counter: vec4<u32>, key: vec2<u32>) -> vec4<u32> {
    let step = vec2<u32>(0x9e3779b9u, 0xbb67ae85u);
    var k = key;
    var c = philox_round(counter, k);
    k += step;
    c = philox_round(c, k);
    k += step;
    c = philox_round(c, k);
    k += step;
    c = philox_round(c, k);
    k += step;
    c = philox_round(c, k);
    k += step;
    c = philox_round(c, k);
    k += step;
    c = philox_round(c, k);
    k += step;
    c = philox_round(c, k);
    k += step;
    c = philox_round(c, k);
    k += step;
    return philox_round(c, k);
}
