import type { ReferenceKernel } from "../../backends/reference/index.ts";
import { MambaError } from "../../tensor/errors.ts";

/** Throws unless `id` is one of `count` ids. */
export function checkId(op: string, argument: string, id: number, count: number, position: number): void {
  if (id >= 0 && id < count) return;
  throw new MambaError(
    `${op}: ${argument} must be in 0 to ${count - 1}; got ${id} at position ${position}; check the tokenizer against the model`,
    "ID_OUT_OF_RANGE",
    { op, argument, expected: count, actual: id, position },
  );
}

const embedding: ReferenceKernel = ({ input, weight, output, axes }) => {
  const channels = axes["channels"]!;
  const table = weight("table");
  const y = output("y");
  input("ids").forEach((id, i) => {
    checkId("embedding", "ids", id, axes["vocab"]!, i);
    for (let c = 0; c < channels; c++) y[i * channels + c] = table[id * channels + c]!;
  });
};

const embeddingBackward: ReferenceKernel = ({ input, output, axes }) => {
  const channels = axes["channels"]!;
  const dy = input("dy");
  const dtable = output("dtable");
  input("ids").forEach((id, i) => {
    checkId("embeddingBackward", "ids", id, axes["vocab"]!, i);
    for (let c = 0; c < channels; c++) dtable[id * channels + c]! += dy[i * channels + c]!;
  });
};

/** Reference kernels of this folder. */
export const embeddingReference = { embedding, embeddingBackward } as const satisfies Record<string, ReferenceKernel>;
