import { existsSync, watch } from "node:fs";
import { mkdir, mkdtemp, readdir, readFile, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import { buildCommand, finish, runJson, start } from "./kit/command.ts";

beforeAll(buildCommand, 120_000);

const config = {
  // large enough that writing a checkpoint takes a while
  model: { dModel: 64, nLayer: 4, vocabSize: 512 },
  data: { task: "induction-heads" },
  schedule: { peak: 0.01 },
  steps: 16,
  batch: 2,
  length: 16,
  microBatches: 2,
  average: 0.9,
  validation: { every: 4, batches: 1 },
  checkpointEvery: 1,
};

/** Resolves when a checkpoint is being written after `count` have been. */
function whenWriting(folder: string, count: number): Promise<string> {
  return new Promise((resolve) => {
    let started = 0;
    const watcher = watch(folder, (event, name) => {
      if (event !== "rename" || !name?.startsWith(".last.safetensors.") || !existsSync(join(folder, name))) return;
      if (++started <= count) return;
      watcher.close();
      resolve(name);
    });
  });
}

describe("a run that is killed", () => {
  it("twice in the middle of writing a checkpoint ends with the bytes of one that was not", async () => {
    const folder = await mkdtemp(join(tmpdir(), "mamba-kill-"));
    const path = join(folder, "config.json");
    await writeFile(path, JSON.stringify(config));
    const [whole, cut] = [join(folder, "whole"), join(folder, "cut")];
    const flags = ["--device", "wasm", "--threads", "1"];
    await runJson("train", path, "--out", whole, ...flags);
    // made beforehand, so that it can be watched
    await mkdir(cut);
    const left: string[] = [];
    for (const resume of [[], ["--resume"]]) {
      const child = start("train", path, "--out", cut, ...flags, ...resume);
      const ended = finish(child);
      left.push(await whenWriting(cut, 3));
      child.kill("SIGKILL");
      expect((await ended).exitCode).toBe(null);
    }
    // the process died before it could rename or remove what it wrote
    expect((await readdir(cut)).filter((name) => name.endsWith(".tmp"))).toEqual([left[1]]);
    const report = await runJson("train", path, "--out", cut, ...flags, "--resume");
    expect(report["steps"]).toBe(16);
    for (const name of ["last.safetensors", "best.safetensors", "model/model.safetensors"]) {
      const [expected, actual] = await Promise.all([whole, cut].map((run) => readFile(join(run, name))));
      expect(actual!.equals(expected!), name).toBe(true);
    }
    const lines = async (run: string): Promise<unknown[]> =>
      (await readFile(join(run, "metrics.jsonl"), "utf8"))
        .trimEnd()
        .split("\n")
        .map((line) => {
          const { step, loss, gradNorm, validationLoss } = JSON.parse(line);
          return { step, loss, gradNorm, validationLoss };
        });
    expect(await lines(cut)).toEqual(await lines(whole));
    expect((await readdir(cut)).filter((name) => name.endsWith(".tmp"))).toEqual([]);
  }, 60_000);
});
