import { mkdtemp, readFile, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { fakeTerminal } from "../../../test/kit/fake-terminal.ts";
import type { TrainingMetrics } from "../../training/index.ts";
import { defaultRunFolder, readConfigFile } from "./config-file.ts";
import { RunFolder } from "./run-folder.ts";
import { formatDuration, renderTraining, TrainingProgress } from "./training-progress.ts";

const temporary = (): Promise<string> => mkdtemp(join(tmpdir(), "mamba-run-"));
const line = (step: number): TrainingMetrics => ({
  step,
  loss: 4 / step,
  learningRate: 1e-3,
  gradNorm: 0.5,
  tokensPerSecond: 12_345,
  memory: 2 ** 20,
});

describe("the folder of a run", () => {
  it("keeps the lines up to the step that a run goes on from, and drops a line that was cut off", async () => {
    const path = join(await temporary(), "deep", "run");
    const first = RunFolder.open(path, { resume: false });
    expect(await first.startMetrics(0)).toEqual([]);
    for (const step of [1, 2, 3]) first.append(line(step));
    await writeFile(join(path, "metrics.jsonl"), `${await readFile(join(path, "metrics.jsonl"), "utf8")}{"step":4,"lo`);
    const again = RunFolder.open(path, { resume: true });
    expect(await again.startMetrics(2)).toEqual([line(1), line(2)]);
    again.append(line(3));
    const text = await readFile(join(path, "metrics.jsonl"), "utf8");
    expect(
      text
        .trimEnd()
        .split("\n")
        .map((one) => JSON.parse(one).step),
    ).toEqual([1, 2, 3]);
    await again.drawLoss("a run", [line(1), { ...line(2), validationLoss: 3 }]);
    expect(again.list()).toEqual(["loss.png", "loss.svg", "metrics.jsonl"]);
    expect(await readFile(join(path, "loss.svg"), "utf8")).toContain("validation");
  });

  it("refuses a folder in use, one without a run to resume, and one that cannot be made", async () => {
    const path = await temporary();
    expect(() => RunFolder.open(path, { resume: true })).toThrow(/must hold a run to resume; it holds none/);
    await RunFolder.open(path, { resume: false }).startMetrics(0);
    expect(() => RunFolder.open(path, { resume: false })).toThrow(/must not hold another run.*--resume/);
    const file = join(path, "file");
    await writeFile(file, "");
    expect(() => RunFolder.open(join(file, "run"), { resume: false })).toThrow(/can be written; it cannot \(ENOTDIR\)/);
  });
});

describe("readConfigFile", () => {
  it("reads JSON and modules, and says what is wrong with others", async () => {
    const folder = await temporary();
    const write = async (name: string, text: string): Promise<string> => {
      await writeFile(join(folder, name), text);
      return join(folder, name);
    };
    expect(await readConfigFile(await write("a.json", '{"steps":3}'))).toEqual({ steps: 3 });
    expect(await readConfigFile(await write("b.mjs", "export default { steps: 1 + 3 };"))).toEqual({ steps: 4 });
    await expect(readConfigFile(await write("c.json", "{"))).rejects.toThrow(/c\.json: must be JSON/);
    await expect(readConfigFile(await write("d.mjs", "export const x = 1;"))).rejects.toThrow(/no default export/);
    await expect(readConfigFile(await write("e.mjs", "throw new Error('no')"))).rejects.toThrow(
      /must be a module that runs; no/,
    );
    await expect(readConfigFile(join(folder, "none.json"))).rejects.toThrow(/no such file/);
    expect(defaultRunFolder("a/b/induction-heads.json")).toBe("runs/induction-heads");
  });
});

describe("progress of training", () => {
  it("fits one line of the terminal", () => {
    const text = renderTraining(line(4), [4, 2, 1.33, 1], 2000, 187, 200);
    expect(text).toBe("4/2000  loss 1.0000 █▃▁▁  lr 1.0e-3  norm 0.50  12k tok/s  1.0 MiB  3:07 left");
    expect(renderTraining(line(4), [4, 2], 2000, 187, 40)).toHaveLength(39);
    expect([0.4, 42, 187, 7500].map(formatDuration)).toEqual(["0 s", "42 s", "3:07", "2:05:00"]);
  });

  it("is shown where a person sees it and taken away at the end", () => {
    const watched = fakeTerminal({ watched: true });
    const progress = new TrainingProgress(watched, 10, [5]);
    progress.update(line(1));
    progress.clear();
    const [before, shown, after] = watched.errors.split("\r\u001b[K");
    expect(shown).toMatch(/^1\/10 {2}loss 4\.0000 █▁/);
    expect([before, after]).toEqual(["", ""]);
    const unwatched = fakeTerminal();
    new TrainingProgress(unwatched, 10).update(line(1));
    expect(unwatched.errors).toBe("");
  });
});
