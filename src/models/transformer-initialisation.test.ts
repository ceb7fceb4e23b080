import { describe, expect, it } from "vitest";
import { sharedDevice } from "../../test/kit/test-op.ts";
import { valueAndGrad } from "../autograd/index.ts";
import { sum } from "../ops/reduce/index.ts";
import { flattenParameters } from "../tensor/parameters.ts";
import { tensor } from "../tensor/tensor.ts";
import { TransformerLM, transformerConfig } from "./index.ts";

describe("a new TransformerLM", async () => {
  const device = await sharedDevice("reference");
  const config = transformerConfig({ vocabSize: 200, dModel: 64, nLayer: 3, heads: 4 });
  const model = TransformerLM.create(config, { device, seed: 3 });
  const deviation = async (name: string): Promise<number> => {
    const values = Array.from(await flattenParameters(model.parameters).get(name)!.read());
    return Math.sqrt(values.reduce((total, x) => total + x * x, 0) / values.length);
  };

  it("has an MLP of 8/3 dModel, rounded up to a multiple of 8", () => {
    expect(config.hidden).toBe(176);
    expect(model.parameters.layers["0"]!.mlp.inProj.weight.shape).toEqual([352, 64]);
  });

  it("draws weights with deviation 0.02, and those that end in the residual stream smaller by sqrt(2 nLayer)", async () => {
    // 4096 to 22528 draws: the estimate is within 5 percent, four standard errors
    for (const layer of [0, 1, 2]) {
      for (const part of ["attention", "mlp"]) {
        expect((await deviation(`layers.${layer}.${part}.inProj.weight`)) / 0.02).toBeCloseTo(1, 1);
        expect((await deviation(`layers.${layer}.${part}.outProj.weight`)) / (0.02 / Math.sqrt(6))).toBeCloseTo(1, 1);
      }
    }
    expect((await deviation("embedding.weight")) / 0.02).toBeCloseTo(1, 1);
  });

  it("has no head of its own unless asked, and the table then gets gradients of both its uses", async () => {
    expect(model.parameters.lmHead).toBeUndefined();
    const ids = tensor(Int32Array.of(1, 2, 3), [1, 3], { device });
    const { gradients } = valueAndGrad(() => sum(model.losses(ids, ids).losses), model.parameters);
    const rows = await flattenParameters(gradients).get("embedding.weight")!.read();
    // the row of an id that is never read still gets its part as a row of the head
    expect(rows.slice(150 * 64, 151 * 64).some((x) => x !== 0)).toBe(true);
    const own = TransformerLM.create({ ...config, tieEmbeddings: false }, { device });
    expect(own.parameters.lmHead?.weight.shape).toEqual([200, 64]);
  });
});
