import type { CompleteTrainConfig } from "../../training/index.ts";
import type { TrainFlags } from "../commands/train.ts";
import { UsageError } from "../failure.ts";
import type { Session } from "../program.ts";
import { learningRateSweep, overfitCheck, type SweepRow } from "./checks.ts";
import { defaultRunFolder, openTrainConfig } from "./config-file.ts";
import { type OpenTraining, openTraining } from "./open-training.ts";
import { reportRun } from "./run.ts";
import { RunFolder } from "./run-folder.ts";

/** The verb `train`. */
export async function train(path: string, flags: TrainFlags, session: Session): Promise<void> {
  if ([flags.overfitCheck, flags.lrSweep, flags.resume].filter(Boolean).length > 1) {
    throw new UsageError("train: use only one of --overfit-check, --lr-sweep and --resume");
  }
  const config = await openConfig(path, flags);
  const isCheck = flags.overfitCheck !== undefined || flags.lrSweep !== undefined;
  // before the data is read: a folder that cannot be written should not cost minutes
  const folder = isCheck
    ? undefined
    : RunFolder.open(flags.out ?? config.out ?? defaultRunFolder(path), { resume: flags.resume === true });
  const opened = await openTraining(config, flags, folder?.path, session.terminal);
  try {
    if (flags.overfitCheck) await reportOverfit(config, opened, session, flags);
    else if (flags.lrSweep) await reportSweep(config, flags.lrSweep, opened, session, flags);
    else await reportRun({ ...opened, config, folder: folder!, resume: flags.resume === true }, session, flags);
  } finally {
    await opened.dispose();
  }
}

async function openConfig(
  path: string,
  { steps: wanted, seed, overfitCheck: overfit, lrSweep }: TrainFlags,
): Promise<CompleteTrainConfig> {
  // checks count their steps apart from the schedule's
  const steps = overfit || lrSweep ? undefined : wanted;
  const changes = { ...(steps === undefined ? {} : { steps }), ...(seed === undefined ? {} : { seed }) };
  return openTrainConfig(path, changes);
}

async function reportOverfit(
  config: CompleteTrainConfig,
  { subject }: OpenTraining,
  session: Session,
  { json, steps }: TrainFlags,
): Promise<void> {
  const { signal } = session.terminal;
  const report = await overfitCheck(config, subject, { steps, signal });
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
  { renewed }: OpenTraining,
  session: Session,
  { json, steps }: TrainFlags,
): Promise<void> {
  const { signal } = session.terminal;
  if (!renewed) throw new UsageError("train: --lr-sweep needs a new model; the configuration has model.from");
  const rows = await learningRateSweep(config, rates, renewed, { steps, signal });
  if (json) return session.writeJson({ runs: rows.map((row) => ({ ...row, diverged: !Number.isFinite(row.loss) })) });
  return session.terminal.write(formatSweep(rows));
}

function formatSweep(rows: readonly SweepRow[]): string {
  const head = `${"learning rate".padEnd(16)}${"steps".padEnd(8)}loss\n`;
  const line = ({ learningRate, steps, loss }: SweepRow): string =>
    `${learningRate.toExponential().padEnd(16)}${String(steps).padEnd(8)}${Number.isFinite(loss) ? loss.toFixed(4) : "diverged"}\n`;
  return head + rows.map(line).join("");
}
