import { expect, it } from "vitest";
import { selectiveCopying } from "../data/index.ts";
import { MambaLM, mambaConfig, TransformerLM, transformerConfig } from "../models/index.ts";
import { openDevice } from "../ops/devices.ts";
import { adamW } from "./optimizer.ts";
import { Trainer } from "./trainer.ts";

it.each(["selective", "time-invariant", "transformer"])(
  "training holds no more memory step by step: %s",
  async (kind) => {
    const device = await openDevice("wasm", { threads: 0 });
    const shape = { vocabSize: 16, dModel: 8, nLayer: 2 };
    const model =
      kind === "transformer"
        ? TransformerLM.create(transformerConfig({ ...shape, heads: 2 }), { device })
        : MambaLM.create(mambaConfig({ ...shape, selective: kind === "selective" }), { device });
    const data = selectiveCopying({ length: 16, tokens: 4, batch: 2, seed: 1 });
    const validation = { data, every: 2, batches: 1, accuracy: true };
    const trainer = new Trainer({
      model,
      optimizer: adamW(),
      schedule: () => 1e-3,
      data,
      steps: 12,
      clipNorm: 1,
      validation,
    });
    const used: number[] = [];
    for await (const { step } of trainer) if (step > 2) used.push(device.memory().used);
    expect(new Set(used).size, used.join()).toBe(1);
    device.dispose();
  },
);
