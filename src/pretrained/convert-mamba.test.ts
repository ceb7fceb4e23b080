import { mkdir, mkdtemp, readdir, readFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { encodeGguf, floats } from "../../test/kit/gguf-file.ts";
import { goldenFolder } from "../../test/kit/golden-folder.ts";
import {
  type FileSet,
  type GgufField,
  memoryFiles,
  readGguf,
  readJson,
  readMambaConfig,
  readSafetensors,
} from "../checkpoints/index.ts";
import { mambaConfig } from "../models/index.ts";
import { openDevice } from "../ops/devices.ts";
import { AbortError, CheckpointError, ConfigError } from "../tensor/errors.ts";
import { CausalLM } from "./causal-lm.ts";
import { convertMamba } from "./convert-mamba.ts";
import { loadMamba } from "./load-mamba.ts";
import { findModelFiles } from "./open-pretrained.ts";
import { verifyLanguageModel } from "./verify.ts";

const fixture = (name: string): string => new URL(`../../test/fixtures/${name}`, import.meta.url).pathname;
const opened = openDevice("wasm", { threads: 0 });
afterAll(async () => (await opened).dispose());

const target = async (): Promise<string> => join(await mkdtemp(join(tmpdir(), "mamba-convert-")), "model.gguf");
const sameBytes = (a: Uint8Array | Float32Array, b: Uint8Array | Float32Array): boolean =>
  Buffer.from(a.buffer, a.byteOffset, a.byteLength).equals(Buffer.from(b.buffer, b.byteOffset, b.byteLength));
const largestDifference = (a: Float32Array, b: Float32Array): number =>
  a.reduce((most, value, i) => Math.max(most, Math.abs(value - b[i]!)), 0);
const passages = [
  "Once upon a time there was a little girl, and she said: \u201cI'll go!\u201d",
  "  tabs\tand\n\n   lines   \r\n1234567 3.14 na\u00efve caf\u00e9 \u4f60\u597d \u{1F600}<|endoftext|>don't WE'RE they'd",
];

describe("convertMamba to GGUF", () => {
  it.each(["hf-mamba-tied", "hf-falcon-mamba", "original-mamba-bin-f32"])(
    "%s keeps every logit, gradient and greedy id that the golden holds",
    async (name) => {
      const device = await opened;
      const path = await target();
      const source = await findModelFiles(fixture(name));
      await convertMamba(source, path);
      const files = await findModelFiles(path);
      const { model, config, warnings } = await loadMamba(files, { device, pack: false });
      const golden = await readSafetensors(`${fixture(goldenFolder(name))}/golden.safetensors`);
      const result = await verifyLanguageModel(model, device, golden);
      expect(result.compared.filter(({ ok }) => !ok)).toEqual([]);
      expect(result.notCompared).toEqual([]);
      // the weights told about the padding; GGUF keeps it where no unused tokens do
      expect(warnings).toEqual([]);
      const given = readMambaConfig(await readJson(source, "config.json"));
      const { initialisation: _, paddedVocabSize, tieEmbeddings, ...rest } = given;
      expect(config).toMatchObject(rest);
      model.dispose();
      await golden.close();
    },
  );

  it("the story model gives the same logits within 1e-5, tokens, ids and sampling", async () => {
    const device = await opened;
    const path = await target();
    const options = { dtype: "float32", name: "storybook" } as const;
    const converted = await convertMamba(await findModelFiles("storybook-11m"), path, options);
    expect(converted).toMatchObject({ format: "gguf", types: { F32: 82 }, warnings: [] });
    const [a, b] = [
      await CausalLM.fromPretrained("storybook-11m", { device }),
      await CausalLM.fromPretrained(path, { device }),
    ];
    const ids = a.tokenizer.encode(passages[0]!);
    const [x, y] = [await a.forward(ids), await b.forward(ids)];
    expect(y.logits.length).toBe(x.logits.length);
    expect(largestDifference(x.logits, y.logits)).toBeLessThan(1e-5);
    const greedy = { maxNewTokens: 40, temperature: 0, repetitionPenalty: 1 };
    expect((await b.generate("Once upon a time", greedy)).tokens).toEqual(
      (await a.generate("Once upon a time", greedy)).tokens,
    );
    for (const text of passages) {
      const tokens = a.tokenizer.encode(text);
      expect(b.tokenizer.encode(text)).toEqual(tokens);
      expect(b.tokenizer.decode(tokens, { skipSpecialTokens: false })).toBe(
        a.tokenizer.decode(tokens, { skipSpecialTokens: false }),
      );
    }
    const { vocabSize, eosTokenId, bosTokenId, padTokenId } = a.tokenizer;
    expect(b.tokenizer).toMatchObject({ vocabSize, eosTokenId, bosTokenId, padTokenId });
    const sampled = { maxNewTokens: 20, seed: 3 };
    expect((await b.generate("Once", sampled)).text).toBe((await a.generate("Once", sampled)).text);
    a.dispose();
    b.dispose();
  });

  it("writes the metadata and types that llama.cpp's converter writes", async () => {
    const path = await target();
    const converted = await convertMamba(await findModelFiles("storybook-11m"), path, { name: "storybook" });
    expect(converted.dtype).toBe("float16");
    const file = await readGguf(path);
    expect(file.metadata).toMatchObject({
      "general.architecture": "mamba",
      "general.name": "storybook",
      "general.file_type": "1",
      "mamba.embedding_length": "384",
      "mamba.block_count": "8",
      "mamba.ssm.conv_kernel": "4",
      "mamba.ssm.inner_size": "768",
      "mamba.ssm.state_size": "16",
      "mamba.ssm.time_step_rank": "24",
      "mamba.ssm.dt_b_c_rms": "false",
      "mamba.context_length": "1048576",
      "tokenizer.ggml.model": "gpt2",
      "tokenizer.ggml.pre": "gpt-2",
      "tokenizer.ggml.eos_token_id": "0",
      "tokenizer.ggml.add_bos_token": "false",
    });
    const described = (name: string) => [file.tensors.get(name)?.storedType, file.tensors.get(name)?.shape.join(" ")];
    expect(described("token_embd.weight")).toEqual(["F16", "8192 384"]);
    expect(described("blk.7.ssm_in.weight")).toEqual(["F16", "1536 384"]);
    expect(described("blk.7.ssm_conv1d.weight")).toEqual(["F32", "768 4"]);
    expect(described("blk.7.ssm_a")).toEqual(["F32", "768 16"]);
    expect(described("blk.7.ssm_dt.bias")).toEqual(["F32", "768"]);
    expect(described("blk.7.attn_norm.weight")).toEqual(["F32", "384"]);
    expect(file.tensors.has("output.weight")).toBe(false);
    expect(Math.max(...((await file.tensors.get("blk.0.ssm_a")!.read()) as Float32Array))).toBeLessThan(0);
    await file.close();
  });

  it("rounds the large weights to blocks, and keeps blocks that are there", async () => {
    const [first, second] = [await target(), await target()];
    const { types } = await convertMamba(await findModelFiles("storybook-11m"), first, { dtype: "int4" });
    // 8 layers: two projections each as int4, embedding and x_proj as int8, dt_proj (24 columns) as float16
    expect(types).toEqual({ Q8_0: 9, F32: 49, Q4_0: 16, F16: 8 });
    await convertMamba(await findModelFiles(first), second);
    const [a, b] = [await readFile(first), await readFile(second)];
    const [one, two] = [await readGguf(first), await readGguf(second)];
    expect([...two.fields]).toEqual([...one.fields]);
    for (const [name, entry] of one.tensors) {
      expect(sameBytes(await two.tensors.get(name)!.readBlocks(), await entry.readBlocks())).toBe(true);
    }
    expect(b.length).toBe(a.length);
    await one.close();
    await two.close();
  });

  it("says what a model has that llama.cpp does not know", async () => {
    const files = await findModelFiles(fixture("hf-mamba-untied-bias"));
    const attempt = convertMamba(files, await target());
    await expect(attempt).rejects.toThrow(ConfigError);
    await expect(attempt).rejects.toThrow(/biases on the projections, an inner size of 144, which is not twice/);
  });

  it("leaves no file behind when it is stopped", async () => {
    const path = await target();
    const controller = new AbortController();
    const names: string[] = [];
    const progress = ({ name }: { name: string }): void => {
      names.push(name);
      if (names.length === 5) controller.abort();
    };
    const options = { progress, signal: controller.signal };
    await expect(convertMamba(await findModelFiles(fixture("hf-mamba-tied")), path, options)).rejects.toThrow(
      AbortError,
    );
    expect(names).toHaveLength(5);
    expect(await readdir(join(path, ".."))).toEqual([]);
  });
});

describe("convertMamba to a folder", () => {
  it.each(["hf-mamba-tied", "hf-falcon-mamba"])("%s comes back from GGUF", async (name) => {
    const path = await target();
    await convertMamba(await findModelFiles(fixture(name)), path);
    const folder = join(path, "../folder");
    await mkdir(folder);
    const { types } = await convertMamba(await findModelFiles(path), folder);
    const [a, b] = [
      await readSafetensors(`${fixture(name)}/model.safetensors`),
      await readSafetensors(`${folder}/model.safetensors`),
    ];
    expect(types).toEqual({ F32: a.tensors.size });
    expect([...b.tensors.keys()].sort()).toEqual([...a.tensors.keys()].sort());
    for (const [tensor, entry] of a.tensors) {
      const [x, y] = [(await entry.read()) as Float32Array, (await b.tensors.get(tensor)!.read()) as Float32Array];
      if (tensor.endsWith("A_log")) expect(largestDifference(x, y)).toBeLessThan(1e-7);
      else expect(sameBytes(x, y)).toBe(true);
    }
    await a.close();
    await b.close();
  });

  it("writes float16 with what belongs to the model, and refuses blocks", async () => {
    const folder = join(await target(), "..");
    const files = await findModelFiles("storybook-11m");
    await convertMamba(files, folder);
    expect(await readdir(folder)).toEqual([
      ...["config.json", "generation_config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"],
    ]);
    const [a, b] = [
      await readFile(new URL("../../models/storybook-11m/tokenizer.json", import.meta.url)),
      await readFile(join(folder, "tokenizer.json")),
    ];
    expect(b.equals(a)).toBe(true);
    const { tensors, close } = await readSafetensors(join(folder, "model.safetensors"));
    expect(new Set([...tensors.values()].map(({ dtype }) => dtype))).toEqual(new Set(["float16"]));
    await close();
    await expect(convertMamba(files, folder, { dtype: "int8" })).rejects.toThrow(ConfigError);
  });
});

describe("GGUF files as models", () => {
  const fields = (changed: Record<string, GgufField> = {}): [string, GgufField][] => {
    const uint32 = (value: number): GgufField => ({ type: "uint32", value });
    return Object.entries({
      "general.architecture": { type: "string", value: "mamba" },
      "mamba.embedding_length": uint32(4),
      "mamba.block_count": uint32(1),
      "mamba.ssm.conv_kernel": uint32(2),
      "mamba.ssm.inner_size": uint32(8),
      "mamba.ssm.state_size": uint32(2),
      "mamba.ssm.time_step_rank": uint32(1),
      "mamba.attention.layer_norm_rms_epsilon": { type: "float32", value: 1e-5 },
      ...changed,
    } as Record<string, GgufField>);
  };
  const parts: [string, number[]][] = [
    ["token_embd.weight", [10, 4]],
    ["output_norm.weight", [4]],
    ["blk.0.attn_norm.weight", [4]],
    ["blk.0.ssm_in.weight", [16, 4]],
    ["blk.0.ssm_conv1d.weight", [8, 2]],
    ["blk.0.ssm_conv1d.bias", [8]],
    ["blk.0.ssm_x.weight", [5, 8]],
    ["blk.0.ssm_dt.weight", [8, 1]],
    ["blk.0.ssm_dt.bias", [8]],
    ["blk.0.ssm_a", [8, 2]],
    ["blk.0.ssm_d", [8]],
    ["blk.0.ssm_out.weight", [4, 8]],
  ];
  const model = async (changed: Record<string, GgufField> = {}, A = -1, left?: string): Promise<FileSet> => {
    const tensors = parts
      .filter(([name]) => name !== left)
      .map(([name, shape]) => {
        const values = new Float32Array(shape.reduce((a, b) => a * b, 1)).fill(name.endsWith("ssm_a") ? A : 0.1);
        return floats(name, "F32", shape, values);
      });
    return findModelFiles(memoryFiles({ "model.gguf": await encodeGguf(tensors, fields(changed)) }));
  };

  it("need no other file", async () => {
    const device = await opened;
    const loaded = await loadMamba(await model(), { device });
    const sizes = { vocabSize: 10, dModel: 4, nLayer: 1, dInner: 8, dState: 2, dConv: 2, dtRank: 1 };
    const { initialisation: _, ...expected } = mambaConfig(sizes);
    expect(loaded.config).toMatchObject(expected);
    loaded.model.dispose();
  });

  it("are refused if they are of another architecture, lack a key or a tensor, or have an A above 0", async () => {
    const device = await opened;
    const load = async (files: FileSet) => loadMamba(files, { device });
    const other = await model({ "general.architecture": { type: "string", value: "llama" } });
    await expect(load(other)).rejects.toThrow(/general.architecture must be "mamba"; got "llama"/);
    const flat = await model({ "mamba.block_count": { type: "float32", value: 0.5 } });
    await expect(load(flat)).rejects.toThrow(/metadata: mamba.block_count must be a positive integer; got 0.5/);
    await expect(load(await model({}, -1, "blk.0.ssm_d"))).rejects.toThrow(/1 missing: "backbone.layers.0.mixer.D"/);
    for (const A of [1, Number.NaN]) {
      await expect(load(await model({}, A))).rejects.toThrow(CheckpointError);
      await expect(load(await model({}, A))).rejects.toThrow(/A must not be positive; element 0 is/);
    }
  });

  it("take their own metadata, not that of files beside them, unless there are other weights", async () => {
    const inner = await model();
    const bytes = await inner.open("model.gguf").then((source) => source.read(0, source.byteLength));
    const beside = { "config.json": '{"model_type": "gpt2"}' };
    const files = await findModelFiles(memoryFiles({ ...beside, "model.gguf": bytes }));
    expect(await readJson(files, "config.json")).toMatchObject({ model_type: "mamba", hidden_size: 4 });
    const both = await findModelFiles(memoryFiles({ ...beside, "model.gguf": bytes, "model.safetensors": "x" }));
    expect(await readJson(both, "config.json")).toEqual({ model_type: "gpt2" });
    const two = memoryFiles({ "a.gguf": bytes, "b.gguf": bytes });
    await expect(findModelFiles(two)).rejects.toThrow(/several: a.gguf, b.gguf/);
  });
});
