import { type Command, InvalidArgumentError } from "commander";
import {
  type DeviceFlags,
  positiveNumber,
  type SourceFlags,
  wholeNumber,
  withDevice,
  withJson,
  withSource,
} from "../options.ts";
import type { Session } from "../program.ts";

/** What `train` is told. */
export interface TrainFlags extends DeviceFlags, SourceFlags {
  readonly out?: string;
  readonly resume?: true;
  readonly seed?: number;
  readonly steps?: number;
  readonly overfitCheck?: true;
  readonly lrSweep?: readonly number[];
  readonly json?: true;
}

/** Adds the verb `train`: trains a model as a configuration says. */
export function addTrain(program: Command, session: Session): void {
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
  withJson(withSource(withDevice(command))).action(async (path: string, flags: TrainFlags) => {
    const { train } = await import("../training/train.ts");
    await train(path, flags, session);
  });
}

function rateList(text: string): number[] {
  const parse = positiveNumber();
  const rates = text.split(",").map(parse);
  if (new Set(rates).size === rates.length) return rates;
  throw new InvalidArgumentError("The rates must differ.");
}
