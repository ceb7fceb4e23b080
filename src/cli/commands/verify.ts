import type { Command } from "commander";
import type { Verification } from "../../pretrained/verify.ts";
import { openWeights } from "../open-model.ts";
import { type DeviceFlags, type SourceFlags, withDevice, withJson, withSource } from "../options.ts";
import type { Session } from "../program.ts";

interface VerifyFlags extends DeviceFlags, SourceFlags {
  readonly json?: true;
}

/** Adds the verb `verify`: holds a model against numbers that other code computed; exit 1 past a limit. */
export function addVerify(program: Command, session: Session): void {
  const command = program
    .command("verify")
    .description("compare a model with a golden file of logits, loss, gradients and greedy tokens")
    .argument("<model>", "folder, weights file, shipped model, or ORGANISATION/NAME on the hub")
    .argument("<golden>", "safetensors file with input_ids (or x, or images) and what is to be compared");
  withJson(withSource(withDevice(command))).action((model: string, golden: string, flags: VerifyFlags) =>
    verify(model, golden, flags, session),
  );
}

async function verify(name: string, golden: string, flags: VerifyFlags, session: Session): Promise<void> {
  const { isClassifier, verifyClassifierModel } = await import("./classifiers.ts");
  if (await isClassifier(name, flags, session)) return verifyClassifierModel(name, golden, flags, session);
  const { readSafetensors } = await import("../../checkpoints/safetensors.ts");
  const expected = await readSafetensors(golden);
  try {
    const { verifyLanguageModel } = await import("../../pretrained/verify.ts");
    const opened = await openWeights(name, flags, false, session.terminal);
    try {
      const result = await verifyLanguageModel(opened.model, opened.device, expected);
      await report(name, opened.device.name, result, flags, session);
    } finally {
      opened.dispose();
    }
  } finally {
    await expected.close();
  }
}

async function report(
  model: string,
  device: string,
  result: Verification,
  { json }: VerifyFlags,
  session: Session,
): Promise<void> {
  const ok = result.ok && result.compared.length > 0;
  if (!ok) session.exitCode = 1;
  if (json) await session.writeJson({ model, device, ...result, ok });
  else await session.terminal.write(formatVerification(result, device));
}

/** The comparison as a table: each error beside its limit, then what was not compared. */
export function formatVerification({ compared, notCompared }: Verification, device: string): string {
  const width = Math.max(10, ...[...compared, ...notCompared].map(({ name }) => name.length)) + 2;
  const lines = compared.map(({ name, measure, error, limit, ok }) => {
    const numbers = `${scientific(error, 2).padStart(9)}  limit ${scientific(limit, 0)}  ${measure}`;
    return `${ok ? "ok  " : "FAIL"}  ${name.padEnd(width)}${numbers}`;
  });
  const skipped = notCompared.map(({ name, reason }) => `--    ${name.padEnd(width)}not compared: ${reason}`);
  const failed = compared.filter(({ ok }) => !ok).length;
  const end =
    compared.length === 0
      ? "the golden holds nothing to compare"
      : `${compared.length} compared on ${device}, ${failed} past their limit, ${notCompared.length} not compared`;
  return [...lines, ...skipped, end, ""].join("\n");
}

function scientific(value: number, digits: number): string {
  return value === 0 ? "0" : value.toExponential(digits);
}
