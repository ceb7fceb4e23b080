import type { ReferenceKernel } from "../../backends/reference/index.ts";

const likeliestToken: ReferenceKernel = ({ input, axes }) => {
  const { batch, vocab, slots } = axes as Record<"batch" | "vocab" | "slots", number>;
  const [logits, ids, history, count] = [input("logits"), input("ids"), input("history"), input("count")];
  const slot = count[0]! % slots;
  for (let b = 0; b < batch; b++) {
    const row = logits.subarray(b * vocab, (b + 1) * vocab);
    let best = -1;
    for (let id = 0; id < vocab; id++) {
      if (!(row[id]! < Number.POSITIVE_INFINITY)) {
        best = -1;
        break;
      }
      if (row[id]! > (best < 0 ? Number.NEGATIVE_INFINITY : row[best]!)) best = id;
    }
    history[slot * batch + b] = best;
    ids[b] = Math.max(best, 0);
  }
  count[0]!++;
};

/** Reference kernels of this folder. */
export const likeliestTokenReference = { likeliestToken } as const satisfies Record<string, ReferenceKernel>;
