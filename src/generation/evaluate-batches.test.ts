import { describe, expect, it } from "vitest";
import type { BatchSource } from "../data/index.ts";
import { MambaLM, mambaConfig } from "../models/index.ts";
import { openDevice } from "../ops/devices.ts";
import { tensor } from "../tensor/tensor.ts";
import { evaluateBatches } from "./evaluate-batches.ts";

const [batch, length] = [2, 700];

/** Rows that are longer than a chunk; `continues` tells whether the second goes on where the first ended. */
function source(continues: boolean, scoredFrom = 0): BatchSource {
  return {
    vocabSize: 11,
    batch: (step) => {
      const ids = Int32Array.from({ length: batch * length }, (_, i) => (i * i + 3 * step + (i >> 2)) % 11);
      const targets = ids.map((id, i) => (i % length >= scoredFrom ? (id * 5 + 1) % 11 : -1));
      return { ids, targets, batch, length, ...(step > 0 ? { continues } : {}) };
    },
  };
}

describe("evaluateBatches", async () => {
  const device = await openDevice("wasm", { threads: 0 });
  const model = MambaLM.create(mambaConfig({ vocabSize: 11, dModel: 8, nLayer: 2 }), { device, seed: 3 });

  it.each([false, true])(
    "gives what whole rows give, with the state carried between batches: %s",
    async (continues) => {
      const rows = await Promise.all([0, 1].map((step) => source(continues, 650).batch(step)));
      let [loss, right, scored] = [0, 0, 0];
      let state: ReturnType<MambaLM["initialState"]> | undefined;
      for (const { ids, targets } of rows) {
        const input = tensor(ids, [batch, length], { device });
        const out = model.forward(input, { state: continues ? state : undefined, logits: "all" });
        state = out.state;
        const logits = await out.logits!.read();
        targets.forEach((target, row) => {
          if (target < 0) return;
          const own = Array.from(logits.slice(row * 11, row * 11 + 11));
          const top = Math.max(...own);
          loss += top + Math.log(own.reduce((sum, x) => sum + Math.exp(x - top), 0)) - own[target]!;
          if (own.indexOf(top) === target) right++;
          scored++;
        });
      }
      const result = await evaluateBatches(model, device, source(continues, 650), { batches: 2, accuracy: true });
      expect(result.predictions).toBe(scored);
      expect(scored).toBe(200);
      expect(result.accuracy).toBe(right / scored);
      expect(Math.abs(result.loss / (loss / scored) - 1)).toBeLessThan(1e-5);
    },
  );

  it("leaves no memory behind, reports progress and heeds a signal", async () => {
    const before = device.memory().used;
    const done: number[] = [];
    await evaluateBatches(model, device, source(true), { batches: 2, progress: (event) => done.push(event.done) });
    expect(done).toEqual([1, 2]);
    const run = evaluateBatches(model, device, source(true), { batches: 2, signal: AbortSignal.abort() });
    await expect(run).rejects.toMatchObject({ code: "ABORTED" });
    expect(device.memory().used).toBe(before);
  });

  it("refuses batches that score nothing", async () => {
    await expect(evaluateBatches(model, device, source(false, length), { batches: 1 })).rejects.toThrow(
      /score at least one target/,
    );
  });
});
