import { mkdtemp, readdir, readFile, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Command } from "commander";
import { describe, expect, it } from "vitest";
import { type FakeTerminal, fakeTerminal } from "../../../test/kit/fake-terminal.ts";
import { describeFailure } from "../failure.ts";
import { runCli, type Session } from "../program.ts";
import { addTrain } from "./train.ts";

interface Run {
  readonly exitCode: number;
  readonly terminal: FakeTerminal;
  readonly errors: string;
}

async function run(argv: string[]): Promise<Run> {
  const terminal = fakeTerminal();
  const session: Session = {
    terminal,
    exitCode: 0,
    writeJson: (value) => terminal.write(`${JSON.stringify(value)}\n`),
  };
  const program = new Command("mamba").exitOverride().configureOutput({ writeErr: () => {} });
  addTrain(program, session);
  try {
    await program.parseAsync(["train", ...argv, "--device", "wasm", "--threads", "0"], { from: "user" });
    return { exitCode: session.exitCode, terminal, errors: "" };
  } catch (error) {
    const { exitCode, message } = describeFailure(error, terminal);
    return { exitCode, terminal, errors: message };
  }
}

async function configFile(change: Record<string, unknown> = {}): Promise<{ path: string; folder: string }> {
  const folder = await mkdtemp(join(tmpdir(), "mamba-train-"));
  const config = {
    model: { dModel: 8, nLayer: 1, dState: 4 },
    data: { task: "induction-heads", vocabSize: 8 },
    length: 8,
    schedule: { name: "constant", peak: 0.02 },
    steps: 6,
    ...change,
  };
  const path = join(folder, "tiny.json");
  await writeFile(path, JSON.stringify(config));
  return { path, folder: join(folder, "run") };
}

const stepsOf = async (folder: string): Promise<number[]> =>
  (await readFile(join(folder, "metrics.jsonl"), "utf8"))
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line).step);

describe("mamba train", () => {
  it("trains a classifier, goes on with it, and tests it on rows drawn apart", async () => {
    const { path, folder } = await configFile({
      model: { classifier: { dModel: 8, nLayer: 1, mixer: { kind: "s4", dState: 4 }, dropout: 0.1 } },
      data: { task: "list-ops", maxDepth: 3, maxArguments: 3 },
      length: 16,
      validation: { every: 3, batches: 2 },
    });
    const first = await run([path, "--out", folder, "--json"]);
    expect([first.exitCode, first.errors]).toEqual([0, ""]);
    expect(JSON.parse(first.terminal.output)).toMatchObject({ steps: 6, validationAccuracy: expect.any(Number) });
    expect((await readdir(join(folder, "model"))).sort()).toEqual(["config.json", "model.safetensors"]);
    const again = await run([path, "--out", folder, "--resume", "--steps", "8"]);
    expect([again.exitCode, again.errors]).toEqual([0, ""]);
    expect(await stepsOf(folder)).toEqual([1, 2, 3, 4, 5, 6, 7, 8]);
    const terminal = fakeTerminal();
    const flags = ["--config", path, "--lengths", "16,24", "--samples", "16", "--json"];
    expect(await runCli(["eval", join(folder, "model"), ...flags], terminal)).toBe(0);
    const numbers = { count: 16, loss: expect.any(Number), accuracy: expect.any(Number) };
    expect(JSON.parse(terminal.output)).toMatchObject({
      rows: [
        { length: 16, ...numbers },
        { length: 24, ...numbers },
      ],
    });
    const check = await run([path, "--overfit-check", "--steps", "2"]);
    expect([check.exitCode, check.errors]).toEqual([1, ""]);
    const sweep = await run([path, "--lr-sweep", "0.01,0.1", "--steps", "1"]);
    expect([sweep.exitCode, sweep.errors]).toEqual([0, ""]);
  });

  it("leaves metrics, curves, the configuration and provenance, and goes on where it was told to", async () => {
    const { path, folder } = await configFile();
    const first = await run([path, "--out", folder, "--json", "--seed", "7"]);
    expect([first.exitCode, first.errors]).toEqual([0, ""]);
    expect(JSON.parse(first.terminal.output)).toMatchObject({ folder, steps: 6, loss: expect.any(Number) });
    expect(await stepsOf(folder)).toEqual([1, 2, 3, 4, 5, 6]);
    expect(JSON.parse(await readFile(join(folder, "config.json"), "utf8"))).toMatchObject({ seed: 7, batch: 8 });
    const provenance = JSON.parse(await readFile(join(folder, "provenance.json"), "utf8"));
    expect(Object.keys(provenance)).toEqual(["version", "node", "seed", "device", "features", "threads"]);
    expect((await readFile(join(folder, "loss.png"))).subarray(1, 4).toString()).toBe("PNG");
    expect((await readdir(folder)).sort()).toEqual([
      ...["config.json", "last.safetensors", "loss.png", "loss.svg", "metrics.jsonl", "model", "provenance.json"],
    ]);
    expect((await readdir(join(folder, "model"))).sort()).toEqual(["config.json", "model.safetensors"]);
    const again = await run([path, "--out", folder, "--resume", "--steps", "8"]);
    expect([again.exitCode, again.errors]).toEqual([0, ""]);
    expect(again.terminal.output).toMatch(/^8 steps in .*: loss \d\.\d{4}; the model is .*run\/model\n$/);
    expect(await stepsOf(folder)).toEqual([1, 2, 3, 4, 5, 6, 7, 8]);
    const terminal = fakeTerminal();
    const lengths = ["--lengths", "8,300", "--samples", "3", "--json"];
    expect(await runCli(["eval", join(folder, "model"), "--config", path, ...lengths], terminal)).toBe(0);
    expect(JSON.parse(terminal.output)).toMatchObject({
      rows: [
        { length: 8, samples: 3, predictions: 3, accuracy: expect.any(Number) },
        { length: 300, samples: 3, loss: expect.any(Number) },
      ],
    });
    const over = await run([path, "--out", folder, "--resume", "--steps", "8", "--json"]);
    expect(JSON.parse(over.terminal.output)).toMatchObject({ steps: 8, loss: expect.any(Number) });
    const third = await run([path, "--out", folder]);
    expect([third.exitCode, third.errors]).toEqual([1, expect.stringMatching(/must not hold another run/)]);
  });

  it("trains the transformer baseline on the same harness, and measures it again from its folder", async () => {
    const transformer = { dModel: 8, nLayer: 1, heads: 2 };
    const { path, folder } = await configFile({ model: { transformer }, validation: { every: 6, batches: 32 } });
    const trained = await run([path, "--out", folder, "--json"]);
    expect([trained.exitCode, trained.errors]).toEqual([0, ""]);
    const { validationLoss, validationAccuracy } = JSON.parse(trained.terminal.output);
    const terminal = fakeTerminal();
    const flags = ["--config", path, "--samples", "256", "--json"];
    expect(await runCli(["eval", join(folder, "model"), ...flags], terminal)).toBe(0);
    const [row] = JSON.parse(terminal.output).rows;
    expect(row.loss).toBeCloseTo(validationLoss, 6);
    expect(row.accuracy).toBe(validationAccuracy);
    const wrong = await run([(await configFile({ model: { transformer }, lora: {} })).path, "--overfit-check"]);
    expect(wrong.errors).toMatch(/lora must go with a Mamba model/);
  });

  it("checks that one batch can be learnt by heart", async () => {
    const { path } = await configFile();
    const good = await run([path, "--overfit-check", "--json"]);
    expect([good.exitCode, JSON.parse(good.terminal.output)]).toMatchObject([0, { learnt: true }]);
    const short = await run([path, "--overfit-check", "--steps", "2"]);
    expect(short.exitCode).toBe(1);
    expect(short.terminal.output).toMatch(/^not learnt: the loss must fall below 0\.05: loss .* in 2 steps\n$/);
  });

  it("compares learning rates from the same parameters, and says which diverged", async () => {
    const { path } = await configFile();
    const { terminal } = await run([path, "--lr-sweep", "1e-5,0.02,1e30", "--steps", "60", "--json"]);
    const { runs } = JSON.parse(terminal.output);
    expect(runs.map(({ diverged }: { diverged: boolean }) => diverged)).toEqual([false, false, true]);
    expect(runs[1].loss).toBeLessThan(runs[0].loss);
    const table = await run([path, "--lr-sweep", "1e-3,1e30", "--steps", "20"]);
    expect(table.terminal.output).toMatch(/^learning rate +steps +loss\n1e-3 +20 +\d\.\d{4}\n1e\+30 +\d+ +diverged\n$/);
  });

  it("fails when the loss is no number any more, and draws what there was", async () => {
    const { path, folder } = await configFile({
      optimizer: { name: "sgd", momentum: 0 },
      schedule: { name: "constant", peak: 1e30 },
    });
    const { exitCode, errors } = await run([path, "--out", folder]);
    expect(exitCode).toBe(1);
    expect(errors).toMatch(/must stay finite; at step \d+ the loss is NaN.*lower the rate/);
    expect(await readFile(join(folder, "loss.svg"), "utf8")).not.toContain("NaN");
  });

  it.each<[Record<string, unknown>, string[], number, RegExp]>([
    [{ stps: 1 }, [], 1, /stps is not a known key.*"steps"/],
    [{ model: { dModel: 8, nLayer: 1, vocabSize: 4 } }, [], 1, /model\.vocabSize must be at least the 8 ids/],
    [{}, ["--overfit-check", "--resume"], 2, /only one of/],
    [{}, ["--lr-sweep", "1,x"], 2, /must be a number/],
    [{}, ["--lr-sweep", "1,1"], 2, /must differ/],
    [{}, ["--steps", "0"], 2, /whole number from 1 up/],
    [{}, ["--resume"], 1, /must hold a run to resume/],
  ])("refuses %j with %j", async (change, flags, expectedCode, expected) => {
    const { path, folder } = await configFile(change);
    const { exitCode, errors, terminal } = await run([path, "--out", folder, ...flags]);
    expect(errors).toMatch(expected);
    expect([exitCode, terminal.output]).toEqual([expectedCode, ""]);
  });

  it("refuses a folder that cannot be made", async () => {
    const { path } = await configFile();
    const { exitCode, errors } = await run([path, "--out", join(path, "inside")]);
    expect(exitCode).toBe(1);
    expect(errors).toMatch(/must be a folder that can be written/);
  });
});
