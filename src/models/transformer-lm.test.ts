import { describe, expect, it } from "vitest";
import { fastBackends, sharedDevice } from "../../test/kit/test-op.ts";
import { valueAndGrad } from "../autograd/index.ts";
import { sum } from "../ops/reduce/index.ts";
import type { DeviceName } from "../tensor/device.ts";
import { flattenParameters } from "../tensor/parameters.ts";
import { type Tensor, tensor } from "../tensor/tensor.ts";
import { TransformerLM, transformerConfig } from "./index.ts";

const config = transformerConfig({ vocabSize: 13, dModel: 16, nLayer: 2, heads: 2, tieEmbeddings: false, std: 0.3 });
const idsOf = (length: number, batch = 1): Int32Array =>
  Int32Array.from({ length: batch * length }, (_, i) => (i * i * 5 + 3 * i) % 13);

type Row = number[];
const dot = (a: Row, b: Row): number => a.reduce((total, x, i) => total + x * b[i]!, 0);
const plus = (a: Row, b: Row): Row => a.map((x, i) => x + b[i]!);

/** The same model written down plainly, a token at a time: an independent account of what it computes. */
async function plainLogits(model: TransformerLM, ids: Int32Array): Promise<Row[]> {
  const { dModel, heads, hidden, nLayer, normEpsilon } = model.config;
  const values = new Map<string, Row>();
  for (const [name, x] of flattenParameters(model.parameters)) values.set(name, Array.from(await x.read()));
  const matrix = (name: string, inputs: number): Row[] => {
    const flat = values.get(name)!;
    return Array.from({ length: flat.length / inputs }, (_, i) => flat.slice(i * inputs, (i + 1) * inputs));
  };
  const times = (name: string, x: Row): Row => matrix(name, x.length).map((row) => dot(row, x));
  const norm = (name: string, x: Row): Row => {
    const factor = 1 / Math.sqrt(dot(x, x) / x.length + normEpsilon);
    return x.map((value, i) => value * factor * values.get(name)![i]!);
  };
  const width = dModel / heads;
  const turn = (x: Row, t: number): Row =>
    x.map((value, i) => {
      const half = width / 2;
      const angle = t * 10_000 ** (-(2 * (i % half)) / width);
      const other = i < half ? -x[i + half]! : x[i - half]!;
      return value * Math.cos(angle) + other * Math.sin(angle);
    });
  let stream = Array.from(ids, (id) => matrix("embedding.weight", dModel)[id]!);
  for (let l = 0; l < nLayer; l++) {
    const own = (part: string): string => `layers.${l}.${part}`;
    const qkv = stream.map((x) => times(own("attention.inProj.weight"), norm(own("attentionNorm.weight"), x)));
    const part = (t: number, which: number, h: number): Row =>
      qkv[t]!.slice(which * dModel + h * width, which * dModel + (h + 1) * width);
    stream = stream.map((x, t) => {
      const mixed = Array.from({ length: heads }, (_, h) => {
        const scores = stream.slice(0, t + 1).map((_, j) => {
          return dot(turn(part(t, 0, h), t), turn(part(j, 1, h), j)) / Math.sqrt(width);
        });
        const weights = scores.map((score) => Math.exp(score - Math.max(...scores)));
        const total = weights.reduce((a, b) => a + b);
        return weights.reduce<Row>(
          (y, weight, j) =>
            plus(
              y,
              part(j, 2, h).map((value) => (value * weight) / total),
            ),
          new Array<number>(width).fill(0),
        );
      }).flat();
      return plus(x, times(own("attention.outProj.weight"), mixed));
    });
    stream = stream.map((x) => {
      const both = times(own("mlp.inProj.weight"), norm(own("mlpNorm.weight"), x));
      const gated = both.slice(0, hidden).map((g, i) => (g / (1 + Math.exp(-g))) * both[hidden + i]!);
      return plus(x, times(own("mlp.outProj.weight"), gated));
    });
  }
  return stream.map((x) => times("lmHead.weight", norm("normF.weight", x)));
}

function expectClose(actual: ArrayLike<number>, expected: ArrayLike<number>, limit: number): void {
  expect(actual.length).toBe(expected.length);
  const scale = Array.from(expected).reduce((most, x) => Math.max(most, Math.abs(x)), 0);
  for (let i = 0; i < expected.length; i++) expect(Math.abs(actual[i]! - expected[i]!) / scale).toBeLessThan(limit);
}

for (const name of ["reference", ...fastBackends] as DeviceName[]) {
  describe(`TransformerLM on ${name}`, async () => {
    const device = await sharedDevice(name);
    const dtype = name === "reference" ? "float64" : "float32";
    const model = TransformerLM.create(config, { device, dtype, seed: 4 });
    const put = (ids: Int32Array, batch = 1): Tensor => tensor(ids, [batch, ids.length / batch], { device });

    it("computes what a plain account of it computes", async () => {
      const ids = idsOf(11);
      const { logits } = model.forward(put(ids), { logits: "all" });
      expectClose(await logits!.read(), (await plainLogits(model, ids)).flat(), name === "reference" ? 1e-12 : 2e-6);
    });

    it("gives token by token, and for any split, what it gives at once", async () => {
      const ids = idsOf(9, 2);
      const whole = model.forward(put(ids, 2), { logits: "all" });
      const expected = await whole.logits!.read();
      for (const cuts of [
        [0, 1, 2, 3, 4, 5, 6, 7, 8, 9],
        [0, 4, 9],
        [0, 8, 9],
      ]) {
        let state = model.initialState(2);
        for (let part = 1; part < cuts.length; part++) {
          const [start, end] = [cuts[part - 1]!, cuts[part]!];
          const rows = Int32Array.from([...ids.slice(start, end), ...ids.slice(9 + start, 9 + end)]);
          const out = model.forward(put(rows, 2), { state, consume: true, logits: "last" });
          state = out.state;
          const own = await out.logits!.read();
          for (const row of [0, 1]) {
            const at = (row * 9 + end - 1) * 13;
            expectClose(own.slice(row * 13, row * 13 + 13), expected.slice(at, at + 13), 1e-5);
          }
        }
        expect([state.position, state.byteLength]).toEqual([9, whole.state.byteLength]);
        expectClose(await state.tensors()[3]!.read(), await whole.state.tensors()[3]!.read(), 1e-5);
      }
    });

    it("keeps packed documents apart", async () => {
      const ids = idsOf(8);
      const segmentIds = put(Int32Array.of(0, 0, 0, 1, 1, 1, 1, -1));
      const packed = await model.losses(put(ids), put(ids), { segmentIds }).losses.read();
      // positions inside a segment only shift all its angles, of which just differences count
      const [first, second] = [ids.slice(0, 3), ids.slice(3, 7)];
      for (const [part, at] of [
        [first, 0],
        [second, 3],
      ] as const) {
        const alone = await model.losses(put(part), put(part)).losses.read();
        expectClose(packed.slice(at, at + part.length), alone, 1e-5);
      }
    });

    it("has gradients that recomputation does not change, for every parameter", async () => {
      const ids = put(idsOf(20, 2), 2);
      const run = async (recompute: boolean) => {
        const { gradients } = valueAndGrad(() => {
          const { losses, state } = model.losses(ids, ids, { recompute });
          state.dispose();
          return sum(losses);
        }, model.parameters);
        const read = new Map<string, number[]>();
        for (const [key, gradient] of flattenParameters(gradients)) read.set(key, Array.from(await gradient.read()));
        return read;
      };
      const [plain, again] = [await run(false), await run(true)];
      expect([...plain.keys()]).toEqual([...flattenParameters(model.parameters).keys()]);
      for (const [key, expected] of plain) {
        expect(
          expected.some((x) => x !== 0),
          key,
        ).toBe(true);
        expectClose(again.get(key)!, expected, 1e-6);
      }
    });
  });
}

describe("transformerConfig", () => {
  it.each<[object, RegExp]>([
    [{ heads: 3 }, /heads must share dModel 16 out in even widths; got 3/],
    [{ heads: 16 }, /even widths/],
    [{ nLayer: 0 }, /nLayer must be a positive integer/],
    [{ std: 0 }, /std must be positive/],
  ])("refuses %j", (change, expected) => {
    expect(() => transformerConfig({ vocabSize: 13, dModel: 16, nLayer: 2, heads: 2, ...change })).toThrow(expected);
  });

  it("refuses segments together with a state, which does not know them", async () => {
    const model = TransformerLM.create(config, { device: await sharedDevice("reference") });
    const ids = tensor(idsOf(2), [1, 2], { device: model.device });
    expect(() => model.forward(ids, { state: model.initialState(1), segmentIds: ids })).toThrow(/leave one out/);
  });
});
