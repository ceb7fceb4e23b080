import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { fastBackends, sharedDevice } from "../../test/kit/test-op.ts";
import { MambaLM, mambaConfig, type RecurrentState } from "../models/index.ts";
import type { Device } from "../tensor/device.ts";
import { tensor } from "../tensor/tensor.ts";
import { largest } from "./candidates.ts";
import { canStepOnDevice, DeviceSteps, MOST_STEPS } from "./device-steps.ts";
import { step } from "./prefill.ts";

describe.runIf(fastBackends.includes("webgpu"))("steps on the device", () => {
  let device: Device;
  let model: MambaLM;
  beforeAll(async () => {
    device = await sharedDevice("webgpu");
    // rows of logits that are padded, as those of real models are
    model = MambaLM.create(mambaConfig({ vocabSize: 61, dModel: 32, nLayer: 1 }), { device, seed: 3 });
  });
  afterAll(() => model.dispose());

  const start = (batch: number): RecurrentState => {
    const ids = tensor(
      Int32Array.from({ length: batch * 3 }, (_, i) => (7 * i) % 61),
      [batch, 3],
      { device },
    );
    const { state } = model.forward(ids, { logits: "none" });
    ids.dispose();
    return state;
  };

  const onHost = async (batch: number, count: number): Promise<{ ids: number[]; state: RecurrentState }> => {
    let state = start(batch);
    let ids = Array.from({ length: batch }, (_, i) => i);
    const all: number[] = [];
    for (let i = 0; i < count; i++) {
      const next = await step(model, device, ids, state);
      state = next.state;
      const width = next.logits.length / batch;
      ids = ids.map((_, row) => largest(next.logits.subarray(row * width, (row + 1) * width)));
      all.push(...ids);
    }
    return { ids: all, state };
  };

  it.each([1, 9])(
    "choose what the host would, in whatever chunks, and leave the same state: batch %i",
    async (batch) => {
      const expected = await onHost(batch, 21);
      using steps = new DeviceSteps(
        model,
        device,
        start(batch),
        Array.from({ length: batch }, (_, i) => i),
      );
      const chunks = [1, 5, 12, 3].map((count) => steps.run(count));
      const ids = (await Promise.all(chunks)).flatMap((chunk) => Array.from(chunk));
      expect(ids).toEqual(expected.ids);
      using left = steps.snapshot();
      expect([left.position, steps.position]).toEqual([24, 24]);
      for (const [i, part] of left.tensors().entries()) {
        expect(await part.read()).toEqual(await expected.state.tensors()[i]!.read());
      }
      expected.state.dispose();
    },
  );

  it("give back all memory", async () => {
    start(1).dispose();
    const before = device.memory();
    const steps = new DeviceSteps(model, device, start(1), [1]);
    await Promise.all([steps.run(9), steps.run(MOST_STEPS - 3)]);
    steps.dispose();
    steps.dispose();
    const { used, buffers } = device.memory();
    expect([used, buffers]).toEqual([before.used, before.buffers]);
  });

  it("are for devices that replay commands", async () => {
    expect(canStepOnDevice(model, device)).toBe(true);
    const reference = await sharedDevice("reference");
    const other = MambaLM.create(mambaConfig({ vocabSize: 8, dModel: 8, nLayer: 1 }), { device: reference });
    expect(canStepOnDevice(other, reference)).toBe(false);
    other.dispose();
  });
});
