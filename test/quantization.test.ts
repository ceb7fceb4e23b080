import { readFile } from "node:fs/promises";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { openFolder } from "#platform";
import { openDevice } from "../src/ops/devices.ts";
import { CausalLM } from "../src/pretrained/index.ts";
import { loadMamba } from "../src/pretrained/load-mamba.ts";
import { precisionFor } from "../src/pretrained/open-pretrained.ts";
import type { Device } from "../src/tensor/device.ts";
import { ConfigError, OutOfMemoryError } from "../src/tensor/errors.ts";
import { flattenParameters } from "../src/tensor/parameters.ts";
import { storageBytes } from "../src/tensor/weight-formats.ts";
import { fixtureFiles, openWarm } from "./kit/small-model.ts";

const story = "storybook-11m";
const predictions = 2048;
/** Perplexity over that of float32, at most; of int8 and int4 what every release is held to. */
const limits = { float16: 1.0005, bfloat16: 1.001, int8: 1.005, int4: 1.06 } as const;
const types = Object.keys(limits) as (keyof typeof limits)[];

async function validation(): Promise<Int32Array> {
  const bytes = await readFile(new URL("fixtures/storybook-11m/val.ids.i32", import.meta.url));
  return new Int32Array(new Uint8Array(bytes).buffer);
}

describe("the story model with weights of smaller types, on wasm", () => {
  let ids: Int32Array;
  let perplexity: number;

  const evaluate = async (dtype: "float32" | keyof typeof limits): Promise<number> => {
    using lm = await CausalLM.fromPretrained(story, { device: "wasm", threads: 2, dtype });
    return (await lm.evaluate(ids, { window: 1024, limit: predictions })).perplexity;
  };

  beforeAll(async () => {
    ids = await validation();
    perplexity = await evaluate("float32");
  });

  it.each(types)("predicts nearly as well: %s", async (dtype) => {
    const ratio = (await evaluate(dtype)) / perplexity;
    expect(ratio).toBeLessThan(limits[dtype]);
    expect(ratio).toBeGreaterThan(0.99);
  });

  it.each(["float16", "int8", "int4"] as const)("decodes without growing, the same text again: %s", async (dtype) => {
    using lm = await openWarm(story, { device: "wasm", threads: 2, dtype });
    const used: number[] = [];
    const tokens: number[] = [];
    const request = { maxNewTokens: 200, temperature: 1, seed: 3, stopTokenIds: [] };
    for await (const chunk of lm.stream("Once upon a time", request)) {
      used.push(lm.device.memory().used);
      tokens.push(...chunk.tokens);
      chunk.state?.dispose();
    }
    expect(tokens).toHaveLength(200);
    expect(new Set(used.slice(2, -1)).size).toBe(1);
    const { peak } = lm.device.memory();
    const again = await lm.generate("Once upon a time", request);
    again.state.dispose();
    expect(again.tokens).toEqual(tokens);
    expect(lm.device.memory().peak).toBe(peak);
  });

  it("takes the memory that its types take", async () => {
    const files = await openFolder(new URL("../models/storybook-11m", import.meta.url).pathname);
    const measured: Record<string, number> = {};
    for (const dtype of ["float32", ...types] as const) {
      using device = await openDevice("wasm", { threads: 0 });
      const { model, warnings } = await loadMamba(files, { device, dtype });
      expect(warnings).toEqual([]);
      const planned = [...flattenParameters(model.parameters).values()].reduce(
        (sum, made) => sum + storageBytes(made.dtype, made.shape, made.layout),
        0,
      );
      measured[dtype] = device.memory().used;
      expect(measured[dtype]! - planned).toBeGreaterThanOrEqual(0);
      // every block of memory begins at a multiple of some bytes
      expect(measured[dtype]! - planned).toBeLessThan(64 * 100);
      model.dispose();
    }
    expect(measured["float16"]).toBe(measured["bfloat16"]);
    expect(measured["int8"]! / measured["float32"]!).toBeLessThan(0.34);
    expect(measured["int4"]! / measured["float32"]!).toBeLessThan(0.22);
  });
});

describe("what cannot be held in a type", () => {
  let device: Device;
  beforeAll(async () => {
    device = await openDevice("wasm", { threads: 0 });
  });
  afterAll(() => device.dispose());

  it("keeps matrices whose columns fill no blocks in float16, and says so", async () => {
    const files = await fixtureFiles("hf-mamba-untied-bias");
    const { model, warnings } = await loadMamba(files, { device, dtype: "int4" });
    expect(model.parameters.backbone.layers["0"]!.mixer.inProj.weight.dtype).toBe("float16");
    expect(model.parameters.backbone.layers["0"]!.mixer.dtProj.bias.dtype).toBe("float32");
    expect(warnings).toContain(
      "backbone.embeddings.weight is kept in float16: its columns are no multiple of 32, the size of a block of int4",
    );
    model.dispose();
    expect(device.memory().used).toBe(0);
  });

  it("says before loading what the types need", async () => {
    const files = await fixtureFiles("hf-mamba-tied");
    const full = { used: 0, peak: 0, buffers: 0, limit: 1000 };
    const small: Device = Object.create(device, { memory: { value: () => full } });
    const failure = loadMamba(files, { device: small });
    await expect(failure).rejects.toThrow(OutOfMemoryError);
    await expect(failure).rejects.toThrow(/they need 0\.\d MiB, 0\.\d MiB as float16, .* as int4; /);
    expect(device.memory().used).toBe(0);
  });

  it("refuses types that a device does not have, and to train in them", async () => {
    const files = await fixtureFiles("hf-mamba-tied");
    const gpu = { name: "webgpu" } as Device;
    await expect(loadMamba(files, { device: gpu, dtype: "bfloat16" })).rejects.toThrowErrorMatchingInlineSnapshot(
      `[ConfigError: load: weights on webgpu must be float32, float16, int8, int4; got bfloat16; leave dtype out]`,
    );
    await expect(loadMamba(files, { device, dtype: "int8", pack: false })).rejects.toThrow(ConfigError);
    await expect(loadMamba(files, { device, dtype: "float64" })).rejects.toThrow(ConfigError);
  });

  it("lets products round activations where weights are asked for that small and the device has matrix cores", () => {
    const card = { matmulPrecision: "float32", matmulPrecisions: ["float32", "float16"] } as unknown as Device;
    const plain = { ...card, matmulPrecisions: ["float32"] } as unknown as Device;
    const types = ["auto", "float32", "bfloat16", "float16", "int8", "int4"] as const;
    expect(types.map((dtype) => precisionFor(card, dtype))).toEqual([
      ...["float32", "float32", "float32", "float16", "float16", "float16"],
    ]);
    expect(new Set(types.map((dtype) => precisionFor(plain, dtype)))).toEqual(new Set(["float32"]));
  });

  it("is in the model's precision on the reference device", async () => {
    const files = await fixtureFiles("hf-mamba-tied");
    const ids = Array.from({ length: 40 }, (_, i) => (7 * i) % 97);
    const logits: Record<string, Float32Array> = {};
    for (const name of ["reference", "wasm"] as const) {
      using lm = await CausalLM.fromPretrained(files, { device: name, dtype: "int8", threads: 0 });
      const result = await lm.forward(ids, { logits: "all" });
      result.state.dispose();
      logits[name] = result.logits;
    }
    const largest = Math.max(...logits["reference"]!.map(Math.abs));
    for (const [i, value] of logits["wasm"]!.entries()) {
      expect(Math.abs(value - logits["reference"]![i]!) / largest).toBeLessThan(0.01);
    }
  });
});
