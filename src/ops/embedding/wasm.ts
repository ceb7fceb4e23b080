import type { Range, WasmKernel, WasmKernelContext } from "../../backends/wasm/index.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import { leadingRuns, rowsOf } from "../matmul/operand.ts";
import { weightTypeNumber } from "../matmul/weight.ts";

/** The ids one after another, copied only where they do not lie so. */
function denseIds(context: WasmKernelContext, ids: Tensor): { address: number; range: Range } {
  const address = context.address(ids);
  const range = context.range(ids);
  const runs = leadingRuns(ids.shape, [ids.strides]);
  if (runs.length === 1 && (runs[0]!.count === 1 || runs[0]!.strides[0] === 1)) return { address, range };
  const copy = context.scratch(ids.size * 4);
  runs.forEach(({ offsets, count, strides }, i) => {
    const to = copy + i * count * 4;
    const words = [address + offsets[0]! * 4, strides[0]! * 4, 4, to, count, 1, 1, 0, 0];
    context.command("gatherRows", words, { reads: [range], writes: [[to, count * 4]] });
  });
  return { address: copy, range: [copy, ids.size * 4] };
}

const embedding: WasmKernel = (context, { inputs, outputs, axes }) => {
  const [table, y] = [inputs["table"]!, outputs["y"]!];
  if (y.size === 0) return;
  const ids = denseIds(context, inputs["ids"]!);
  const stride = table.layout === "panels8" ? 0 : table.strides[0]! * 4;
  const words = [context.address(table), stride, axes["vocab"]!, axes["channels"]!, ids.address, inputs["ids"]!.size];
  context.command("embeddingGather", [...words, context.address(y), weightTypeNumber(table)], {
    reads: [context.range(table), ids.range],
    writes: [context.range(y)],
  });
};

const embeddingBackward: WasmKernel = (context, { inputs, outputs, axes }) => {
  const dtable = outputs["dtable"]!;
  if (dtable.size === 0) return;
  const ids = denseIds(context, inputs["ids"]!);
  const dy = rowsOf(context, inputs["dy"]!);
  const words = [ids.address, inputs["ids"]!.size, dy.address, dy.rowStride];
  context.command("embeddingScatter", [...words, context.address(dtable), axes["vocab"]!, axes["channels"]!], {
    reads: [ids.range, dy.range],
    writes: [context.range(dtable)],
  });
};

/** Commands of this folder's ops. */
export const embeddingWasm = { embedding, embeddingBackward } as const satisfies Record<string, WasmKernel>;
