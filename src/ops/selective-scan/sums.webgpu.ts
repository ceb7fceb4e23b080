import { type Bound, type Program, programNamed, type WebgpuKernelContext } from "../../backends/webgpu/index.ts";
import type { Tensor } from "../../tensor/tensor.ts";

const WORKGROUP = 64;
/** Rows whose loads are issued together. */
const TOGETHER = 8;

/** A gradient that is the sum of rows of partial sums. */
export interface PartialSum {
  readonly total: Tensor;
  /** Where the rows begin, how many there are, and numbers of each. */
  readonly at: number;
  readonly rows: number;
  readonly size: number;
  /** The numbers of a row are those of `size / block` blocks, which lie `stride` apart in the total from `first` on. */
  readonly block: number;
  readonly stride: number;
  readonly first: number;
}

const fields = ["At", "Rows", "Size", "Block", "Stride", "First"] as const;

/** A thread adds up one number over its rows, for all gradients in one dispatch. */
function sumsProgram(types: readonly ("f16" | "f32")[]): Program {
  return programNamed(`selectiveScan sums ${types.join(" ")}`, () => ({
    requires: types.includes("f16") ? ["f16"] : [],
    bindings: [
      { name: "partials", type: "f32" },
      ...types.map((type, k) => ({ name: `total${k}`, type, write: true }) as const),
    ],
    params: types.flatMap((_, k) => fields.map((field) => `sum${k}${field}:u32` as const)),
    workgroup: WORKGROUP,
    declarations: `
fn rowsSum(at: u32, rows: u32, size: u32) -> f32 {
  var sum = 0.0;
  var row = 0u;
  for (; row + ${TOGETHER}u <= rows; row += ${TOGETHER}u) {
    ${Array.from({ length: TOGETHER }, (_, k) => `let part${k} = partials[at + (row + ${k}u) * size];`).join("\n")}
    sum += ${pairwise(0, TOGETHER)};
  }
  for (; row < rows; row++) { sum += partials[at + row * size]; }
  return sum;
}`,
    body: `
  var i = index;
  ${types
    .map(
      (type, k) => `
  if (i < p.sum${k}Size) {
    let sum = rowsSum(p.sum${k}At + i, p.sum${k}Rows, p.sum${k}Size);
    total${k}[p.sum${k}First + (i / p.sum${k}Block) * p.sum${k}Stride + i % p.sum${k}Block] = ${type === "f16" ? "f16(sum)" : "sum"};
    return;
  }
  i -= p.sum${k}Size;`,
    )
    .join("\n")}`,
  }));
}

function pairwise(first: number, count: number): string {
  if (count === 1) return `part${first}`;
  return `(${pairwise(first, count / 2)} + ${pairwise(first + count / 2, count / 2)})`;
}

/** Enqueues sums over rows of partial sums, all in one dispatch. */
export function encodeSums(context: WebgpuKernelContext, partials: Bound, sums: readonly PartialSum[]): void {
  if (sums.length === 0) return;
  const values: Record<string, number> = {};
  sums.forEach(({ at, rows, size, block, stride, first, total }, k) => {
    const own = { At: at, Rows: rows, Size: size, Block: block, Stride: stride, First: total.offset + first };
    for (const field of fields) values[`sum${k}${field}`] = own[field];
  });
  const program = sumsProgram(sums.map(({ total }) => (total.dtype === "float16" ? "f16" : "f32")));
  const threads = sums.reduce((count, { size }) => count + size, 0);
  const bound = [partials, ...sums.map(({ total }) => total)];
  context.dispatch(program, bound, values, Math.ceil(threads / WORKGROUP));
}
