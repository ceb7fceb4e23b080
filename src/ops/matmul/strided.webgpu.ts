import type { Program } from "../../backends/webgpu/index.ts";
import { programNamed } from "../../backends/webgpu/index.ts";
import { productParams, TILED_THREADS, whichTile } from "./tiled.webgpu.ts";

/** Rows and columns of y that a workgroup works out, and how deep its slices of a and b are. */
const TILE = 64;
const DEPTH = 16;

/** Slices of a and b in workgroup memory, 4 x 4 sums in registers; elements are loaded one at a time, from wherever they lie. */
export function stridedProgram(hasBias: boolean, adds: boolean): Program {
  return programNamed(`product strided${hasBias ? " bias" : ""}${adds ? " adds" : ""}`, () => {
    const sums = Array.from({ length: 4 }, (_, row) => `  var sum${row} = vec4<f32>(0.0);`).join("\n");
    const steps = Array.from({ length: 4 }, (_, row) => {
      return `      sum${row} += sliceA[k * ${TILE}u + row * 4u + ${row}u] * own;`;
    }).join("\n");
    const stores = Array.from({ length: 4 }, (_, row) => `  store(yStart, y0 + ${row}u, x0, sum${row});`).join("\n");
    return {
      bindings: [
        { name: "a", type: "f32" },
        { name: "b", type: "f32" },
        ...(hasBias ? [{ name: "bias", type: "f32" } as const] : []),
        { name: "out", type: "f32", write: true },
      ],
      params: productParams,
      workgroup: TILED_THREADS,
      declarations: `
var<workgroup> sliceA: array<f32, ${TILE * DEPTH}>;
var<workgroup> sliceB: array<f32, ${TILE * DEPTH}>;
fn store(start: u32, row: u32, column: u32, sum: vec4<f32>) {
  if (row >= p.rows) { return; }
  for (var k = 0u; k < 4u && column + k < p.columns; k++) {
    let at = start + row * p.yRow + (column + k) * p.yColumn;
    out[at] = ${adds ? "out[at] + " : ""}sum[k]${hasBias ? " + bias[p.biasOffset + column + k]" : ""};
  }
}`,
      body: `
  ${whichTile(TILE, TILE)}
  let row = lane / 16u;
  let column = lane % 16u;
  let aStart = p.aOffset + batch * p.aBatch;
  let bStart = p.bOffset + batch * p.bBatch;
${sums}
  for (var start = firstInner; start < endInner; start += ${DEPTH}u) {
    for (var i = lane; i < ${TILE * DEPTH}u; i += ${TILED_THREADS}u) {
      // threads side by side read what lies side by side, in whichever direction that is
      let alongA = p.aColumn == 1u;
      let ka = select(i / ${TILE}u, i % ${DEPTH}u, alongA);
      let ra = select(i % ${TILE}u, i / ${DEPTH}u, alongA);
      let insideA = firstRow + ra < p.rows && start + ka < endInner;
      sliceA[ka * ${TILE}u + ra] = select(0.0, a[select(0u, aStart + (firstRow + ra) * p.aRow + (start + ka) * p.aColumn, insideA)], insideA);
      let alongB = p.bRow == 1u;
      let kb = select(i / ${TILE}u, i % ${DEPTH}u, alongB);
      let cb = select(i % ${TILE}u, i / ${DEPTH}u, alongB);
      let insideB = firstColumn + cb < p.columns && start + kb < endInner;
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
  let yStart = p.yOffset + (batch * p.splits + part) * p.yBatch;
  let y0 = firstRow + row * 4u;
  let x0 = firstColumn + column * 4u;
${stores}`,
    };
  });
}
