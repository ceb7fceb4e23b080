import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, it, vi } from "vitest";
import { fakeTerminal } from "../../../test/kit/fake-terminal.ts";
import { mambaConfig } from "../../models/index.ts";
import { openDevice } from "../../ops/devices.ts";
import { loadEntries, loadMamba } from "../../pretrained/load-mamba.ts";
import { findModelFiles } from "../../pretrained/open-pretrained.ts";
import { ModelMeasures } from "../bench/measures.ts";
import { randomEntries } from "../bench/random-entries.ts";
import { writeRandomGguf } from "../bench/random-gguf.ts";
import type { BenchReport } from "../bench/report.ts";
import { comparePairs, median, medianInterval } from "../bench/statistics.ts";
import { runCli } from "../program.ts";

const fixture = fileURLToPath(new URL("../../../test/fixtures/hf-mamba-tied", import.meta.url));
const small = mambaConfig({ dModel: 64, nLayer: 2, vocabSize: 300, paddedVocabSize: 304 });
// of sizes that decode takes whole
const tiny = mambaConfig({ dModel: 16, nLayer: 1, dState: 4, dtRank: 8, vocabSize: 32 });

describe("mamba bench", () => {
  it("measures what was asked, in one JSON object", async () => {
    const terminal = fakeTerminal();
    const options = ["--prompt", "6", "--tokens", "3", "--depth", "0,4", "--batch", "1,2", "--runs", "2"];
    const types = ["--formats", "float32,float16", "--threads", "1,2"];
    expect(await runCli(["bench", "--model", fixture, ...options, ...types, "--json"], terminal)).toBe(0);
    const report = JSON.parse(terminal.output) as BenchReport;
    const tests = ["pp6", "tg3", "pp6 @ d4", "tg3 @ d4", "tg3 b1", "tg3 b2"];
    const kinds = [1, 2].flatMap((threads) => tests.map((test) => `${threads} ${test}`));
    for (const format of ["float32", "float16"]) {
      const rows = report.rows.filter((row) => row.format === format);
      expect(rows.map(({ threads, test }) => `${threads} ${test}`)).toEqual(kinds);
      for (const { tokensPerSecond, seconds } of rows) {
        expect(tokensPerSecond).toBeGreaterThan(0);
        expect(seconds).toHaveLength(2);
      }
    }
    const [float32, , float16] = report.memory;
    expect(float16!.weightBytes).toBeLessThan(float32!.weightBytes);
    expect(report).toMatchObject({ cores: expect.any(Number), node: process.version, model: fixture });
  });

  it("says what to install where there is no llama.cpp", async () => {
    const folder = await mkdtemp(join(tmpdir(), "bench-none-"));
    const cwd = vi.spyOn(process, "cwd").mockReturnValue(folder);
    const terminal = fakeTerminal();
    expect(await runCli(["bench", "--model", fixture, "--peer", "llama", "--json"], terminal)).toBe(1);
    expect(JSON.parse(terminal.output)).toMatchObject({ error: { code: "PEER" } });
    expect(terminal.errors).toContain("run npm install node-llama-cpp");
    cwd.mockRestore();
    await rm(folder, { recursive: true });
  });

  it.each([
    ["--formats", "int5"],
    ["--batch", "0"],
    ["--peer", "other"],
  ])("refuses %s %s", async (option, value) => {
    expect(await runCli(["bench", option, value], fakeTerminal())).toBe(2);
  });
});

describe("statistics", () => {
  it("gives the middle and the order statistics that cover it", () => {
    expect(median([3, 1, 2])).toBe(2);
    expect(median([4, 1, 2, 3])).toBe(2.5);
    // P(all of 7 on one side) is 2/128, of at most one 16/128
    expect(medianInterval([7, 6, 5, 4, 3, 2, 1])).toEqual([1, 7]);
    expect(medianInterval([9, 8, 7, 6, 5, 4, 3, 2, 1])).toEqual([2, 8]);
    expect(medianInterval([2, 1])).toEqual([1, 2]);
  });

  it("alternates and compares pair by pair", async () => {
    const order: string[] = [];
    const program = (name: string, seconds: number[]) => ({
      measure: async () => {
        order.push(name);
        return seconds.shift()!;
      },
    });
    const result = await comparePairs(program("a", [9, 1, 2, 4]), program("b", [9, 2, 6, 4]), "decode 1", 3);
    expect(order.join("")).toBe("abababab");
    expect(result).toEqual({ a: 2, b: 4, speedup: 2, interval: [1, 3] });
  });
});

describe("a random model", () => {
  it("is the same whichever part of it is read, in memory and in a file", async () => {
    const entries = randomEntries(small);
    const entry = entries.get("backbone.layers.1.mixer.inProj.weight")!;
    expect([...(await entry.read()).slice(70, 90)]).toEqual([...(await entry.read(70, 90))]);
    const folder = await mkdtemp(join(tmpdir(), "bench-random-"));
    const device = await openDevice("wasm", { threads: 1 });
    await writeRandomGguf(join(folder, "small.gguf"), small, "float32");
    const fromFile = await loadMamba(await findModelFiles(join(folder, "small.gguf")), { device });
    const fromMemory = await loadEntries(entries, small, { device }, "small");
    const other = fromFile.model.parameters.backbone.layers[1]!.mixer.inProj.weight;
    const own = fromMemory.model.parameters.backbone.layers[1]!.mixer.inProj.weight;
    expect(await other.read()).toEqual(await own.read());
    device.dispose();
    await rm(folder, { recursive: true });
  });

  it("decodes ten thousand tokens in the memory of the first hundred", async () => {
    const device = await openDevice("wasm", { threads: 1 });
    const { model } = await loadEntries(randomEntries(tiny), tiny, { device }, "tiny");
    const measures = new ModelMeasures(model);
    await measures.measure("decode 100");
    const { used, peak, buffers } = device.memory();
    await measures.measure("decode 10000");
    expect(device.memory()).toMatchObject({ used, peak, buffers });
    measures.dispose();
    device.dispose();
  });
});
