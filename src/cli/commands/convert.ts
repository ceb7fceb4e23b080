import { mkdir } from "node:fs/promises";
import { basename, resolve } from "node:path";
import { type Command, Option } from "commander";
import type { Converted, ConvertedType } from "../../pretrained/convert-mamba.ts";
import { UsageError } from "../failure.ts";
import { openModelFiles, warnAll } from "../open-model.ts";
import { type SourceFlags, withJson, withSource } from "../options.ts";
import type { Session } from "../program.ts";
import { formatBytes, Progress } from "../progress.ts";

interface ConvertFlags extends SourceFlags {
  readonly dtype?: ConvertedType;
  readonly json?: true;
}

const modelHelp = "folder, weights file, shipped model, or ORGANISATION/NAME on the hub";

/** Adds the verb `convert`: between safetensors, PyTorch files and GGUF. */
export function addConvert(program: Command, session: Session): void {
  const command = program
    .command("convert")
    .description("convert a model with its tokenizer: safetensors, PyTorch or GGUF in; GGUF or safetensors out")
    .argument("<in>", modelHelp)
    .argument("<out>", "FILE.gguf, or a folder for safetensors")
    .addOption(
      new Option("--dtype <type>", "element type of the large weights (default: as they are stored)").choices([
        ...["float32", "float16", "bfloat16", "int8", "int4"],
      ]),
    );
  withJson(withSource(command)).action((from: string, to: string, flags: ConvertFlags) => {
    if ((flags.dtype === "int8" || flags.dtype === "int4") && !to.endsWith(".gguf")) {
      throw new UsageError(`convert: ${flags.dtype} needs a target that ends with .gguf; got ${to}`);
    }
    return convert(from, to, flags, session);
  });
}

/** Adds the verb `quantize`: to blocks of int8 or int4 in a GGUF file. */
export function addQuantize(program: Command, session: Session): void {
  const command = program
    .command("quantize")
    .description("round a model's large weights to blocks of int8 (GGUF Q8_0) or int4 (Q4_0)")
    .argument("<in>", modelHelp)
    .argument("<out>", "FILE.gguf")
    .addOption(
      new Option("--dtype <type>", "element type of the large weights").choices(["int8", "int4"]).default("int8"),
    );
  withJson(withSource(command)).action((from: string, to: string, flags: ConvertFlags) => {
    if (!to.endsWith(".gguf")) throw new UsageError(`quantize: the target must end with .gguf; got ${to}`);
    return convert(from, to, flags, session);
  });
}

async function convert(from: string, to: string, flags: ConvertFlags, session: Session): Promise<void> {
  const { terminal } = session;
  if (/\.(?:safetensors|bin|pt|pth)$/.test(to)) {
    throw new UsageError(`convert: the target must be a folder or end with .gguf; got ${to}`);
  }
  if (resolve(from) === resolve(to)) throw new UsageError("convert: the target must be another place than the source");
  const files = await openModelFiles(from, flags, terminal);
  const { convertMamba } = await import("../../pretrained/convert-mamba.ts");
  if (!to.endsWith(".gguf")) await mkdir(to, { recursive: true });
  const progress = new Progress(terminal);
  try {
    const name = basename(from).replace(/\.(?:safetensors|bin|pt|pth|gguf)$/, "");
    const options = { dtype: flags.dtype, name, progress: progress.onBytes, signal: terminal.signal };
    const converted = await convertMamba(files, to, options);
    progress.clear();
    if (flags.json) await session.writeJson({ model: from, target: to, ...converted });
    else await terminal.write(formatConverted(to, converted));
    warnAll(converted.warnings, terminal);
  } finally {
    progress.clear();
  }
}

function formatConverted(target: string, { format, types, byteLength }: Converted): string {
  const counts = Object.entries(types).map(([type, count]) => `${count} ${type}`);
  return `${target}: ${format}, ${formatBytes(byteLength)} of weights (${counts.join(", ")})\n`;
}
