import type { LabelledSource } from "../data/index.ts";
import {
  type MambaConfig,
  MambaLM,
  mambaConfig,
  mambaPreset,
  SequenceClassifier,
  type SequenceClassifierConfig,
  TransformerLM,
  transformerConfig,
} from "../models/index.ts";
import type { Device } from "../tensor/device.ts";
import { ConfigError } from "../tensor/errors.ts";
import { checkField } from "./config-check.ts";
import type { CompleteRecord, GivenRecord } from "./config-field.ts";
import { jsonSchema } from "./config-schema.ts";
import { trainConfigFields } from "./config-table.ts";
import { labelledDataOf } from "./labelled-data.ts";
import { adamW, type Optimizer, sgd } from "./optimizer.ts";
import { constantSchedule, cosineSchedule, linearSchedule, type Schedule } from "./schedules.ts";

/** A training run as a JSON file or a module says it. `docs/train.schema.json` describes every key. */
export type TrainConfig = GivenRecord<typeof trainConfigFields>;

/** A checked {@link TrainConfig} with all defaults in it. */
export type CompleteTrainConfig = CompleteRecord<typeof trainConfigFields>;

/**
 * Checks a training configuration and puts defaults in.
 *
 * @param given - parsed JSON or the default export of a module
 * @throws ConfigError naming the path of the first wrong value, what came and what may come; for an unknown key the
 *   nearest known one
 */
export function readTrainConfig(given: unknown): CompleteTrainConfig {
  const record = { kind: "record", about: "", fields: trainConfigFields } as const;
  const config = checkField(record, given, "") as CompleteTrainConfig;
  checkTogether(config);
  return config;
}

/** The JSON schema of a training configuration. */
export function trainConfigSchema(): Record<string, unknown> {
  return jsonSchema("Training configuration of mamba.ts", trainConfigFields);
}

/** What no field can say alone. */
function checkTogether(config: CompleteTrainConfig): void {
  const { batch, microBatches, schedule, steps, optimizer, lora } = config;
  checkClassifier(config);
  if (batch % microBatches !== 0) throw wrong("microBatches", `must divide batch ${batch}`, microBatches);
  if (schedule.end > schedule.peak)
    throw wrong("schedule.end", `must be at most schedule.peak ${schedule.peak}`, schedule.end);
  if (schedule.warmup >= steps && schedule.name !== "constant") {
    throw wrong("schedule.warmup", `must be below steps ${steps}`, schedule.warmup);
  }
  for (const [i, { match }] of (optimizer.groups ?? []).entries()) patternOf(match, `optimizer.groups[${i}].match`);
  if (lora?.match) patternOf(lora.match, "lora.match");
}

/** Classes belong to classifiers, and to them alone. */
function checkClassifier(config: CompleteTrainConfig): void {
  const { model, data, lora, recompute } = config;
  const isLabelled = labelledDataOf(config) !== undefined;
  if ("classifier" in model !== isLabelled) {
    throw wrong("data", `must be ${isLabelled ? "text or another task" : "labelled sequences"} for this model`, data);
  }
  if (isLabelled && lora) throw wrong("lora", "must be left out with model.classifier", lora);
  if (isLabelled && recompute) throw wrong("recompute", "must be left out with model.classifier", recompute);
}

function wrong(path: string, must: string, value: unknown): ConfigError {
  return new ConfigError(`training configuration: ${path} ${must}; got ${JSON.stringify(value)}; change it`, {
    path,
    value,
  });
}

function patternOf(source: string, path: string): RegExp {
  try {
    return new RegExp(source);
  } catch {
    throw wrong(path, "must be a regular expression", source);
  }
}

/** The optimizer that a configuration asks for. */
export function optimizerOf({ optimizer }: Pick<CompleteTrainConfig, "optimizer">): Optimizer {
  const { name, betas, epsilon, momentum, weightDecay, groups: given = [] } = optimizer;
  const groups = given.map((group, i) => ({ ...group, match: patternOf(group.match, `optimizer.groups[${i}].match`) }));
  if (name === "sgd") return sgd({ momentum, weightDecay, groups });
  return adamW({ betas: betas && [betas[0]!, betas[1]!], epsilon, weightDecay, groups });
}

/** The schedule that a configuration asks for. */
export function scheduleOf({ schedule, steps }: Pick<CompleteTrainConfig, "schedule" | "steps">): Schedule {
  const { name, peak, warmup, end } = schedule;
  if (name === "constant") return constantSchedule({ peak, warmup });
  return (name === "cosine" ? cosineSchedule : linearSchedule)({ peak, warmup, steps, end });
}

type Model = CompleteTrainConfig["model"];
/** A Mamba model that a configuration describes; the baseline, classifiers and models from elsewhere are none. */
type MambaModel = Exclude<Model, { from: string } | { transformer: unknown } | { classifier: unknown }>;

/**
 * The configuration of a new Mamba model.
 *
 * @param vocabSize - ids that the data has
 * @throws ConfigError if the model has fewer ids than the data
 */
export function modelConfigOf(model: MambaModel, vocabSize: number): MambaConfig {
  const known = "preset" in model ? mambaPreset(model.preset) : undefined;
  const own = vocabularyOf(model.vocabSize, Math.max(vocabSize, known?.vocabSize ?? 0), vocabSize);
  if (!("preset" in model)) return mambaConfig({ ...model, vocabSize: own });
  const { preset: _, ...changes } = model;
  const table = known!.vocabSize === own ? {} : { vocabSize: own, paddedVocabSize: own };
  return mambaConfig({ ...known!, ...table, ...changes });
}

function vocabularyOf(given: number | undefined, usual: number, needed: number): number {
  const own = given ?? usual;
  if (own >= needed) return own;
  throw new ConfigError(
    `training configuration: model.vocabSize must be at least the ${needed} ids of the data; got ${own}; leave it out`,
    { path: "model.vocabSize", value: own, expected: needed },
  );
}

/**
 * A new model as a configuration describes it.
 *
 * @param vocabSize - ids that the data has
 * @throws ConfigError if the model has fewer ids than the data, or is to come from a folder
 */
export function newModelOf(
  { model, seed }: Pick<CompleteTrainConfig, "model" | "seed">,
  vocabSize: number,
  device: Device,
): MambaLM | TransformerLM {
  if ("from" in model || "classifier" in model) {
    const [came, instead] = "from" in model ? ["from", "load that"] : ["classifier", "use newClassifierOf"];
    throw new ConfigError(`newModelOf: model must be a new language model; it has ${came}; ${instead} instead`, {
      model,
    });
  }
  if (!("transformer" in model)) return MambaLM.create(modelConfigOf(model, vocabSize), { device, seed });
  const own = vocabularyOf(model.transformer.vocabSize, vocabSize, vocabSize);
  return TransformerLM.create(transformerConfig({ ...model.transformer, vocabSize: own }), { device, seed });
}

/**
 * The configuration of a new classifier: its input and classes are those of the data.
 *
 * @throws ConfigError if the model is no classifier
 */
export function classifierConfigOf(
  { model, length }: Pick<CompleteTrainConfig, "model" | "length">,
  { input, classes }: Pick<LabelledSource, "input" | "classes">,
): SequenceClassifierConfig {
  if (!("classifier" in model)) {
    throw new ConfigError("classifierConfigOf: model must have classifier; it has none; use newModelOf", { model });
  }
  const { mixer, ...own } = model.classifier;
  const tuned = mixer.kind === "s4" && mixer.structure === "low-rank" ? { kernelLength: length, ...mixer } : mixer;
  return { ...input, classes, ...own, mixer: tuned };
}

/** A new classifier as a configuration describes it. */
export function newClassifierOf(
  config: Pick<CompleteTrainConfig, "model" | "length" | "seed">,
  data: Pick<LabelledSource, "input" | "classes">,
  device: Device,
): SequenceClassifier {
  return SequenceClassifier.create(classifierConfigOf(config, data), { device, seed: config.seed });
}
