import { MambaError } from "../../tensor/errors.ts";

/** Code, id, position, and a word that pads. */
export const FAILURE_BYTES = 16;

interface Check {
  readonly op: string;
  readonly argument: string;
  readonly expected: number;
  /** Position of what the kernel counts as the first. */
  readonly first: number;
}

/** What kernels may find wrong, by code. */
export class Failures {
  readonly #checks: Check[] = [];
  readonly #codes = new Map<string, number>();

  /** The code of a check, from 1. */
  code(op: string, argument: string, expected: number, first = 0): number {
    const key = `${op} ${argument} ${expected} ${first}`;
    const known = this.#codes.get(key);
    if (known) return known;
    const code = this.#checks.push({ op, argument, expected, first });
    this.#codes.set(key, code);
    return code;
  }

  /** The error that a kernel noted, if it did. */
  errorOf(words: Int32Array): MambaError | undefined {
    const [code, actual, place] = words as unknown as [number, number, number];
    if (code === 0) return undefined;
    const { op, argument, expected, first } = this.#checks[code - 1]!;
    const position = first + place;
    return new MambaError(
      `${op}: ${argument} must be in 0 to ${expected - 1}; got ${actual} at position ${position}; check the tokenizer against the model`,
      "ID_OUT_OF_RANGE",
      { op, argument, expected, actual, position },
    );
  }
}
