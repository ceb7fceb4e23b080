import { mkdtemp, readdir } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { openFolder } from "#platform";
import { MambaLM, mambaConfig } from "../models/index.ts";
import { openDevice } from "../ops/devices.ts";
import { flattenParameters } from "../tensor/parameters.ts";
import { byteTokenizerFile } from "../text/index.ts";
import { CausalLM } from "./causal-lm.ts";
import { loadMamba } from "./load-mamba.ts";
import { saveMamba } from "./save-mamba.ts";

describe.each([true, false])("saveMamba, head tied: %s", (tieEmbeddings) => {
  it("writes a folder that gives the same model and generates text", async () => {
    const device = await openDevice("wasm", { threads: 0 });
    const config = mambaConfig({ vocabSize: 256, dModel: 8, nLayer: 2, tieEmbeddings, bias: !tieEmbeddings });
    const model = MambaLM.create(config, { device, seed: 9 });
    const folder = await mkdtemp(join(tmpdir(), "mamba-save-"));
    const own = flattenParameters(model.parameters);
    await saveMamba(folder, config, own, { files: { "tokenizer.json": byteTokenizerFile() } });
    expect((await readdir(folder)).sort()).toEqual(["config.json", "model.safetensors", "tokenizer.json"]);
    const loaded = await loadMamba(await openFolder(folder), { device, pack: false });
    expect(loaded.warnings).toEqual([]);
    expect(loaded.config).toEqual(config);
    const again = flattenParameters(loaded.model.parameters);
    expect([...again.keys()].sort()).toEqual([...own.keys()].sort());
    for (const [name, tensor] of again) expect(await tensor.read()).toEqual(await own.get(name)!.read());
    const lm = await CausalLM.fromPretrained(folder, { device });
    const { tokens } = await lm.generate("bytes", { maxNewTokens: 5, seed: 1 });
    expect(tokens.every((id) => id >= 0 && id < 256)).toBe(true);
    expect(lm.tokenizer.encode("ab")).toEqual([97, 98]);
  });
});
