import { basename, resolve } from "node:path";
import { type CompleteTrainConfig, readTrainConfig } from "../../training/index.ts";
import type { FinetuneFlags } from "../commands/finetune.ts";
import type { Session } from "../program.ts";
import { openTraining } from "./open-training.ts";
import { reportRun } from "./run.ts";
import { RunFolder } from "./run-folder.ts";

/** The verb `finetune`. */
export async function finetune(
  model: string,
  text: readonly string[],
  flags: FinetuneFlags,
  session: Session,
): Promise<void> {
  const config = configOf(model, text, flags);
  const resume = flags.resume === true;
  const folder = RunFolder.open(flags.out ?? `runs/finetune-${basename(resolve(model))}`, { resume });
  const opened = await openTraining(config, flags, folder.path, session.terminal);
  try {
    await reportRun({ ...opened, config, folder, resume }, session, flags);
  } finally {
    await opened.dispose();
  }
}

/** The configuration that `train` would take for the same run. */
function configOf(model: string, text: readonly string[], flags: FinetuneFlags): CompleteTrainConfig {
  const { steps, batch, length, full, rank, alpha, separator, validationShare, seed } = flags;
  const peak = flags.learningRate ?? (full ? 1e-4 : 1e-3);
  return readTrainConfig({
    model: { from: model },
    data: {
      text: text.map((path) => resolve(path)),
      ...(separator === undefined ? {} : { separator }),
      validationShare,
    },
    ...(full ? {} : { lora: { rank, ...(alpha === undefined ? {} : { alpha }) } }),
    // what the model knows shall not decay
    optimizer: { weightDecay: 0 },
    schedule: { name: "cosine", peak, warmup: Math.floor(steps / 20) },
    steps,
    batch,
    length,
    clipNorm: 1,
    seed,
    ...(validationShare > 0 ? { validation: { every: Math.max(1, Math.floor(steps / 10)) } } : {}),
    checkpointEvery: Math.max(1, Math.floor(steps / 10)),
  });
}
