import { type Command, Option } from "commander";
import type { Evaluation } from "../../generation/evaluate.ts";
import { ConfigError } from "../../tensor/errors.ts";
import type { Tokenizer } from "../../text/index.ts";
import { UsageError } from "../failure.ts";
import { type OpenWeights, openWeights } from "../open-model.ts";
import {
  type DeviceFlags,
  type SourceFlags,
  type WeightFlags,
  wholeNumber,
  withDevice,
  withJson,
  withSource,
  withWeights,
} from "../options.ts";
import type { Session } from "../program.ts";
import { Progress } from "../progress.ts";
import { readFile } from "../read-file.ts";

/** What `eval` is told. */
export interface EvalFlags extends DeviceFlags, SourceFlags, WeightFlags {
  readonly ids?: string;
  readonly config?: string;
  readonly lengths?: readonly number[];
  readonly samples?: number;
  readonly seed?: number;
  readonly window?: number;
  readonly carry?: true;
  readonly limit?: number;
  readonly json?: true;
}

/** Adds the verb `eval`: how well a model predicts text or ids. */
export function addEval(program: Command, session: Session): void {
  const command = program
    .command("eval")
    .description("measure how well a model predicts a text: loss, perplexity, bits per byte, accuracy")
    .argument("<model>", "folder, weights file, shipped model, or ORGANISATION/NAME on the hub")
    .argument("[data]", 'text file, "-" for standard input; for a classifier, a folder with MNIST test files')
    .option("--ids <file>", "tokens instead of text: 4-byte little-endian whole numbers")
    .option(
      "--config <file>",
      "the validation data of a training configuration instead of a text; for a classifier, its test data",
    )
    .option("--lengths <list>", "with --config: lengths of rows, as 256,1024 (default: the configuration's)", sizeList)
    .option(
      "--samples <n>",
      "with --config: rows for each length (default: 256; for a classifier, all or 1024)",
      wholeNumber(1),
    )
    .option("--seed <n>", "with --config: of a task's rows (default: the configuration's)", wholeNumber(0))
    .option("--window <n>", "predictions before the state starts anew (default: 1024)", wholeNumber(1))
    .addOption(new Option("--carry", "never start the state anew").conflicts("window"))
    .option("--limit <n>", "stop after this many predictions", wholeNumber(1));
  withJson(withSource(withWeights(withDevice(command)))).action(
    (model: string, data: string | undefined, flags: EvalFlags) => evaluate(model, data, flags, session),
  );
}

function sizeList(text: string): number[] {
  return text.split(",").map(wholeNumber(2));
}

async function evaluate(name: string, data: string | undefined, flags: EvalFlags, session: Session): Promise<void> {
  if ([data, flags.ids, flags.config].filter((given) => given !== undefined).length !== 1) {
    throw new UsageError(
      "eval: name one of a text file after MODEL, ids with --ids FILE, and a training configuration with --config FILE",
    );
  }
  if (flags.config !== undefined) {
    const { evaluateConfig } = await import("../training/evaluate-config.ts");
    return evaluateConfig(name, flags.config, flags, session);
  }
  if (data !== undefined && data !== "-") {
    const { evaluateClassifier, isClassifier } = await import("./classifiers.ts");
    if (await isClassifier(name, flags, session)) return evaluateClassifier(name, data, flags, session);
  }
  const { terminal } = session;
  const text = data === undefined ? undefined : await readData(data, terminal);
  const given = flags.ids === undefined ? undefined : await readIds(flags.ids);
  const opened = await openWeights(name, flags, true, terminal);
  try {
    const tokenizer = text === undefined ? undefined : await tokenizerOf(opened.files);
    const ids = given ?? Int32Array.from(tokenizer!.encode(text!));
    const result = await measure(opened, ids, flags, terminal);
    const report = tokenizer ? { ...result, bitsPerByte: bitsOverBytes(tokenizer, ids, result) } : result;
    const facts = { model: name, device: opened.device.name, dtype: flags.dtype, carry: flags.carry === true };
    if (flags.json) await session.writeJson({ ...facts, ...report });
    else await terminal.write(formatReport(report));
  } finally {
    opened.dispose();
  }
}

async function tokenizerOf(files: OpenWeights["files"]): Promise<Tokenizer> {
  const { openTokenizer } = await import("../../pretrained/open-pretrained.ts");
  return openTokenizer(files);
}

async function measure(
  { model, device }: OpenWeights,
  ids: Int32Array,
  { window, carry, limit }: EvalFlags,
  terminal: Session["terminal"],
): Promise<Evaluation> {
  const { evaluateIds } = await import("../../generation/evaluate.ts");
  const { checkIds } = await import("../../generation/prefill.ts");
  checkIds("eval", ids, model.vocabSize);
  const progress = new Progress(terminal);
  try {
    return await evaluateIds(model, device, ids, {
      window,
      limit,
      carry: carry === true,
      accuracy: true,
      progress: ({ done, total, loss }) =>
        progress.update("eval", done, total, `loss ${loss.toFixed(4)}  ${done} of ${total}`),
      signal: terminal.signal,
    });
  } finally {
    progress.clear();
  }
}

async function readData(path: string, terminal: Session["terminal"]): Promise<string> {
  if (path === "-") return terminal.readInput();
  const { readText } = await import("../training/text-files.ts");
  const bytes = await readText(path);
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch (cause) {
    const what = "text must be UTF-8; it is not; pass tokens with --ids FILE, or convert it";
    throw new ConfigError(`eval ${path}: ${what}`, { path }, { cause });
  }
}

async function readIds(path: string): Promise<Int32Array> {
  const bytes = await readFile(path);
  if (bytes.length % 4 !== 0) {
    throw new ConfigError(
      `eval ${path}: ids must be 4-byte whole numbers; the file has ${bytes.length} bytes; write them as int32`,
      { path, byteLength: bytes.length },
    );
  }
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return Int32Array.from({ length: bytes.length / 4 }, (_, i) => view.getInt32(4 * i, true));
}

/** Bits of all predictions over the bytes of the text that was predicted: everything after the first token. */
function bitsOverBytes(tokenizer: Tokenizer, ids: Int32Array, { bitsPerToken, predictions }: Evaluation): number {
  const predicted = tokenizer.decode(Array.from(ids.subarray(1, predictions + 1)));
  return (bitsPerToken * predictions) / Math.max(1, new TextEncoder().encode(predicted).length);
}

function formatReport(report: Evaluation & { bitsPerByte?: number }): string {
  const { loss, perplexity, bitsPerToken, bitsPerByte, accuracy, predictions, windows } = report;
  const rows: [string, string][] = [
    ["loss", `${loss.toFixed(5)} nats a token`],
    ["perplexity", perplexity.toFixed(4)],
    ["bits per token", bitsPerToken.toFixed(5)],
  ];
  if (bitsPerByte !== undefined) rows.push(["bits per byte", bitsPerByte.toFixed(5)]);
  if (accuracy !== undefined) rows.push(["accuracy", `${(100 * accuracy).toFixed(2)} % of tokens`]);
  rows.push(["predictions", `${predictions} in ${windows} windows`]);
  return rows.map(([name, value]) => `${name.padEnd(16)}${value}\n`).join("");
}
