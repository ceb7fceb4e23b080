import { MambaError } from "../../tensor/errors.ts";
import { notRepresentable } from "../../tensor/quantize.ts";
import { weightTypes } from "./weight-types.ts";

/** A late error as a kernel left it in the control block. */
export interface Failure {
  readonly code: number;
  readonly label: string;
  readonly actual: number;
  readonly expected: number;
}

/** What is out of range, by code. */
const argumentOf: ReadonlyMap<number, string> = new Map([
  [1, "ids"],
  [2, "targets"],
]);

const NOT_REPRESENTABLE = 3;

/** The typed error of a late failure; codes are those of assembly/control.as.ts. */
export function failureError({ code, label, actual, expected }: Failure): MambaError {
  const argument = argumentOf.get(code);
  if (argument) {
    return new MambaError(
      `${label}: ${argument} must be in 0 to ${expected - 1}; got ${actual}; check the tokenizer against the model`,
      "ID_OUT_OF_RANGE",
      { op: label, argument, expected, actual },
    );
  }
  if (code === NOT_REPRESENTABLE) return notRepresentable(label, weightTypes[expected]!);
  return new MambaError(`internal: ${label} failed with code ${code}; please report this`, "INTERNAL", { op: label });
}
