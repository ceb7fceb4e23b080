import type { Bound, WebgpuKernelContext } from "../../backends/webgpu/index.ts";
import { failureCode, type Program, type WebgpuKernel } from "../../backends/webgpu/index.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import { weightOf } from "../linear/webgpu.ts";
import { denseCopy } from "../movement/webgpu.ts";

const WORKGROUP = 64;

/** Integer rows as dense ones: the tensor itself if it is. */
export function denseIds(context: WebgpuKernelContext, ids: Tensor): { bound: Bound; offset: number } {
  return ids.dense ? { bound: ids, offset: ids.offset } : { bound: denseCopy(context, ids), offset: 0 };
}

const gather: Program = {
  name: "embedding",
  bindings: [
    { name: "table", type: "f32" },
    { name: "ids", type: "i32" },
    { name: "out", type: "f32", write: true },
    { name: "failure", type: "atomic<u32>", write: true },
  ],
  params: [
    ...(["count:u32", "channels:u32", "vocab:u32", "tableOffset:u32", "tableRow:u32"] as const),
    ...(["idsOffset:u32", "outOffset:u32", "code:u32"] as const),
  ],
  workgroup: WORKGROUP,
  declarations: failureCode,
  body: `
  if (index >= p.count) { return; }
  let token = index / p.channels;
  let id = ids[p.idsOffset + token];
  var value = 0.0;
  if (id < 0 || u32(id) >= p.vocab) { fail(p.code, id, token); }
  else { value = table[p.tableOffset + u32(id) * p.tableRow + index % p.channels]; }
  out[p.outOffset + index] = value;`,
};

/** A thread owns a channel of a row of the table and looks through all tokens: no two threads add to one place. */
const collect: Program = {
  name: "embeddingBackward",
  bindings: [
    { name: "ids", type: "i32" },
    { name: "dy", type: "f32" },
    { name: "out", type: "f32", write: true },
  ],
  params: ["count:u32", "channels:u32", "tokens:u32", "idsOffset:u32", "dyOffset:u32", "dyRow:u32", "outOffset:u32"],
  workgroup: WORKGROUP,
  body: `
  if (index >= p.count) { return; }
  let id = i32(index / p.channels);
  let channel = index % p.channels;
  var sum = 0.0;
  for (var t = 0u; t < p.tokens; t++) {
    if (ids[p.idsOffset + t] == id) { sum += dy[p.dyOffset + t * p.dyRow + channel]; }
  }
  out[p.outOffset + index] = sum;`,
};

const embedding: WebgpuKernel = (context, { inputs, outputs, axes }) => {
  const [table, ids, y] = [inputs["table"]!, inputs["ids"]!, outputs["y"]!];
  if (y.size === 0) return;
  const own = weightOf(context, table);
  const rows = denseIds(context, ids);
  const { memory, code } = context.failure("ids", axes["vocab"]!);
  const params = {
    ...{ count: y.size, channels: axes["channels"]!, vocab: axes["vocab"]!, code },
    ...{ tableOffset: own.offset, tableRow: own.rowStride, idsOffset: rows.offset, outOffset: y.offset },
  };
  context.dispatch(gather, [own.bound, rows.bound, y, memory], params, Math.ceil(y.size / WORKGROUP));
};

const embeddingBackward: WebgpuKernel = (context, { inputs, outputs, axes }) => {
  const [ids, dy, dtable] = [inputs["ids"]!, inputs["dy"]!, outputs["dtable"]!];
  if (dtable.size === 0) return;
  const rows = denseIds(context, ids);
  const gradients = dy.dense ? { bound: dy, offset: dy.offset } : { bound: denseCopy(context, dy), offset: 0 };
  const channels = axes["channels"]!;
  const params = {
    ...{ count: dtable.size, channels, tokens: ids.size, idsOffset: rows.offset },
    ...{ dyOffset: gradients.offset, dyRow: channels, outOffset: dtable.offset },
  };
  context.dispatch(collect, [rows.bound, gradients.bound, dtable], params, Math.ceil(dtable.size / WORKGROUP));
};

/** WebGPU kernels of this folder. */
export const embeddingWebgpu = { embedding, embeddingBackward } as const satisfies Record<string, WebgpuKernel>;
