import { evaluateLabelled, type LabelledEvaluation } from "../../generation/index.ts";
import { openDevice } from "../../ops/devices.ts";
import { loadClassifier } from "../../pretrained/index.ts";
import { openLabelledTest } from "../../training/index.ts";
import type { EvalFlags } from "../commands/eval.ts";
import { UsageError } from "../failure.ts";
import { openModelFiles } from "../open-model.ts";
import { deviceOptions } from "../options.ts";
import type { Session } from "../program.ts";
import { Progress } from "../progress.ts";
import type { ClassifierTrainConfig } from "./open-classifier-training.ts";

/** Sequences that are drawn where a task has no end of them. */
const DRAWN = 1024;

/** How well a classifier tells sequences of at most a length. */
interface ClassifierRow extends LabelledEvaluation {
  readonly length: number;
}

/** The verb `eval` on the test data of a classifier's training configuration. */
export async function evaluateClassifierConfig(
  name: string,
  config: ClassifierTrainConfig,
  flags: EvalFlags,
  session: Session,
): Promise<void> {
  const { terminal } = session;
  if (flags.lengths && !("task" in config.data)) {
    throw new UsageError("eval: --lengths needs a configuration with a task; this one's data has its own lengths");
  }
  const files = await openModelFiles(name, flags, terminal);
  const { device: wanted, ...options } = deviceOptions(flags);
  const device = await openDevice(wanted, options);
  const progress = new Progress(terminal);
  try {
    const model = await loadClassifier(files, device);
    const rows: ClassifierRow[] = [];
    for (const length of flags.lengths ?? [config.length]) {
      const { source, batches } = await openLabelledTest({ ...config, length });
      const wantedBatches = Math.ceil((flags.samples ?? DRAWN) / config.batch);
      const result = await evaluateLabelled(model, device, source, {
        batches:
          flags.samples === undefined ? (batches ?? wantedBatches) : Math.min(wantedBatches, batches ?? wantedBatches),
        progress: ({ done, total, accuracy }) =>
          progress.update("eval", done, total, `accuracy ${(100 * accuracy).toFixed(2)} %`),
        signal: terminal.signal,
      });
      rows.push({ length, ...result });
    }
    model.dispose();
    progress.clear();
    if (flags.json) return await session.writeJson({ model: name, device: device.name, rows });
    return await terminal.write(format(rows));
  } finally {
    progress.clear();
    device.dispose();
  }
}

function format(rows: readonly ClassifierRow[]): string {
  const hasArea = rows.some(({ auroc }) => auroc !== undefined);
  const head = `${"length".padEnd(10)}${"samples".padEnd(10)}${"loss".padEnd(10)}${"accuracy".padEnd(10)}${hasArea ? "AUROC" : ""}`;
  const line = ({ length, count, loss, accuracy, auroc }: ClassifierRow): string =>
    `${String(length).padEnd(10)}${String(count).padEnd(10)}${loss.toFixed(4).padEnd(10)}${`${(100 * accuracy).toFixed(2)} %`.padEnd(10)}${auroc?.toFixed(4) ?? ""}`;
  return [head, ...rows.map(line)].map((text) => `${text.trimEnd()}\n`).join("");
}
