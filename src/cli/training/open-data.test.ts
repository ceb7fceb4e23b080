import { mkdtemp, readdir, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { fakeTerminal } from "../../../test/kit/fake-terminal.ts";
import { readTrainConfig } from "../../training/index.ts";
import { openData, type TrainingData } from "./open-data.ts";

const flags = {};

async function openText(data: Record<string, unknown>, length = 8, cacheFolder?: string): Promise<TrainingData> {
  const config = readTrainConfig({ model: { dModel: 8, nLayer: 1 }, data, steps: 1, batch: 2, length });
  return openData(config, { tokenizer: undefined, flags, cacheFolder }, fakeTerminal());
}

async function textFile(text: string): Promise<string> {
  const path = join(await mkdtemp(join(tmpdir(), "mamba-data-")), "text.txt");
  await writeFile(path, text);
  return path;
}

describe("openData", () => {
  it("reads text as bytes, the end of it for validation", async () => {
    const path = await textFile("abcdefghij".repeat(20));
    const data = await openText({ text: path, validationShare: 0.1, mode: "streamed" });
    const first = await data.training.batch(0);
    expect(String.fromCharCode(...first.ids.subarray(0, 8))).toBe("abcdefgh");
    expect(String.fromCharCode(...first.targets.subarray(0, 8))).toBe("bcdefghi");
    expect([data.training.vocabSize, data.validationBatches]).toEqual([256, 2]);
    expect(Object.keys(data.tokenizerFiles)).toEqual(["tokenizer.json"]);
    await data.close();
  });

  it("takes a model's tokenizer, and puts its end-of-text token behind every document", async () => {
    const path = await textFile("Once upon a time.##There was a cat.");
    const folder = await mkdtemp(join(tmpdir(), "mamba-data-"));
    const data = await openText(
      { text: path, validationShare: 0, separator: "##", tokenizer: "storybook-11m", mode: "packed" },
      12,
      folder,
    );
    const { ids, targets, segmentIds } = await data.training.batch(0);
    expect(data.validation).toBeUndefined();
    expect(Array.from(segmentIds!.slice(0, 12)).filter((segment, i, all) => segment !== all[i - 1])).toEqual(
      expect.arrayContaining([0]),
    );
    // id 0 is the end of text; it is predicted and never predicts
    const ends = Array.from(targets).flatMap((target, i) => (target === 0 ? [i] : []));
    expect(ends.length).toBeGreaterThan(1);
    for (const i of ends) expect([0, undefined]).toContain(ids[i + 1]);
    await data.close();
    expect(await readdir(folder)).toEqual(["training.tokens"]);
    await writeFile(path, "changed");
    const again = await openText(
      { text: path, validationShare: 0, separator: "##", tokenizer: "storybook-11m", mode: "packed" },
      12,
      folder,
    );
    expect((await again.training.batch(0)).ids).toEqual(ids);
    await again.close();
  });

  it.each<[string, Record<string, unknown>, RegExp]>([
    ["too short", { validationShare: 0 }, /need data of at least 9 tokens; it holds 5/],
    ["not there", { text: "/nowhere/at/all.txt" }, /must be a text file or a folder/],
    ["without a tokenizer", { tokenizer: "nowhere/at/all" }, /must be a folder, a weights file/],
  ])("says so when data is %s", async (_, change, expected) => {
    await expect(openText({ text: await textFile("short"), ...change })).rejects.toThrow(expected);
  });
});
