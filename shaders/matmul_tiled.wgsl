// C = A B for each matrix of a batch, through tiles in workgroup memory: the kernel for discrete and integrated
// GPUs. (Software adapters want registers only; this one is slow there.)
//
// A workgroup of 16 x 16 computes a 64 x 64 tile of C, an invocation 4 x 4 outputs of it, 16 steps of k at a time.
// Dispatch ceil(N / 64) x ceil(M / 64) x batch workgroups. An invocation makes K + K / 16 loop iterations.
//
// The regions between `//:begin NAME` and `//:end NAME` are replaced by the compiler: the sizes, the functions
// through which operands are read and results written, with all that is fused into them, and the mapping of
// workgroups to tiles. `load_a`, `load_b` and
// `store` are only called with indices in range.

//:begin sizes
const M: u32 = 64u;
const N: u32 = 64u;
const K: u32 = 64u;
//:end sizes

//:begin functions
@group(0) @binding(0) var<storage, read> a: array<f32>;
@group(0) @binding(1) var<storage, read> b: array<f32>;
@group(0) @binding(2) var<storage, read_write> c: array<f32>;

fn load_a(batch: u32, m: u32, k: u32) -> f32 {
    return a[(batch * M + m) * K + k];
}

fn load_b(batch: u32, k: u32, n: u32) -> f32 {
    return b[(batch * K + k) * N + n];
}

fn store(batch: u32, m: u32, n: u32, value: f32) {
    c[(batch * M + m) * N + n] = value;
}
//:end functions

const TILE_M: u32 = 64u;
const TILE_N: u32 = 64u;
const TILE_K: u32 = 16u;

// Row k of a tile holds 16 vectors of four; the 17th only spreads the rows over the memory banks.
const ROW: u32 = 17u;
var<workgroup> tile_a: array<vec4<f32>, TILE_K * ROW>;
var<workgroup> tile_b: array<vec4<f32>, TILE_K * ROW>;

fn guarded_a(batch: u32, m: u32, k: u32) -> f32 {
    if (m < M && k < K) {
        return load_a(batch, m, k);
    }
    return 0.0;
}

fn guarded_b(batch: u32, k: u32, n: u32) -> f32 {
    if (k < K && n < N) {
        return load_b(batch, k, n);
    }
    return 0.0;
}

fn store_row(batch: u32, m: u32, n: u32, row: vec4<f32>) {
    if (m < M) {
        if (n < N) { store(batch, m, n, row.x); }
        if (n + 1u < N) { store(batch, m, n + 1u, row.y); }
        if (n + 2u < N) { store(batch, m, n + 2u, row.z); }
        if (n + 3u < N) { store(batch, m, n + 3u, row.w); }
    }
}

@compute @workgroup_size(16, 16, 1)
fn main(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(local_invocation_id) local: vec3<u32>,
) {
    //:begin grid
    let tile = workgroup;
    //:end grid
    let batch = tile.z;
    let first_m = tile.y * TILE_M;
    let first_n = tile.x * TILE_N;
    var row_0 = vec4<f32>();
    var row_1 = vec4<f32>();
    var row_2 = vec4<f32>();
    var row_3 = vec4<f32>();

    for (var first_k = 0u; first_k < K; first_k += TILE_K) {
        // Neighbours in x read neighbours in k of A, and in n of B: rows of both are contiguous by default.
        let load_m = first_m + local.y * 4u;
        let a_k = first_k + local.x;
        tile_a[local.x * ROW + local.y] = vec4<f32>(
            guarded_a(batch, load_m, a_k),
            guarded_a(batch, load_m + 1u, a_k),
            guarded_a(batch, load_m + 2u, a_k),
            guarded_a(batch, load_m + 3u, a_k),
        );
        let load_n = first_n + local.x * 4u;
        let b_k = first_k + local.y;
        tile_b[local.y * ROW + local.x] = vec4<f32>(
            guarded_b(batch, b_k, load_n),
            guarded_b(batch, b_k, load_n + 1u),
            guarded_b(batch, b_k, load_n + 2u),
            guarded_b(batch, b_k, load_n + 3u),
        );
        workgroupBarrier();
        for (var k = 0u; k < TILE_K; k++) {
            let column = tile_a[k * ROW + local.y];
            let row = tile_b[k * ROW + local.x];
            row_0 += column.x * row;
            row_1 += column.y * row;
            row_2 += column.z * row;
            row_3 += column.w * row;
        }
        workgroupBarrier();
    }

    let m = first_m + local.y * 4u;
    let n = first_n + local.x * 4u;
    store_row(batch, m, n, row_0);
    store_row(batch, m + 1u, n, row_1);
    store_row(batch, m + 2u, n, row_2);
    store_row(batch, m + 3u, n, row_3);
}
