import type { Bound, Program, WebgpuKernelContext } from "../../backends/webgpu/index.ts";

/** Rows and columns of y that a workgroup works out, and how deep its slices of a and b are. */
const TILE = 64;
const DEPTH = 16;
/** Threads of a workgroup; each has 4 x 4 elements of y. */
const WORKGROUP = 256;

/** A matrix in a buffer, in elements; `batchStride` 0 repeats it. */
export interface GpuMatrix {
  readonly bound: Bound;
  readonly offset: number;
  readonly rowStride: number;
  readonly columnStride: number;
  readonly batchStride: number;
}

/** y = a b + bias, for each matrix of a batch. */
export interface GpuProduct {
  readonly batch: number;
  readonly rows: number;
  readonly inner: number;
  readonly columns: number;
  /** [rows inner] */
  readonly a: GpuMatrix;
  /** [inner columns] */
  readonly b: GpuMatrix;
  readonly y: GpuMatrix;
  /** [columns] */
  readonly bias?: { readonly bound: Bound; readonly offset: number };
}

const matrixParams = (name: string): Program["params"] => [
  `${name}Offset:u32`,
  `${name}Row:u32`,
  `${name}Column:u32`,
  `${name}Batch:u32`,
];

function matrixValues(name: string, matrix: GpuMatrix): Record<string, number> {
  return {
    [`${name}Offset`]: matrix.offset,
    [`${name}Row`]: matrix.rowStride,
    [`${name}Column`]: matrix.columnStride,
    [`${name}Batch`]: matrix.batchStride,
  };
}

/** Slices of a and b in workgroup memory, 4 x 4 sums in registers. */
function tiled(hasBias: boolean): Program {
  const sums = Array.from({ length: 4 }, (_, row) => `  var sum${row} = vec4<f32>(0.0);`).join("\n");
  const steps = Array.from({ length: 4 }, (_, row) => {
    return `      sum${row} += sliceA[k * ${TILE}u + row * 4u + ${row}u] * own;`;
  }).join("\n");
  const stores = Array.from({ length: 4 }, (_, row) => `  store(batch, y0 + ${row}u, x0, sum${row});`).join("\n");
  return {
    name: hasBias ? "product with bias" : "product",
    bindings: [
      { name: "a", type: "f32" },
      { name: "b", type: "f32" },
      ...(hasBias ? [{ name: "bias", type: "f32" } as const] : []),
      { name: "out", type: "f32", write: true },
    ],
    params: [
      ...(["rows:u32", "inner:u32", "columns:u32", "tileRows:u32", "tileColumns:u32", "biasOffset:u32"] as const),
      ...["a", "b", "y"].flatMap(matrixParams),
    ],
    workgroup: WORKGROUP,
    declarations: `
var<workgroup> sliceA: array<f32, ${TILE * DEPTH}>;
var<workgroup> sliceB: array<f32, ${TILE * DEPTH}>;
fn store(batch: u32, row: u32, column: u32, sum: vec4<f32>) {
  if (row >= p.rows) { return; }
  for (var k = 0u; k < 4u && column + k < p.columns; k++) {
    let at = p.yOffset + batch * p.yBatch + row * p.yRow + (column + k) * p.yColumn;
    out[at] = sum[k]${hasBias ? " + bias[p.biasOffset + column + k]" : ""};
  }
}`,
    body: `
  let batch = group / (p.tileRows * p.tileColumns);
  let firstRow = ((group / p.tileColumns) % p.tileRows) * ${TILE}u;
  let firstColumn = (group % p.tileColumns) * ${TILE}u;
  let row = lane / 16u;
  let column = lane % 16u;
  let aStart = p.aOffset + batch * p.aBatch;
  let bStart = p.bOffset + batch * p.bBatch;
${sums}
  for (var start = 0u; start < p.inner; start += ${DEPTH}u) {
    for (var i = lane; i < ${TILE * DEPTH}u; i += ${WORKGROUP}u) {
      // threads side by side read what lies side by side, in whichever direction that is
      let alongA = p.aColumn == 1u;
      let ka = select(i / ${TILE}u, i % ${DEPTH}u, alongA);
      let ra = select(i % ${TILE}u, i / ${DEPTH}u, alongA);
      let insideA = firstRow + ra < p.rows && start + ka < p.inner;
      sliceA[ka * ${TILE}u + ra] = select(0.0, a[select(0u, aStart + (firstRow + ra) * p.aRow + (start + ka) * p.aColumn, insideA)], insideA);
      let alongB = p.bRow == 1u;
      let kb = select(i / ${TILE}u, i % ${DEPTH}u, alongB);
      let cb = select(i % ${TILE}u, i / ${DEPTH}u, alongB);
      let insideB = firstColumn + cb < p.columns && start + kb < p.inner;
      sliceB[kb * ${TILE}u + cb] = select(0.0, b[select(0u, bStart + (start + kb) * p.bRow + (firstColumn + cb) * p.bColumn, insideB)], insideB);
    }
    workgroupBarrier();
    for (var k = 0u; k < ${DEPTH}u; k++) {
      let at = k * ${TILE}u + column * 4u;
      let own = vec4<f32>(sliceB[at], sliceB[at + 1u], sliceB[at + 2u], sliceB[at + 3u]);
${steps}
    }
    workgroupBarrier();
  }
  let y0 = firstRow + row * 4u;
  let x0 = firstColumn + column * 4u;
${stores}`,
  };
}

const products = { plain: tiled(false), bias: tiled(true) };

/** Enqueues a product of matrices. */
export function encodeProduct(context: WebgpuKernelContext, product: GpuProduct): void {
  const { batch, rows, inner, columns, a, b, y, bias } = product;
  if (batch * rows * columns === 0) return;
  const tileRows = Math.ceil(rows / TILE);
  const tileColumns = Math.ceil(columns / TILE);
  const sizes = { rows, inner, columns, tileRows, tileColumns, biasOffset: bias?.offset ?? 0 };
  const params = { ...sizes, ...matrixValues("a", a), ...matrixValues("b", b), ...matrixValues("y", y) };
  const bound = [a.bound, b.bound, ...(bias ? [bias.bound] : []), y.bound];
  context.dispatch(bias ? products.bias : products.plain, bound, params, batch * tileRows * tileColumns);
}

/** The same matrix with rows and columns exchanged. */
export function transposedMatrix(matrix: GpuMatrix): GpuMatrix {
  return { ...matrix, rowStride: matrix.columnStride, columnStride: matrix.rowStride };
}
