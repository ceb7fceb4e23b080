import type { Command } from "commander";
import { StateError } from "../../tensor/errors.ts";
import { UsageError } from "../failure.ts";
import { withJson } from "../options.ts";
import type { Session } from "../program.ts";
import { formatBytes } from "../progress.ts";

/** Adds the verb `state`: shows what a saved state says about itself. */
export function addState(program: Command, session: Session): void {
  const state = program.command("state").description("saved states: show FILE").usage("show [options] <file>");
  state.allowExcessArguments().action(() => {
    const problem = state.args[0] === undefined ? "a verb is missing" : `there is no verb "${state.args[0]}"`;
    throw new UsageError(`state: ${problem}; try: mamba state show FILE`);
  });
  const show = state.command("show").description("show the header of a saved state");
  withJson(show.argument("<file>", "written by generate --state-out")).action(
    async (file: string, { json }: { json?: true }) => {
      const header = await readStateHeader(file);
      if (json) await session.writeJson(header);
      else await session.terminal.write(formatHeader(header));
    },
  );
}

/** What a saved state says about itself. */
export interface StateHeader {
  readonly version: number;
  readonly architecture: string;
  /** Of the model it belongs to. */
  readonly fingerprint: string;
  /** Tokens that the model has seen. */
  readonly position: number;
  /** Sampled but not yet fed to the model. */
  readonly pendingId: number | null;
  readonly samplerCounter: number;
  readonly recentIds: number;
  readonly byteLength: number;
  readonly tensors: readonly { readonly name: string; readonly dtype: string; readonly shape: readonly number[] }[];
}

/**
 * Reads the header of a state that `state.serialize()` wrote.
 *
 * @throws StateError if the file is something else
 */
export async function readStateHeader(file: string): Promise<StateHeader> {
  const { readSafetensors } = await import("../../checkpoints/safetensors.ts");
  const opened = await readSafetensors(file).catch((cause: { code?: string }) => {
    if (cause.code === "FILE") throw cause;
    throw new StateError(`state ${file}: must be a state saved by mamba; it cannot be read as one`, {}, { cause });
  });
  try {
    const { metadata, tensors } = opened;
    const facts = parseFacts(file, metadata);
    const parts = [...tensors.values()];
    return {
      version: Number(metadata["version"]),
      architecture: metadata["architecture"] ?? "unknown",
      fingerprint: metadata["fingerprint"] ?? "unknown",
      position: Number(metadata["position"]),
      pendingId: facts.pendingId ?? null,
      samplerCounter: facts.samplerCounter ?? 0,
      recentIds: facts.recentIds?.length ?? 0,
      byteLength: parts.reduce((sum, part) => sum + part.byteLength, 0),
      tensors: parts.map(({ name, dtype, shape }) => ({ name, dtype, shape })),
    };
  } finally {
    await opened.close();
  }
}

interface Facts {
  readonly pendingId?: number;
  readonly samplerCounter?: number;
  readonly recentIds?: readonly number[];
}

function parseFacts(file: string, metadata: Readonly<Record<string, string>>): Facts {
  const { format, facts } = metadata;
  if (format !== "mamba.ts state") {
    throw new StateError(
      `state ${file}: must be a state saved by mamba; it is ${format ? JSON.stringify(format) : "another safetensors file"}; pass what --state-out wrote`,
      { file, format },
    );
  }
  try {
    return JSON.parse(facts ?? "{}") as Facts;
  } catch (cause) {
    throw new StateError(
      `state ${file}: its header must be readable; it is damaged; save it again`,
      { file },
      { cause },
    );
  }
}

function formatHeader(header: StateHeader): string {
  const { tensors, byteLength, pendingId, ...rest } = header;
  const rows = {
    ...rest,
    pendingId: pendingId ?? "none",
    tensors: `${tensors.length}, ${formatBytes(byteLength)}`,
  };
  return Object.entries(rows)
    .map(([name, value]) => `${name.padEnd(16)}${value}\n`)
    .join("");
}
