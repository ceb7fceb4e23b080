import type { Command } from "commander";
import { type SourceFlags, sourceOptions, withJson, withSource } from "../options.ts";
import type { Session } from "../program.ts";
import { Progress } from "../progress.ts";

/** Adds the verb `pull`: fetches a model from the hub and prints its folder. */
export function addPull(program: Command, session: Session): void {
  const command = program.command("pull").description("fetch a model from the hub and print its folder");
  withJson(withSource(command.argument("<id>", "ORGANISATION/NAME"))).action(
    (id: string, flags: SourceFlags & { json?: true }) => pull(id, flags, session),
  );
}

async function pull(id: string, flags: SourceFlags & { json?: true }, session: Session): Promise<void> {
  const { pullModel } = await import("../../checkpoints/hub.ts");
  const { terminal } = session;
  const progress = new Progress(terminal);
  try {
    const pulled = await pullModel(id, {
      ...sourceOptions(flags),
      progress: ({ file, loadedBytes, totalBytes }) =>
        progress.onBytes({ phase: "download", name: file, loadedBytes, totalBytes }),
      warn: (message) => terminal.writeError(`mamba: warning: ${message}\n`),
      signal: terminal.signal,
    });
    progress.clear();
    if (flags.json) await session.writeJson({ id, ...pulled });
    else await terminal.write(`${pulled.path}\n`);
  } finally {
    progress.clear();
  }
}
