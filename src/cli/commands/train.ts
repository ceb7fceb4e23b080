import { type Command, InvalidArgumentError } from "commander";
import type { LanguageModel, MambaLM } from "../../models/index.ts";
import type { Device } from "../../tensor/device.ts";
import { ConfigError } from "../../tensor/errors.ts";
import type { Tokenizer } from "../../text/index.ts";
import type { CompleteTrainConfig } from "../../training/index.ts";
import { UsageError } from "../failure.ts";
import { openModelFiles, warnAll } from "../open-model.ts";
import { type DeviceFlags, deviceOptions, positiveNumber, wholeNumber, withDevice, withJson } from "../options.ts";
import type { Session } from "../program.ts";
import { learningRateSweep, overfitCheck, type SweepRow } from "../training/checks.ts";
import { defaultRunFolder, readConfigFile } from "../training/config-file.ts";
import type { TrainingData, TrainingParts } from "../training/parts.ts";
import { runTraining } from "../training/run.ts";
import { RunFolder } from "../training/run-folder.ts";
import { formatDuration } from "../training/training-progress.ts";

interface TrainFlags extends DeviceFlags {
  readonly out?: string;
  readonly resume?: true;
  readonly seed?: number;
  readonly steps?: number;
  readonly overfitCheck?: true;
  readonly lrSweep?: readonly number[];
  readonly json?: true;
}

/** Adds the verb `train`: trains a model as a configuration says. */
export function addTrain(program: Command, session: Session, parts: TrainingParts): void {
  const command = program
    .command("train")
    .description("train a model as a configuration says, with loss curves, checkpoints and resumption")
    .argument("<config>", "JSON file, or a module whose default export is the configuration")
    .option("--out <folder>", "where the run goes (default: its `out`, or runs/ and the configuration's name)")
    .option("--resume", "go on from the last checkpoint of the folder")
    .option("--seed <n>", "in place of the configuration's", wholeNumber(0))
    .option("--steps <n>", "in place of the configuration's; of a check: at most", wholeNumber(1))
    .option("--overfit-check", "learn one batch by heart; exit code 1 if that fails")
    .option("--lr-sweep <rates>", "short runs at several learning rates, as 1e-4,1e-3,1e-2", rateList);
  withJson(withDevice(command)).action((path: string, flags: TrainFlags) => train(path, flags, session, parts));
}

function rateList(text: string): number[] {
  const parse = positiveNumber();
  const rates = text.split(",").map(parse);
  if (new Set(rates).size === rates.length) return rates;
  throw new InvalidArgumentError("The rates must differ.");
}

async function train(path: string, flags: TrainFlags, session: Session, parts: TrainingParts): Promise<void> {
  if ([flags.overfitCheck, flags.lrSweep, flags.resume].filter(Boolean).length > 1) {
    throw new UsageError("train: use only one of --overfit-check, --lr-sweep and --resume");
  }
  const config = await openConfig(path, flags);
  const isCheck = flags.overfitCheck !== undefined || flags.lrSweep !== undefined;
  // before the data is read: a folder that cannot be written should not cost minutes
  const folder = isCheck
    ? undefined
    : RunFolder.open(flags.out ?? config.out ?? defaultRunFolder(path), { resume: flags.resume === true });
  const opened = await openTraining(config, flags, session, parts);
  try {
    if (flags.overfitCheck) await reportOverfit(config, opened, session, flags);
    else if (flags.lrSweep) await reportSweep(config, flags.lrSweep, opened, session, flags);
    else await reportRun(config, opened, folder!, parts, session, flags);
  } finally {
    opened.dispose();
  }
}

async function openConfig(
  path: string,
  { steps: wanted, seed, overfitCheck: overfit, lrSweep }: TrainFlags,
): Promise<CompleteTrainConfig> {
  const { readTrainConfig } = await import("../../training/index.ts");
  const given = await readConfigFile(path);
  // checks count their steps apart from the schedule's
  const steps = overfit || lrSweep ? undefined : wanted;
  const changes = { ...(steps === undefined ? {} : { steps }), ...(seed === undefined ? {} : { seed }) };
  // what is no record is refused as it came
  return readTrainConfig(typeof given === "object" && given !== null ? { ...given, ...changes } : given);
}

/** A device, the data, and models to train on it. */
interface OpenTraining {
  readonly device: Device;
  readonly data: TrainingData;
  /** The model, disposed with the rest. */
  readonly model: MambaLM;
  /** Another one with the same parameters. */
  newModel(): LanguageModel;
  dispose(): void;
}

async function openTraining(
  config: CompleteTrainConfig,
  flags: TrainFlags,
  session: Session,
  parts: TrainingParts,
): Promise<OpenTraining> {
  const { openDevice } = await import("../../ops/devices.ts");
  const { device: wanted, ...options } = deviceOptions(flags);
  const source = "from" in config.model ? await openSource(config.model.from, session) : undefined;
  const data = await parts.openData(config, source?.tokenizer);
  const device = await openDevice(wanted, options);
  try {
    const make = source ? await source.load(device) : await newModels(config, data, device);
    const model = make();
    checkVocabulary(model, data);
    const dispose = (): void => {
      model.dispose();
      device.dispose();
    };
    return { device, data, model, newModel: make, dispose };
  } catch (error) {
    device.dispose();
    throw error;
  }
}

async function newModels(config: CompleteTrainConfig, data: TrainingData, device: Device): Promise<() => MambaLM> {
  const { MambaLM } = await import("../../models/index.ts");
  const { modelConfigOf } = await import("../../training/index.ts");
  if ("from" in config.model) throw new ConfigError("train: model.from must have been opened", {});
  const shape = modelConfigOf(config.model, data.training.vocabSize);
  return () => MambaLM.create(shape, { device, seed: config.seed });
}

/** A model to go on from: its tokenizer first, its weights once there is a device. */
async function openSource(
  name: string,
  { terminal }: Session,
): Promise<{ tokenizer: Tokenizer | undefined; load(device: Device): Promise<() => MambaLM> }> {
  const files = await openModelFiles(name, {}, terminal);
  const { openTokenizer } = await import("../../pretrained/open-pretrained.ts");
  const { loadMamba } = await import("../../pretrained/load-mamba.ts");
  const tokenizer = (await files.has("tokenizer.json")) ? await openTokenizer(files) : undefined;
  const load = async (device: Device): Promise<() => MambaLM> => {
    const { model, warnings } = await loadMamba(files, { device, pack: false, signal: terminal.signal });
    warnAll(warnings, terminal);
    return () => model;
  };
  return { tokenizer, load };
}

function checkVocabulary(model: MambaLM, { training }: TrainingData): void {
  if (model.vocabSize >= training.vocabSize) return;
  throw new ConfigError(
    `train: the model must have at least the ${training.vocabSize} ids of the data; it has ${model.vocabSize}; use the model's own tokenizer`,
    { expected: training.vocabSize, actual: model.vocabSize },
  );
}

async function reportOverfit(
  config: CompleteTrainConfig,
  { model, data }: OpenTraining,
  session: Session,
  { json, steps }: TrainFlags,
): Promise<void> {
  const { signal } = session.terminal;
  const report = await overfitCheck(config, model, data.training, { steps, signal });
  session.exitCode = report.learnt ? 0 : 1;
  if (json) return session.writeJson(report);
  const { learnt, steps: taken, firstLoss, lastLoss, limit } = report;
  const verdict = learnt ? "learnt by heart" : `not learnt: the loss must fall below ${limit}`;
  return session.terminal.write(
    `${verdict}: loss ${firstLoss.toFixed(4)} to ${lastLoss.toFixed(4)} in ${taken} steps\n`,
  );
}

async function reportSweep(
  config: CompleteTrainConfig,
  rates: readonly number[],
  { newModel, data }: OpenTraining,
  session: Session,
  { json, steps }: TrainFlags,
): Promise<void> {
  const { signal } = session.terminal;
  if ("from" in config.model)
    throw new UsageError("train: --lr-sweep needs a new model; the configuration has model.from");
  const rows = await learningRateSweep(config, rates, newModel, data.training, { steps, signal });
  if (json) return session.writeJson({ runs: rows.map((row) => ({ ...row, diverged: !Number.isFinite(row.loss) })) });
  return session.terminal.write(formatSweep(rows));
}

function formatSweep(rows: readonly SweepRow[]): string {
  const head = `${"learning rate".padEnd(16)}${"steps".padEnd(8)}loss\n`;
  const line = ({ learningRate, steps, loss }: SweepRow): string =>
    `${learningRate.toExponential().padEnd(16)}${String(steps).padEnd(8)}${Number.isFinite(loss) ? loss.toFixed(4) : "diverged"}\n`;
  return head + rows.map(line).join("");
}

async function reportRun(
  config: CompleteTrainConfig,
  { model, device, data }: OpenTraining,
  folder: RunFolder,
  parts: TrainingParts,
  session: Session,
  { resume, json }: TrainFlags,
): Promise<void> {
  const setup = { config, model, device, data, folder, resume: resume === true };
  const report = await runTraining(setup, parts, session.terminal);
  if (json) return session.writeJson(report);
  const validation = report.validationLoss === undefined ? "" : `, validation ${report.validationLoss.toFixed(4)}`;
  return session.terminal.write(
    `${report.steps} steps in ${formatDuration(report.seconds)}: loss ${report.loss.toFixed(4)}${validation}; see ${report.folder}\n`,
  );
}
