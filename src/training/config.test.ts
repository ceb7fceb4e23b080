import { readdirSync, readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { ConfigError } from "../tensor/errors.ts";
import {
  classifierConfigOf,
  modelConfigOf,
  optimizerOf,
  readTrainConfig,
  scheduleOf,
  type TrainConfig,
  trainConfigSchema,
} from "./config.ts";

import { taskSource } from "./config-task.ts";

const examples = new URL("../../examples/", import.meta.url);

const smallest: TrainConfig = {
  model: { dModel: 8, nLayer: 1 },
  data: { task: "induction-heads" },
  steps: 10,
};

describe("a training configuration", () => {
  it("gets the documented defaults", () => {
    expect(readTrainConfig(smallest)).toEqual({
      model: { dModel: 8, nLayer: 1 },
      data: expect.objectContaining({ task: "induction-heads" }),
      optimizer: { name: "adamW" },
      schedule: { name: "cosine", peak: 1e-3, warmup: 0, end: 0 },
      steps: 10,
      batch: 8,
      length: 256,
      microBatches: 1,
      precision: "float32",
      seed: 0,
      checkpointEvery: 1000,
    });
  });

  it("stays as it is when it is read again", () => {
    const once = readTrainConfig({ ...smallest, validation: {}, optimizer: { groups: [{ match: "A_log$" }] } });
    expect(readTrainConfig(JSON.parse(JSON.stringify(once)))).toEqual(once);
  });

  it.each<[Record<string, unknown>, RegExp]>([
    [{ stps: 3 }, /stps is not a known key; .*did you mean "steps"\?/],
    [{ model: { dmodel: 8, nLayer: 1 } }, /model\.dmodel is not a known key.*did you mean "dModel"/],
    [{ model: { dModel: 8, nLayr: 1 } }, /model\.nLayr is not a known key.*"nLayer"/],
    [{ model: { dModel: 8 } }, /model\.nLayer must be a whole number from 1 up; got nothing; add "nLayer"/],
    [
      { model: { classifier: { dModel: 8, nLayer: 1, mixer: { kind: "mamba" } } } },
      /data must be labelled sequences for this model; got \{"task":"induction-heads"/,
    ],
    [{ data: { task: "list-ops" } }, /data must be text or another task for this model/],
    [
      { model: { classifier: { dModel: 8, nLayer: 1, mixer: { kind: "s5" } } } },
      /model\.classifier\.mixer\.kind must be one of s4, lssl, mamba, attention; .*did you mean "s4"/,
    ],
    [{ data: { images: "mnist" } }, /data\.folder must be text that is not empty; got nothing; add "folder"/],
    [{ model: { dModel: 8.5, nLayer: 1 } }, /model\.dModel must be a whole number from 1 up; got 8\.5/],
    [{ model: { dModel: "8", nLayer: 1 } }, /model\.dModel must be a whole number.*got "8"/],
    [{ model: {} }, /model must have one of dModel, preset, transformer, classifier, from/],
    [{ model: { dModel: 8, nLayer: 1, from: "x" } }, /model must have only one of .*it has dModel and from/],
    [{ model: { preset: "mamba-130" } }, /model\.preset must be one of mamba-130m.*did you mean "mamba-130m"/],
    [{ model: null }, /model must be a record|model.*got nothing/],
    [{ data: { task: "induction" } }, /data\.task must be one of induction-heads, .*did you mean "induction-heads"/],
    [{ data: { task: "induction-heads", mode: "packed" } }, /data\.mode is not a known key/],
    [{ data: { text: [] } }, /data\.text must be text that is not empty, or a list of at least one; got \[\]/],
    [{ data: { text: ["a", 3] } }, /data\.text\[1\] must be text that is not empty; got 3/],
    [{ steps: 0 }, /steps must be a whole number from 1 up; got 0/],
    [{ steps: Number.NaN }, /steps must be a whole number/],
    [{ schedule: { peak: 0 } }, /schedule\.peak must be a number above 0; got 0/],
    [{ schedule: { peak: 1, end: 2 } }, /schedule\.end must be at most schedule\.peak 1; got 2/],
    [{ schedule: { warmup: 10 } }, /schedule\.warmup must be below steps 10; got 10/],
    [{ optimizer: { betas: [0.9] } }, /optimizer\.betas must be a list of 2; got \[0\.9\]/],
    [{ optimizer: { betas: [0.9, 2] } }, /optimizer\.betas\[1\] must be a number from 0 to 1; got 2/],
    [{ optimizer: { groups: [{ match: "(" }] } }, /optimizer\.groups\[0\]\.match must be a regular expression/],
    [{ batch: 8, microBatches: 3 }, /microBatches must divide batch 8; got 3/],
    [{ toString: 1 }, /toString is not a known key/],
  ])("refuses %j with its path", (change, expected) => {
    const attempt = () => readTrainConfig({ ...smallest, ...change });
    expect(attempt).toThrow(ConfigError);
    expect(attempt).toThrow(expected);
  });

  it.each([null, 3, "x", [], undefined])("refuses %j as a whole", (given) => {
    expect(() => readTrainConfig(given)).toThrow(/training configuration: it must be a record/);
  });

  it("describes classifiers; what the data says comes from the data", () => {
    const classifier = { dModel: 8, nLayer: 1, mixer: { kind: "s4", structure: "low-rank" } } as const;
    const given = readTrainConfig({ model: { classifier }, data: { task: "list-ops" }, steps: 1, length: 50 });
    const mixer = { kind: "s4", structure: "low-rank", dState: 64, kernelLength: 50 };
    expect(classifierConfigOf(given, { input: { vocabSize: 16 }, classes: 10 })).toEqual({
      ...{ vocabSize: 16, classes: 10, dModel: 8, nLayer: 1, mixer },
    });
    const lora = { ...given, lora: { rank: 2 } };
    expect(() => readTrainConfig(lora)).toThrow(/lora must be left out with model.classifier/);
    expect(() => readTrainConfig({ ...given, recompute: "layer" })).toThrow(/recompute must be left out/);
  });

  it("makes the schedule it describes", () => {
    const config = readTrainConfig({ ...smallest, schedule: { name: "linear", peak: 2, end: 1 } });
    expect([0, 5, 10].map(scheduleOf(config))).toEqual([2, 1.5, 1]);
    const constant = readTrainConfig({ ...smallest, schedule: { name: "constant", peak: 0.5, warmup: 2 } });
    expect([0, 1, 99].map(scheduleOf(constant))).toEqual([0.25, 0.5, 0.5]);
    expect(optimizerOf(readTrainConfig({ ...smallest, optimizer: { name: "sgd" } })).name).toBe("sgd");
  });

  it("gives the model the ids of the data, or more on request, never fewer", () => {
    expect(modelConfigOf({ dModel: 8, nLayer: 1 }, 16)).toMatchObject({ vocabSize: 16, paddedVocabSize: 16 });
    expect(modelConfigOf({ dModel: 8, nLayer: 1, vocabSize: 20, selective: false }, 16)).toMatchObject({
      vocabSize: 20,
      selective: false,
    });
    expect(modelConfigOf({ preset: "mamba-130m" }, 256)).toMatchObject({ vocabSize: 50277, dModel: 768 });
    expect(modelConfigOf({ preset: "mamba-130m", vocabSize: 256 }, 256)).toMatchObject({ paddedVocabSize: 256 });
    expect(() => modelConfigOf({ dModel: 8, nLayer: 1, vocabSize: 10 }, 16)).toThrow(/at least the 16 ids.*got 10/);
  });

  it.each([
    ["induction-heads", {}, 32],
    ["selective-copying", { tokens: 5 }, 42],
    ["associative-recall", { pairs: 3 }, 32],
  ])("gives the batches of %s, other ones for validation", async (task, sizes, length) => {
    const config = readTrainConfig({ ...smallest, batch: 2, length: 32, data: { task, ...sizes } });
    const [training, again, validation] = (["training", "training", "validation"] as const).map((part) =>
      taskSource(config, part)!.batch(3),
    );
    expect(await training).toMatchObject({ batch: 2, length });
    expect(await again).toEqual(await training);
    expect((await validation)!.ids).not.toEqual((await training)!.ids);
    expect(taskSource(readTrainConfig({ ...smallest, data: { text: "a" } }), "training")).toBeUndefined();
  });

  it("asks once in a row of validation, however often training asks", async () => {
    const data = { task: "induction-heads", queries: 6 };
    const config = readTrainConfig({ ...smallest, batch: 20, length: 32, data });
    const scored = async (part: "training" | "validation"): Promise<number> =>
      (await taskSource(config, part)!.batch(0)).targets.filter((target) => target >= 0).length;
    expect(await scored("validation")).toBe(20);
    expect(await scored("training")).toBeGreaterThan(40);
  });

  it.each(readdirSync(examples).filter((name) => name.endsWith(".json")))("can be examples/%s", (name) => {
    const given = JSON.parse(readFileSync(new URL(name, examples), "utf8"));
    expect(readTrainConfig(given).data).toMatchObject(given.data.text ? { text: [given.data.text] } : given.data);
  });

  it("is described by the published schema", () => {
    const path = new URL("../../docs/train.schema.json", import.meta.url);
    expect(JSON.parse(readFileSync(path, "utf8"))).toEqual(JSON.parse(JSON.stringify(trainConfigSchema())));
  });
});
