import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from "vitest";
import { type HubSession, startHubSession } from "../../test/kit/hub-session.ts";
import { readJson } from "../checkpoints/index.ts";
import { CheckpointError, HubError } from "../tensor/errors.ts";
import { convertMamba } from "./convert-mamba.ts";
import { findModelFiles } from "./open-pretrained.ts";

const ID = "acme/tiny-GGUF";
const fixture = fileURLToPath(new URL("../../test/fixtures/hf-mamba-tied", import.meta.url));
const contents: Record<string, Uint8Array> = {};
let session: HubSession;

beforeAll(async () => {
  const folder = await mkdtemp(join(tmpdir(), "hub-gguf-"));
  for (const [type, dtype] of [["Q8_0", "int8"] as const, ["F16", "float16"] as const]) {
    const path = join(folder, `tiny-${type}.gguf`);
    await convertMamba(await findModelFiles(fixture), path, { dtype, name: type });
    contents[`tiny-${type}.gguf`] = new Uint8Array(await readFile(path));
  }
  await rm(folder, { recursive: true });
});

afterAll(() => {
  for (const name of Object.keys(contents)) delete contents[name];
});

beforeEach(async () => {
  session = await startHubSession();
  session.hub.publish(ID, { files: { "README.md": "two files", ...contents } });
  vi.stubEnv("HF_ENDPOINT", session.hub.url);
});

afterEach(async () => {
  vi.unstubAllEnvs();
  await session.close();
});

const find = (source: string) => findModelFiles(source, { cacheDir: session.cacheDir, token: "" });

describe("a GGUF file on the hub", () => {
  it.each([`${ID}:tiny-Q8_0.gguf`, `${ID}:Q8_0`, `hf:${ID}:q8_0`, `hf:${ID}/tiny-Q8_0.gguf`])(
    "comes alone, with its configuration, by the name %s",
    async (source) => {
      const files = await find(source);
      expect(await readJson(files, "config.json")).toMatchObject({ model_type: "mamba" });
      const bytes = await files.open("tiny-Q8_0.gguf");
      expect(bytes.byteLength).toBe(contents["tiny-Q8_0.gguf"]!.length);
      await bytes.close();
      expect((await session.cacheEntries()).some((name) => name.endsWith("tiny-F16.gguf"))).toBe(false);
    },
  );

  it("is told from another that was pulled before", async () => {
    await find(`${ID}:Q8_0`);
    const files = await find(`${ID}:F16`);
    expect((await files.list()).filter((name) => name.endsWith(".gguf"))).toEqual(["tiny-F16.gguf"]);
  });

  it("is refused with the names that there are if none or several fit", async () => {
    await expect(find(`${ID}:Q5_K`)).rejects.toThrow(
      /"Q5_K" must name one GGUF file.*it names none; the model has tiny-\w+\.gguf, tiny-\w+\.gguf$/,
    );
    session.hub.publish("acme/both", { files: { "a-Q8_0.gguf": "1", "b-Q8_0.gguf": "2" } });
    await expect(find("acme/both:Q8_0")).rejects.toThrow(HubError);
    await expect(find("acme/both/Q8_0")).rejects.toThrow(CheckpointError);
  });
});
