import type { Command } from "commander";
import type { TensorEntry } from "../../checkpoints/index.ts";
import type { MambaConfig } from "../../models/index.ts";
import type { DType } from "../../tensor/dtype.ts";
import { openModelFiles, warnAll } from "../open-model.ts";
import { type SourceFlags, type WeightFlags, withJson, withSource, withWeights } from "../options.ts";
import type { Session } from "../program.ts";
import { formatBytes } from "../progress.ts";

interface InspectFlags extends SourceFlags, WeightFlags {
  readonly tensors?: true;
  readonly json?: true;
}

/** What a model's files hold, without loading it. */
export interface Inspection {
  readonly model: string;
  readonly architecture: string;
  readonly parameters: number;
  /** Bytes of the weights as stored. */
  readonly storedBytes: number;
  /** Bytes of the weights in the memory of the wasm device. */
  readonly memoryBytes: number;
  /** Element types of the weights there. */
  readonly memoryTypes: readonly DType[];
  /** Bytes of the recurrent state of one sequence, at any length. */
  readonly stateBytes: number;
  /** Files that hold weights. */
  readonly files: readonly string[];
  readonly hasTokenizer: boolean;
  readonly config: MambaConfig;
  readonly tensors: readonly { readonly name: string; readonly dtype: string; readonly shape: readonly number[] }[];
  readonly warnings: readonly string[];
}

/** Adds the verb `inspect`: architecture, tensors, sizes. */
export function addInspect(program: Command, session: Session): void {
  const command = program
    .command("inspect")
    .description("show a model's architecture, parameter count, memory and state size")
    .argument("<model>", "folder, weights file, shipped model, or ORGANISATION/NAME on the hub")
    .option("--tensors", "list every tensor");
  withJson(withSource(withWeights(command))).action(async (model: string, flags: InspectFlags) => {
    const inspection = await inspect(model, flags, session);
    if (flags.json) await session.writeJson(inspection);
    else {
      await session.terminal.write(formatInspection(inspection, flags.tensors === true));
      warnAll(inspection.warnings, session.terminal);
    }
  });
}

async function inspect(model: string, flags: InspectFlags, { terminal }: Session): Promise<Inspection> {
  const { matchMamba, openCheckpoint, readJson, readMambaConfig } = await import("../../checkpoints/index.ts");
  const { planWeights } = await import("../../pretrained/weight-plan.ts");
  const files = await openModelFiles(model, flags, terminal);
  const given = readMambaConfig(await readJson(files, "config.json"));
  const file = await openCheckpoint(files);
  try {
    const { entries, config, warnings } = matchMamba(file, given);
    const plan = planWeights(entries, config, { device: { name: "wasm" }, dtype: flags.dtype });
    const tensors = [...entries].map(([name, entry]) => ({ name, dtype: storedAs(entry), shape: entry.shape }));
    const parameters = tensors.reduce((sum, { shape }) => sum + shape.reduce((product, size) => product * size, 1), 0);
    return {
      model,
      architecture: config.architecture,
      parameters,
      storedBytes: [...entries.values()].reduce((sum, entry) => sum + entry.storedByteLength, 0),
      memoryBytes: plan.bytes,
      memoryTypes: [...new Set([...plan.weights.values()].map(({ dtype }) => dtype))],
      stateBytes: stateBytes(config),
      files: file.files,
      hasTokenizer: await files.has("tokenizer.json"),
      config,
      tensors,
      warnings: [...warnings, ...plan.warnings],
    };
  } finally {
    await file.close();
  }
}

/** Element type, or the file's name of a block format. */
function storedAs({ dtype, storedType }: TensorEntry): string {
  return storedType.startsWith("Q") ? storedType : dtype;
}

/** Window of the convolution and state of the recurrence of every layer, in float32. */
function stateBytes({ nLayer, dInner, dState, dConv }: MambaConfig): number {
  return 4 * nLayer * dInner * (dConv - 1 + dState);
}

function describeTokenizer({ hasTokenizer, files }: Inspection): string {
  if (!hasTokenizer) return "none";
  return files.some((name) => name.endsWith(".gguf")) ? "in the file" : "tokenizer.json";
}

function formatInspection(inspection: Inspection, listTensors: boolean): string {
  const { config, tensors } = inspection;
  const { nLayer, dModel, dInner, dState, dConv, dtRank, vocabSize, paddedVocabSize, tieEmbeddings } = config;
  const padded = paddedVocabSize === vocabSize ? "" : `, padded to ${paddedVocabSize}`;
  const dtypes = [...new Set(tensors.map(({ dtype }) => dtype))].join(", ");
  const rows: [string, string][] = [
    ["architecture", inspection.architecture],
    ["layers", `${nLayer}, width ${dModel}, inner ${dInner}, state ${dState}, convolution ${dConv}, rank ${dtRank}`],
    ["vocabulary", `${vocabSize}${padded}${tieEmbeddings ? ", head shared with the embedding" : ""}`],
    ["parameters", inspection.parameters.toLocaleString("en-US")],
    ["weights", `${dtypes}, ${formatBytes(inspection.storedBytes)} in ${inspection.files.join(", ")}`],
    ["memory", `${formatBytes(inspection.memoryBytes)} in ${inspection.memoryTypes.join(" and ")}`],
    ["state", `${formatBytes(inspection.stateBytes)} a sequence, at any length`],
    ["tokenizer", describeTokenizer(inspection)],
  ];
  const head = rows.map(([name, value]) => `${name.padEnd(14)}${value}\n`).join("");
  if (!listTensors) return head;
  const width = Math.max(...tensors.map(({ name }) => name.length)) + 2;
  return (
    head + tensors.map(({ name, dtype, shape }) => `${name.padEnd(width)}${dtype}  [${shape.join(" ")}]\n`).join("")
  );
}
