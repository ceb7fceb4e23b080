import { describe, expect, it } from "vitest";
import { sharedDevice } from "../../test/kit/test-op.ts";
import type { Batch } from "../data/index.ts";
import { MambaLM, mambaConfig } from "../models/index.ts";
import { adamW, constantSchedule, sgd } from "./index.ts";
import { shortRun } from "./short-run.ts";

const batch: Batch = {
  ids: Int32Array.of(1, 2, 3, 4, 5, 6, 7, 8),
  targets: Int32Array.of(2, 3, 4, -1, 6, 7, 8, 1),
  batch: 2,
  length: 4,
};

async function model(): Promise<MambaLM> {
  const device = await sharedDevice("wasm");
  return MambaLM.create(mambaConfig({ vocabSize: 11, dModel: 8, nLayer: 1, dState: 4 }), { device, seed: 1 });
}

describe("shortRun", () => {
  it("learns one batch by heart, stops when it is told to and leaves no memory", async () => {
    const own = await model();
    const { used } = own.device.memory();
    const losses = await shortRun({
      model: own,
      optimizer: adamW({ weightDecay: 0 }),
      schedule: constantSchedule({ peak: 0.02 }),
      steps: 500,
      batch: () => batch,
      until: (loss) => loss < 0.05,
    });
    expect(losses[0]).toBeCloseTo(Math.log(11), 1);
    expect(losses.length).toBeLessThan(500);
    expect(losses.at(-1)!).toBeLessThan(0.05);
    expect(own.device.memory().used).toBe(used);
    own.dispose();
  });

  it("ends when the loss is no number, and by its signal", async () => {
    const own = await model();
    const options = { model: own, schedule: constantSchedule({ peak: 1e30 }), steps: 50, batch: () => batch };
    const losses = await shortRun({ ...options, optimizer: sgd({ momentum: 0 }) });
    expect(losses.length).toBeLessThan(50);
    expect(losses.at(-1)).toBeNaN();
    const stopped = shortRun({ ...options, optimizer: sgd(), signal: AbortSignal.abort() });
    await expect(stopped).rejects.toThrow(/aborted/);
    own.dispose();
  });
});
