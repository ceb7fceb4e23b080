import { afterAll, describe, expect, it } from "vitest";
import { fastBackends, sharedDevice } from "../../test/kit/test-op.ts";
import { valueAndGrad } from "../autograd/index.ts";
import { bytesSource, encodeSafetensors } from "../checkpoints/index.ts";
import { MambaLM, mambaConfig } from "../models/index.ts";
import { div } from "../ops/elementwise/index.ts";
import { sum } from "../ops/reduce/index.ts";
import type { DeviceName } from "../tensor/device.ts";
import { flattenParameters } from "../tensor/parameters.ts";
import { scope } from "../tensor/scope.ts";
import { type Tensor, tensor } from "../tensor/tensor.ts";
import { adamW, trainStep } from "./index.ts";
import { lora, loraFrom } from "./lora.ts";
import { encodeLora, readLora } from "./lora-file.ts";
import { LoraLM } from "./lora-model.ts";

// an embedding as large as here lets the projections alone change the predictions
const config = mambaConfig({ vocabSize: 11, dModel: 8, nLayer: 2, dState: 4, initialisation: { embeddingStd: 1 } });

async function worst(a: Tensor, b: ArrayLike<number>): Promise<number> {
  const values = await a.read();
  return Math.max(...Array.from(values, (value, i) => Math.abs(value - b[i]!)));
}

for (const name of ["reference", ...fastBackends] as DeviceName[]) {
  describe(`low-rank updates on ${name}`, () => {
    const made: { dispose(): void }[] = [];
    afterAll(() => {
      for (const one of made) one.dispose();
    });

    async function setUp() {
      const device = await sharedDevice(name);
      const base = MambaLM.create(config, { device, seed: 1 });
      const adapters = lora(base.parameters, { rank: 2, alpha: 6, seed: 2 });
      const ids = tensor(Int32Array.of(1, 2, 3, 4, 5, 6), [1, 6], { device });
      made.push(base, adapters, ids);
      const model = new LoraLM(base, adapters);
      const objective = (): Tensor => {
        const { losses, valid } = model.losses(ids, ids);
        return div(sum(losses), sum(valid));
      };
      return { device, base, adapters, ids, model, objective };
    }

    it("change nothing at first, and after training only A and B have changed", async () => {
      const { base, adapters, ids, model, objective } = await setUp();
      const before = await base.forward(ids, { logits: "all" }).logits!.read();
      expect(await worst(model.forward(ids, { logits: "all" }).logits!, before)).toBe(0);
      const optimizer = adamW({ weightDecay: 0 });
      const losses: number[] = [];
      for (let step = 0; step < 15; step++) {
        const result = trainStep(adapters.parameters, [objective], { optimizer, learningRate: 0.05 });
        losses.push(await result.loss.item());
      }
      expect(losses.at(-1)!).toBeLessThan(losses[0]! * 0.8);
      expect(await worst(base.forward(ids, { logits: "all" }).logits!, before)).toBe(0);
      optimizer.dispose();
    });

    it("have the gradients that the chain rule gives from the whole weight's", async () => {
      const { base, adapters, objective, ids } = await setUp();
      const { gradients } = valueAndGrad(objective, adapters.parameters);
      const full = valueAndGrad(() => {
        const { losses, valid } = base.losses(ids, ids);
        return div(sum(losses), sum(valid));
      }, base.parameters);
      const key = "backbone.layers.0.mixer.outProj.weight";
      const whole = await flattenParameters(full.gradients).get(key)!.read();
      const own = flattenParameters(gradients).get(`${key}.B`)!;
      const A = await flattenParameters(adapters.parameters).get(`${key}.A`)!.read();
      // d/dB = (alpha / rank) dW A^T, with W [8 16] and A [2 16]
      const expected = Array.from({ length: 8 * 2 }, (_, at) => {
        const [row, r] = [Math.floor(at / 2), at % 2];
        return (
          3 * Array.from({ length: 16 }, (_, k) => whole[row * 16 + k]! * A[r * 16 + k]!).reduce((x, y) => x + y, 0)
        );
      });
      const scale = Math.max(...expected.map(Math.abs));
      expect(scale).toBeGreaterThan(0);
      expect((await worst(own, expected)) / scale).toBeLessThan(1e-5);
    });

    it("merge into the weights and out again within rounding", async () => {
      const { base, adapters, ids, model, objective } = await setUp();
      const optimizer = adamW({ weightDecay: 0 });
      for (let step = 0; step < 3; step++)
        trainStep(adapters.parameters, [objective], { optimizer, learningRate: 0.05 });
      optimizer.dispose();
      const before = await base.forward(ids, { logits: "all" }).logits!.read();
      const adapted = await model.forward(ids, { logits: "all" }).logits!.read();
      expect(await worst(base.forward(ids, { logits: "all" }).logits!, adapted)).toBeGreaterThan(1e-3);
      adapters.merge();
      expect(() => adapters.merge()).toThrow(/must not be in the weights/);
      expect(() => model.forward(ids)).toThrow(/must not be in the weights/);
      expect(await worst(base.forward(ids, { logits: "all" }).logits!, adapted)).toBeLessThan(1e-6);
      adapters.unmerge();
      expect(() => adapters.unmerge()).toThrow(/they are not/);
      // logits reach 11, where the last bit is 1e-6, and every weight was rounded twice
      expect(await worst(base.forward(ids, { logits: "all" }).logits!, before)).toBeLessThan(4e-6);
    });

    it("come back from the bytes they were saved as, and leave no memory", async () => {
      const { device, base, adapters } = await setUp();
      const { used } = device.memory();
      const again = await readLora(bytesSource("updates", await encodeLora(adapters)), base.parameters);
      expect(again).toMatchObject({ rank: 2, alpha: 6 });
      expect([...again.names].sort()).toEqual([...adapters.names].sort());
      expect(again.names).toHaveLength(8);
      const key = "backbone.layers.1.mixer.inProj.weight.A";
      const kept = await flattenParameters(adapters.parameters).get(key)!.read();
      expect(await worst(flattenParameters(again.parameters).get(key)!, kept)).toBeLessThan(1e-7);
      scope(() => void again.effective());
      again.dispose();
      const other = encodeSafetensors([], { format: "pt" });
      await expect(readLora(bytesSource("other", other), base.parameters)).rejects.toThrow(/it has "pt"/);
      expect(device.memory().used).toBe(used);
    });
  });
}

describe("lora", () => {
  it("refuses ranks, scales, patterns and tensors that cannot be", async () => {
    const device = await sharedDevice("reference");
    const base = MambaLM.create(config, { device });
    expect(() => lora(base.parameters, { rank: 0 })).toThrow(/rank must be a positive whole number; got 0/);
    expect(() => lora(base.parameters, { rank: 2, alpha: -1 })).toThrow(/alpha must be a positive number; got -1/);
    expect(() => lora(base.parameters, { rank: 2, match: /nothing/ })).toThrow(/must choose at least one matrix/);
    const stray = new Map([["x.A", tensor([1], [1, 1], { device })]]);
    expect(() => loraFrom(base.parameters, stray, { rank: 1, alpha: 1 })).toThrow(/got x\.A \[1/);
    expect(() => loraFrom(base.parameters, new Map(), { rank: 1, alpha: 1 })).toThrow(/got nothing/);
    base.dispose();
  });
});
