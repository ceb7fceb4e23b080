import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { readSafetensors } from "../src/checkpoints/index.ts";
import type { GenerationOptions, StreamChunk } from "../src/generation/index.ts";
import { CausalLM } from "../src/pretrained/index.ts";
import { AbortError, CheckpointError, ConfigError, ShapeError, TokenizerError } from "../src/tensor/errors.ts";
import { bytesOf, fixtureFiles, openWarm } from "./kit/small-model.ts";

const fixture = "hf-mamba-tied";
const endless = { maxNewTokens: 1e6, temperature: 1, seed: 1, stopTokenIds: [] } satisfies GenerationOptions;
const long = Array.from({ length: 700 }, (_, i) => (7 * i) % 97);

/** A fixture's weights with one element changed. */
async function weightsWith(name: string, value: number): Promise<Uint8Array> {
  const bytes = Uint8Array.from(await bytesOf(`test/fixtures/${fixture}/model.safetensors`));
  const headerLength = Number(new DataView(bytes.buffer).getBigUint64(0, true));
  const header = JSON.parse(new TextDecoder().decode(bytes.subarray(8, 8 + headerLength)));
  const [start] = header[name].data_offsets as [number, number];
  new DataView(bytes.buffer).setFloat32(8 + headerLength + start, value, true);
  return bytes;
}

async function configWith(change: Record<string, unknown>): Promise<string> {
  const config = JSON.parse((await bytesOf(`test/fixtures/${fixture}/config.json`)).toString());
  return JSON.stringify({ ...config, ...change });
}

describe.each(["reference", "wasm"] as const)("CausalLM on %s", (device) => {
  let lm: CausalLM;
  let used: number;

  beforeAll(async () => {
    lm = await openWarm(await fixtureFiles(fixture), { device, threads: 2 });
    used = lm.device.memory().used;
  });

  afterEach(() => expect(lm.device.memory().used).toBe(used));

  afterAll(() => {
    lm.dispose();
    lm.dispose();
  });

  it("has the reference code's logits, of all positions or of the last, on a state or at once", async () => {
    const golden = await readSafetensors(new URL(`fixtures/${fixture}/golden.safetensors`, import.meta.url).pathname);
    const entry = golden.tensors.get("input_ids")!;
    const flat = Array.from(await entry.read());
    const expected = await golden.tensors.get("logits")!.read();
    await golden.close();
    const [rows, length] = entry.shape as [number, number];
    const ids = Array.from({ length: rows }, (_, row) => flat.slice(row * length, (row + 1) * length));
    const close = (actual: Float32Array, offset: (i: number) => number): void => {
      actual.forEach((logit, i) => {
        expect(Math.abs(logit - expected[offset(i)]!)).toBeLessThan(1e-4);
      });
    };
    const all = await lm.forward(ids, { logits: "all" });
    expect(all.logits.shape).toEqual([rows, length, 97]);
    close(all.logits, (i) => i);
    all.state.dispose();
    const last = await lm.forward(ids);
    expect(last.logits.shape).toEqual([rows, 1, 97]);
    close(last.logits, (i) => (Math.floor(i / 97) * length + length - 1) * 97 + (i % 97));
    last.state.dispose();

    const begun = await lm.forward(ids.map((row) => row.slice(0, 5)));
    expect(begun.state.position).toBe(5);
    const rest = ids.map((row) => row.slice(5));
    const kept = await lm.forward(rest, { state: begun.state, logits: "all" });
    const consumed = await lm.forward(rest, { state: begun.state, consume: true, logits: "all" });
    expect(consumed.logits).toEqual(kept.logits);
    close(kept.logits, (i) => {
      const width = (length - 5) * 97;
      return Math.floor(i / width) * length * 97 + 5 * 97 + (i % width);
    });
    expect(begun.state.disposed).toBe(true);
    await expect(lm.forward(rest, { state: begun.state })).rejects.toMatchObject({ code: "DISPOSED" });
    kept.state.dispose();
    consumed.state.dispose();
  });

  it("refuses prompts and ids that cannot be", async () => {
    for (const prompt of ["", [], new Int32Array(0)] as const) {
      await expect(lm.generate(prompt)).rejects.toBeInstanceOf(ConfigError);
      await expect(lm.stream(prompt).next()).rejects.toBeInstanceOf(ConfigError);
    }
    await expect(lm.generate(["a", ""])).rejects.toBeInstanceOf(ConfigError);
    for (const id of [97, -1, 0.5, Number.NaN]) {
      const refused = { code: "ID_OUT_OF_RANGE", facts: { position: 1 } };
      await expect(lm.generate([1, id])).rejects.toMatchObject(refused);
      await expect(lm.forward([1, id])).rejects.toMatchObject(refused);
      await expect(lm.evaluate([1, id])).rejects.toMatchObject(refused);
    }
    for (const ids of [[], [[]], [[1], [1, 2]]]) await expect(lm.forward(ids)).rejects.toBeInstanceOf(ShapeError);
    const { state } = await lm.forward([1, 2]);
    await expect(lm.forward([[1], [2]], { state, consume: true })).rejects.toBeInstanceOf(ShapeError);
    state.dispose();
    await expect(lm.generate([{ role: "user", content: "Hello" }])).rejects.toBeInstanceOf(TokenizerError);
    await expect(lm.generate([1], { logitBias: { 97: 1 } })).rejects.toBeInstanceOf(ConfigError);
    for (const options of [{ window: 0 }, { limit: -1 }, { batch: 0.5 }]) {
      await expect(lm.evaluate([1, 2, 3], options)).rejects.toThrow(Object.keys(options)[0]);
    }
    await expect(lm.evaluate([1])).rejects.toBeInstanceOf(ConfigError);
  });

  it("frees everything when a stream is left early", async () => {
    for (const stop of [1, 2, 5]) {
      let seen = 0;
      for await (const chunk of lm.stream(long, endless)) {
        expect(chunk.tokens).toHaveLength(1);
        seen += 1;
        if (seen === stop) break;
      }
    }
    const stream = lm.stream(long, endless);
    await stream.next();
    await expect(stream.throw(new RangeError("mine"))).rejects.toThrow(RangeError);
    expect(lm.device.memory().used).toBe(used);
    await lm.stream(long, endless).return();
  });

  it("is aborted before, during the prompt and between tokens", async () => {
    const before = { ...endless, signal: AbortSignal.abort() };
    await expect(lm.generate([1], before)).rejects.toBeInstanceOf(AbortError);
    await expect(lm.evaluate(long, before)).rejects.toBeInstanceOf(AbortError);
    const controller = new AbortController();
    const { signal } = controller;
    const reason = new Error("enough");
    const chunks: StreamChunk[] = [];
    const run = async (): Promise<void> => {
      for await (const chunk of lm.stream([1, 2], { ...endless, signal })) {
        chunks.push(chunk);
        if (chunks.length === 4) controller.abort(reason);
      }
    };
    await expect(run()).rejects.toMatchObject({ code: "ABORTED", cause: reason });
    expect(chunks).toHaveLength(4);
  });

  it("hears a timer while it generates, runs a prompt or evaluates", async () => {
    const ids = Array.from({ length: 200_000 }, (_, i) => i % 97);
    const works = [
      (signal: AbortSignal) => lm.generate([1], { ...endless, signal }),
      (signal: AbortSignal) => lm.generate(["a", "b"], { ...endless, signal }),
      (signal: AbortSignal) => lm.generate(ids, { ...endless, signal }),
      (signal: AbortSignal) => lm.evaluate(ids, { window: 100_000, signal }),
      (signal: AbortSignal) => lm.evaluate(ids, { carry: true, accuracy: true, signal }),
    ];
    for (const work of works) {
      const controller = new AbortController();
      setTimeout(() => controller.abort(), 20);
      await expect(work(controller.signal)).rejects.toBeInstanceOf(AbortError);
      expect(lm.device.memory().used).toBe(used);
    }
  });

  it("frees the rows that had ended when another fails", async () => {
    const [ending] = lm.tokenizer.encode("a");
    let ended = 0;
    const processLogits = (logits: Float32Array, recent: readonly number[]): undefined => {
      if (recent.length > 3) throw new RangeError("mine");
      if (recent[0] !== ending) return;
      logits.fill(-Infinity)[5] = 0;
      ended += 1;
    };
    const options = { ...endless, stopTokenIds: [5], processLogits };
    await expect(lm.generate(["a", "b", "a"], options)).rejects.toThrow(RangeError);
    expect(ended).toBe(2);
  });

  it("frees everything when progress throws or a loss is not finite", async () => {
    const progress = (): void => {
      throw new RangeError("mine");
    };
    for (const options of [{ window: 10 }, { carry: true }, { accuracy: true }]) {
      await expect(lm.evaluate(long, { ...options, progress })).rejects.toThrow(RangeError);
    }
    const files = await fixtureFiles(fixture, {
      "model.safetensors": await weightsWith("backbone.norm_f.weight", Number.NaN),
    });
    const broken = await CausalLM.fromPretrained(files, { device: lm.device });
    await expect(broken.evaluate(long)).rejects.toMatchObject({ code: "NAN_LOSS", facts: { window: 0 } });
    await expect(broken.evaluate(long, { accuracy: true })).rejects.toMatchObject({ code: "NAN_LOSS" });
    await expect(broken.generate([1, 2])).rejects.toMatchObject({ code: "NAN_LOGITS" });
    await expect(broken.generate(["a", "b"])).rejects.toMatchObject({ code: "NAN_LOGITS" });
    broken.dispose();
  });

  it("leaves a device that it was given, and refuses work once disposed", async () => {
    const own = await CausalLM.fromPretrained(await fixtureFiles(fixture), { device: lm.device });
    const { state } = await own.generate([1], { maxNewTokens: 2 });
    const bytes = await state.serialize();
    state.dispose();
    own.dispose();
    own.dispose();
    const disposed = { code: "DISPOSED" };
    await expect(own.generate([1])).rejects.toMatchObject(disposed);
    await expect(own.stream([1]).next()).rejects.toMatchObject(disposed);
    await expect(own.forward([1])).rejects.toMatchObject(disposed);
    await expect(own.evaluate([1, 2])).rejects.toMatchObject(disposed);
    await expect(own.loadState(bytes)).rejects.toMatchObject(disposed);
  });

  it("refuses a configuration that contradicts the weights, by the tensors' names, with nothing left behind", async () => {
    for (const change of [{ hidden_size: 32, intermediate_size: 64 }, { num_hidden_layers: 3 }]) {
      const files = await fixtureFiles(fixture, { "config.json": await configWith(change) });
      const opened = CausalLM.fromPretrained(files, { device: lm.device });
      await expect(opened).rejects.toBeInstanceOf(CheckpointError);
      const name = "hidden_size" in change ? /backbone\.layers\.0\.norm\.weight/ : /backbone\.layers\.2\./;
      await expect(opened).rejects.toThrow(name);
    }
    const aborted = CausalLM.fromPretrained(await fixtureFiles(fixture), {
      device: lm.device,
      signal: AbortSignal.abort(),
    });
    await expect(aborted).rejects.toBeInstanceOf(AbortError);
  });
});
