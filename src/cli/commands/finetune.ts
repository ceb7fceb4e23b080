import { type Command, Option } from "commander";
import {
  type DeviceFlags,
  positiveNumber,
  realNumber,
  type SourceFlags,
  wholeNumber,
  withDevice,
  withJson,
  withSource,
} from "../options.ts";
import type { Session } from "../program.ts";

/** What `finetune` is told. */
export interface FinetuneFlags extends DeviceFlags, SourceFlags {
  readonly out?: string;
  readonly resume?: true;
  readonly steps: number;
  readonly batch: number;
  readonly length: number;
  readonly learningRate?: number;
  readonly rank: number;
  readonly alpha?: number;
  readonly full?: true;
  readonly separator?: string;
  readonly validationShare: number;
  readonly seed: number;
  readonly json?: true;
}

/** Adds the verb `finetune`: goes on training a model on text. */
export function addFinetune(program: Command, session: Session): void {
  const command = program
    .command("finetune")
    .description("go on training a model on text: low-rank updates of its projections, or with --full all of it")
    .argument("<model>", "folder, weights file, shipped model, or ORGANISATION/NAME on the hub")
    .argument("<text...>", "text files, or folders of them")
    .option("--out <folder>", "where the run goes (default: runs/finetune- and the model's name)")
    .option("--resume", "go on from the last checkpoint of the folder")
    .option("--steps <n>", "updates to take", wholeNumber(1), 200)
    .option("--batch <n>", "rows of a step", wholeNumber(1), 4)
    .option("--length <n>", "tokens of a row", wholeNumber(2), 256)
    .option("--learning-rate <rate>", "the largest one (default: 1e-3, with --full 1e-4)", positiveNumber())
    .option("--rank <n>", "inner size of the updates", wholeNumber(1), 8)
    .option("--alpha <x>", "updates are multiplied by alpha / rank (default: twice the rank)", positiveNumber())
    .addOption(new Option("--full", "train all parameters").conflicts("alpha"))
    .option("--separator <text>", "what stands between documents within a file")
    .option("--validation-share <x>", "share of the text kept for validation", realNumber(0, 0.5), 0.05)
    .option("--seed <n>", "of updates and data", wholeNumber(0), 0);
  withJson(withSource(withDevice(command))).action(async (model: string, text: string[], flags: FinetuneFlags) => {
    const { finetune } = await import("../training/finetune.ts");
    await finetune(model, text, flags, session);
  });
}
