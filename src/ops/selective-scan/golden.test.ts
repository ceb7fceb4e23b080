import { readdir } from "node:fs/promises";
import { describe, expect, it } from "vitest";
import { sharedDevice } from "../../../test/kit/test-op.ts";
import { valueAndGrad } from "../../autograd/index.ts";
import { readSafetensors } from "../../checkpoints/index.ts";
import type { TypedArray } from "../../tensor/dtype.ts";
import { type Tensor, tensor } from "../../tensor/tensor.ts";
import { mul } from "../elementwise/index.ts";
import { sum } from "../reduce/index.ts";
import { selectiveScan } from "./index.ts";

const folder = new URL("../../../test/fixtures/selective-scan/", import.meta.url).pathname;
const files = (await readdir(folder)).filter((name) => name.endsWith(".safetensors"));

/** The reference's tensors whose last axis is length; ours have it second. */
const timed = new Set(["u", "delta", "z", "B", "C", "y", "dy"]);

interface Stored {
  readonly data: Float32Array;
  readonly shape: readonly number[];
}

interface Golden {
  readonly stored: ReadonlyMap<string, Stored>;
  readonly deltaSoftplus: boolean;
  /** Of how many times one is held of the gradients of B and C. */
  readonly gradStride: number;
}

/** From [batch ... length] to [batch length ...]. */
function timeSecond({ data, shape }: Stored): Stored {
  const [batch, length] = [shape[0]!, shape.at(-1)!];
  const middle = shape.slice(1, -1);
  const inner = middle.reduce((product, size) => product * size, 1);
  const out = new Float32Array(data.length);
  for (let b = 0; b < batch; b++) {
    for (let i = 0; i < inner; i++) {
      for (let t = 0; t < length; t++) out[(b * length + t) * inner + i] = data[(b * inner + i) * length + t]!;
    }
  }
  return { data: out, shape: [batch, length, ...middle] };
}

async function readGolden(name: string): Promise<Golden> {
  const file = await readSafetensors(`${folder}${name}`);
  const stored = new Map<string, Stored>();
  for (const [key, entry] of file.tensors) {
    const given = { data: (await entry.read()) as Float32Array, shape: entry.shape };
    stored.set(key, timed.has(key.replace("grad.", "")) ? timeSecond(given) : given);
  }
  const deltaSoftplus = file.metadata["delta_softplus"] === "1";
  const gradStride = Number(file.metadata["grad_stride"] ?? 1);
  await file.close();
  return { stored, deltaSoftplus, gradStride };
}

/** Every so many times of an array [batch length ...]. */
function thinned(values: TypedArray, [, length = 1, ...rest]: readonly number[], stride: number): TypedArray {
  const inner = rest.reduce((product, size) => product * size, 1);
  return values.filter((_, i) => (Math.floor(i / inner) % length) % stride === 0);
}

/** Largest difference as a share of the largest expected element. */
function error(actual: TypedArray, expected: Float32Array): number {
  expect(actual).toHaveLength(expected.length);
  let most = 0;
  let scale = 0;
  expected.forEach((value, i) => {
    const difference = Math.abs(actual[i]! - value);
    most = Number.isNaN(difference) ? Number.POSITIVE_INFINITY : Math.max(most, difference);
    scale = Math.max(scale, Math.abs(value));
  });
  return most / scale;
}

for (const deviceName of ["reference", "wasm"] as const) {
  describe(`selectiveScan on ${deviceName}`, () => {
    it.each(files)("has the outputs, last state and gradients of %s", async (name) => {
      const device = await sharedDevice(deviceName);
      const { stored, deltaSoftplus, gradStride } = await readGolden(name);
      const made = (key: string): Tensor => {
        const { data, shape } = stored.get(key)!;
        return tensor(data, shape, { device });
      };
      const keys = ["u", "delta", "A", "B", "C", "D", "z", "delta_bias"].filter((key) => stored.has(key));
      const inputs = Object.fromEntries(keys.map((key) => [key, made(key)])) as Record<string, Tensor>;
      const dy = made("dy");
      const { aux, gradients } = valueAndGrad(() => {
        const { u, delta, A, B, C, D, z, delta_bias: deltaBias } = inputs;
        const options = { D, z, deltaBias, deltaSoftplus };
        const { y, finalState } = selectiveScan(u!, delta!, A!, B!, C!, options);
        return { value: sum(mul(y, dy)), aux: { y, finalState } };
      }, inputs);
      const errors: [string, number][] = [
        ["y", error(await aux!.y.read(), stored.get("y")!.data)],
        ["last_state", error(await aux!.finalState.read(), stored.get("last_state")!.data)],
      ];
      for (const key of keys) {
        const given = await gradients[key]!.read();
        const isThin = gradStride > 1 && (key === "B" || key === "C");
        const actual = isThin ? thinned(given, inputs[key]!.shape, gradStride) : given;
        errors.push([key, error(actual, stored.get(`grad.${key}`)!.data)]);
      }
      expect(errors.filter(([, most]) => most > 1e-5)).toEqual([]);
    });
  });
}
