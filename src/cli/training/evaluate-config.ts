import { type FileSet, readJson } from "../../checkpoints/index.ts";
import { type BatchEvaluation, evaluateBatches } from "../../generation/index.ts";
import type { LanguageModel } from "../../models/index.ts";
import { openDevice } from "../../ops/devices.ts";
import { isTransformerConfig, loadMamba, loadTransformer } from "../../pretrained/index.ts";
import type { Device } from "../../tensor/device.ts";
import { ConfigError } from "../../tensor/errors.ts";
import { type CompleteTrainConfig, labelledDataOf } from "../../training/index.ts";
import type { EvalFlags } from "../commands/eval.ts";
import { openModelFiles, warnAll } from "../open-model.ts";
import { deviceOptions } from "../options.ts";
import type { Session } from "../program.ts";
import { Progress } from "../progress.ts";
import type { Terminal } from "../terminal.ts";
import { openTrainConfig } from "./config-file.ts";
import { evaluateClassifierConfig } from "./evaluate-classifier.ts";
import { openData } from "./open-data.ts";
import { readTokenizer } from "./read-tokenizer.ts";

/** How well a model predicts rows of a length. */
interface LengthRow extends BatchEvaluation {
  readonly length: number;
  readonly samples: number;
}

/** The verb `eval` on the validation data of a training configuration, at one or more lengths. */
export async function evaluateConfig(name: string, path: string, flags: EvalFlags, session: Session): Promise<void> {
  const { seed, lengths, samples = 256 } = flags;
  const { terminal } = session;
  const config = await openTrainConfig(path, seed === undefined ? {} : { seed });
  const labelled = labelledDataOf(config);
  if (labelled) return evaluateClassifierConfig(name, { ...config, data: labelled }, flags, session);
  const files = await openModelFiles(name, flags, terminal);
  const { device: wanted, ...options } = deviceOptions(flags);
  const device = await openDevice(wanted, options);
  try {
    const model = await openAny(files, device, terminal);
    const rows: LengthRow[] = [];
    for (const length of lengths ?? [config.length]) {
      rows.push(await measure({ files, device, model }, { ...config, length }, samples, flags, terminal));
    }
    model.dispose();
    if (flags.json) return await session.writeJson({ model: name, device: device.name, rows });
    return await terminal.write(format(rows));
  } finally {
    device.dispose();
  }
}

/** A Mamba model, or the baseline that `train` can make too. */
async function openAny(files: FileSet, device: Device, terminal: Terminal): Promise<LanguageModel> {
  if (isTransformerConfig(await readJson(files, "config.json"))) return loadTransformer(files, device);
  const { model, warnings } = await loadMamba(files, { device, signal: terminal.signal });
  warnAll(warnings, terminal);
  return model;
}

async function measure(
  { files, device, model }: { readonly files: FileSet; readonly device: Device; readonly model: LanguageModel },
  config: CompleteTrainConfig,
  samples: number,
  flags: EvalFlags,
  terminal: Terminal,
): Promise<LengthRow> {
  const { length } = config;
  // fewer rows than a batch holds are a smaller batch
  const batch = Math.min(config.batch, samples);
  const sized = { ...config, batch, microBatches: 1 };
  const data = await openData(
    sized,
    { tokenizer: await readTokenizer(files), flags, cacheFolder: undefined },
    terminal,
  );
  const progress = new Progress(terminal);
  try {
    if (!data.validation) {
      throw new ConfigError(
        "eval: the configuration must keep data for validation; it keeps none; set validationShare",
        {},
      );
    }
    const batches = Math.min(Math.ceil(samples / batch), data.validationBatches ?? Number.POSITIVE_INFINITY);
    const result = await evaluateBatches(model, device, data.validation, {
      batches,
      accuracy: true,
      progress: ({ done, total, loss }) => progress.update(`length ${length}`, done, total, `loss ${loss.toFixed(4)}`),
      signal: terminal.signal,
    });
    return { length, samples: batches * batch, ...result };
  } finally {
    progress.clear();
    await data.close();
  }
}

function format(rows: readonly LengthRow[]): string {
  const head = `${"length".padEnd(10)}${"samples".padEnd(10)}${"loss".padEnd(10)}accuracy\n`;
  const line = ({ length, samples, loss, accuracy }: LengthRow): string =>
    `${String(length).padEnd(10)}${String(samples).padEnd(10)}${loss.toFixed(4).padEnd(10)}${(100 * accuracy!).toFixed(2)} %\n`;
  return head + rows.map(line).join("");
}
