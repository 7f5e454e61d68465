enable f16;
enable wgpu_cooperative_matrix;

// C = A B for each matrix of a batch, on cooperative matrices (tensor cores): A and B are f16, sums are f32.
//
// A workgroup of four subgroups computes a tile of C, each subgroup a quarter of it: a block of some cooperative
// matrices, which stay in registers while tiles of A and B pass through workgroup memory, filled up with zeros at the
// edges. Results go through workgroup memory once more, since only there it is known which is whose.
// Dispatch ceil(N / TILE_N) x ceil(M / TILE_M) x batch workgroups.
//
// The compiler replaces the regions between `//:begin NAME` and `//:end NAME`: the sizes, the shape of a block and
// what depends on it, how tiles of A and B lie in workgroup memory (neighbours along the axis where memory has them),
// the functions through which operands are read and results written, and the mapping of workgroups to tiles.
//
// Subgroups have SUBGROUP invocations, neighbours by local_invocation_index. No subgroup operation tells: one driver
// crashes where a module has both (docs/decisions.md). A device is tested for it before it gets this kernel.

//:begin sizes
const M: u32 = 64u;
const N: u32 = 64u;
const K: u32 = 64u;
//:end sizes

//:begin functions
@group(0) @binding(0) var<storage, read> a: array<vec4<f16>>;
@group(0) @binding(1) var<storage, read> b: array<vec4<f16>>;
@group(0) @binding(2) var<storage, read_write> c: array<f32>;

// Four neighbours in a row of A, and of B: those of a number. There is at least one, others are zero.
fn load_a(batch: u32, row: u32, group: u32) -> vec4<f16> {
    return a[(batch * M + row) * (K / 4u) + group];
}

fn load_b(batch: u32, row: u32, group: u32) -> vec4<f16> {
    return b[(batch * K + row) * (N / 4u) + group];
}

fn store(batch: u32, m: u32, n: u32, value: f32) {
    c[(batch * M + m) * N + n] = value;
}
//:end functions

//:begin shape
alias MatrixA = coop_mat16x16<f16, A>;
alias MatrixB = coop_mat16x16<f16, B>;
alias MatrixC = coop_mat16x16<f32, C>;
const MATRIX: u32 = 16u;
const SUBGROUP: u32 = 32u;
const BLOCK_M: u32 = MATRIX;
const BLOCK_N: u32 = 2u * MATRIX;
//:end shape

const TILE_M: u32 = 2u * BLOCK_M;
const TILE_N: u32 = 2u * BLOCK_N;
const TILE_K: u32 = 32u;
const WORKGROUP: u32 = 4u * SUBGROUP;

//:begin layout
const A_ROWS: u32 = TILE_M;
const A_COLUMNS: u32 = TILE_K;
const A_LAST_ROW: u32 = M;
const A_LAST_COLUMN: u32 = K;
const B_ROWS: u32 = TILE_K;
const B_COLUMNS: u32 = TILE_N;
const B_LAST_ROW: u32 = K;
const B_LAST_COLUMN: u32 = N;
//:end layout

// Eight more than a row has spread the rows over the memory banks, and leave each aligned to 16 bytes, which
// cooperative loads require.
const A_STRIDE: u32 = A_COLUMNS + 8u;
const B_STRIDE: u32 = B_COLUMNS + 8u;
var<workgroup> tile_a: array<f16, A_ROWS * A_STRIDE>;
var<workgroup> tile_b: array<f16, B_ROWS * B_STRIDE>;
// A cooperative matrix of each subgroup.
var<workgroup> results: array<f32, 4u * MATRIX * MATRIX>;

fn stage_a(batch: u32, first_row: u32, first_column: u32, local: u32) {
    for (var i = local; i < A_ROWS * A_COLUMNS / 4u; i += WORKGROUP) {
        let row = i / (A_COLUMNS / 4u);
        let group = i % (A_COLUMNS / 4u);
        var four = vec4<f16>();
        if (first_row + row < A_LAST_ROW && first_column + 4u * group < A_LAST_COLUMN) {
            four = load_a(batch, first_row + row, first_column / 4u + group);
        }
        let at = row * A_STRIDE + 4u * group;
        tile_a[at] = four.x;
        tile_a[at + 1u] = four.y;
        tile_a[at + 2u] = four.z;
        tile_a[at + 3u] = four.w;
    }
}

fn stage_b(batch: u32, first_row: u32, first_column: u32, local: u32) {
    for (var i = local; i < B_ROWS * B_COLUMNS / 4u; i += WORKGROUP) {
        let row = i / (B_COLUMNS / 4u);
        let group = i % (B_COLUMNS / 4u);
        var four = vec4<f16>();
        if (first_row + row < B_LAST_ROW && first_column + 4u * group < B_LAST_COLUMN) {
            four = load_b(batch, first_row + row, first_column / 4u + group);
        }
        let at = row * B_STRIDE + 4u * group;
        tile_b[at] = four.x;
        tile_b[at + 1u] = four.y;
        tile_b[at + 2u] = four.z;
        tile_b[at + 3u] = four.w;
    }
}

// Stores the matrix in `results` of this invocation's subgroup, whose first element is that of m and n.
fn store_matrix(batch: u32, m: u32, n: u32, local: u32) {
    let first = local / SUBGROUP * MATRIX * MATRIX;
    for (var i = local % SUBGROUP; i < MATRIX * MATRIX; i += SUBGROUP) {
        let row = m + i / MATRIX;
        let column = n + i % MATRIX;
        if (row < M && column < N) {
            store(batch, row, column, results[first + i]);
        }
    }
}

@compute @workgroup_size(WORKGROUP, 1, 1)
fn main(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    //:begin grid
    let tile = workgroup;
    //:end grid
    let batch = tile.z;
    let first_m = tile.y * TILE_M;
    let first_n = tile.x * TILE_N;
    let subgroup = local / SUBGROUP;
    let block_m = (subgroup / 2u) * BLOCK_M;
    let block_n = (subgroup % 2u) * BLOCK_N;
    //:begin accumulators
    var c_0_0: MatrixC;
    var c_0_1: MatrixC;
    //:end accumulators

    for (var first_k = 0u; first_k < K; first_k += TILE_K) {
        //:begin stage
        stage_a(batch, first_m, first_k, local);
        stage_b(batch, first_k, first_n, local);
        //:end stage
        workgroupBarrier();
        for (var k = 0u; k < TILE_K; k += MATRIX) {
            //:begin multiply
            let a_0 = coopLoadT<MatrixA>(&tile_a[block_m * A_STRIDE + k], A_STRIDE);
            let b_0 = coopLoadT<MatrixB>(&tile_b[k * B_STRIDE + block_n], B_STRIDE);
            let b_1 = coopLoadT<MatrixB>(&tile_b[k * B_STRIDE + block_n + MATRIX], B_STRIDE);
            c_0_0 = coopMultiplyAdd(a_0, b_0, c_0_0);
            c_0_1 = coopMultiplyAdd(a_0, b_1, c_0_1);
            //:end multiply
        }
        workgroupBarrier();
    }

    // naga wants the position in a variable of its own.
    let own = subgroup * MATRIX * MATRIX;
    //:begin results
    coopStoreT(c_0_0, &results[own], MATRIX);
    workgroupBarrier();
    store_matrix(batch, first_m + block_m, first_n + block_n, local);
    workgroupBarrier();
    coopStoreT(c_0_1, &results[own], MATRIX);
    workgroupBarrier();
    store_matrix(batch, first_m + block_m, first_n + block_n + MATRIX, local);
    //:end results
}
