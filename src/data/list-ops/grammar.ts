import { ConfigError } from "../../tensor/errors.ts";
import type { Random } from "../../tensor/random.ts";

/** What the ids of a ListOps row are written as: padding, the ten digits, the operators, the end of a list. */
export const LIST_OPS_TOKENS: readonly string[] = [
  "",
  ...Array.from({ length: 10 }, (_, digit) => String(digit)),
  "[MIN",
  "[MAX",
  "[MED",
  "[SM",
  "]",
];

const ZERO = 1;
const MIN = 11;
const OPERATORS = 4;
const END = MIN + OPERATORS;
/** How likely an argument is a list and not a digit, as in both published generators. */
const LIST_SHARE = 0.25;

/** Limits of a tree. */
export interface TreeLimits {
  /** Levels, digits included: at most `maxDepth` - 1 lists lie in each other. */
  readonly maxDepth: number;
  /** Most arguments of an operator; the fewest are 2. */
  readonly maxArguments: number;
  /** Tokens of the whole tree. */
  readonly minLength: number;
  readonly maxLength: number;
}

/** Tokens of the largest tree that depth and arguments allow. */
export function largestTree({ maxDepth, maxArguments }: Pick<TreeLimits, "maxDepth" | "maxArguments">): number {
  let size = 1;
  for (let level = 1; level < maxDepth; level++) size = 2 + maxArguments * size;
  return size;
}

/**
 * Draws a tree whose root is a list: each argument is a list with probability 1/4, else a digit; operators, digits and numbers
 * of arguments (from 2 on) are uniform; arguments at level `maxDepth` are digits. Trees outside the limits of length are
 * drawn anew.
 *
 * @param out - takes the tokens from place 0 on; at least `maxLength` long
 * @returns how many tokens, or undefined if none of `attempts` trees fits
 */
export function drawTree(random: Random, limits: TreeLimits, out: Int32Array, attempts: number): number | undefined {
  for (let attempt = 0; attempt < attempts; attempt++) {
    const length = drawList(random, limits, out, 0, 1);
    if (length >= limits.minLength && length <= limits.maxLength) return length;
  }
  return undefined;
}

/** Writes a list from place `at` on; returns the place behind it, or infinity if it would end behind `maxLength`. */
function drawList(random: Random, limits: TreeLimits, out: Int32Array, at: number, level: number): number {
  const { maxDepth, maxArguments, maxLength } = limits;
  const count = 2 + random.integer(maxArguments - 1);
  out[at] = MIN + random.integer(OPERATORS);
  let next = at + 1;
  for (let argument = 0; argument < count; argument++) {
    // the arguments to come and the ends of all open lists still have to follow
    if (next + (count - argument) + level > maxLength) return Number.POSITIVE_INFINITY;
    if (level + 1 < maxDepth && random.uniform() < LIST_SHARE) {
      next = drawList(random, limits, out, next, level + 1);
      if (next === Number.POSITIVE_INFINITY) return next;
    } else {
      out[next++] = ZERO + random.integer(10);
    }
  }
  out[next] = END;
  return next + 1;
}

/**
 * The value of an expression, 0 to 9: MIN and MAX as they say, SM the sum modulo 10, MED the median; between two middle arguments
 * it is their mean, rounded down.
 *
 * @param ids - the tokens of one expression, without padding; places in {@link LIST_OPS_TOKENS}
 * @throws ConfigError if they are no single expression
 */
export function evaluateListOps(ids: ArrayLike<number>): number {
  const open: { readonly operator: number; readonly values: number[] }[] = [];
  const fail = (place: number, problem: string): ConfigError =>
    new ConfigError(
      `evaluateListOps: the tokens must be one expression; at place ${place} ${problem}; pass a row without its padding`,
      { place, token: ids[place] },
    );
  let result: number | undefined;
  for (let place = 0; place < ids.length; place++) {
    const id = ids[place]!;
    if (result !== undefined) throw fail(place, "it has ended before");
    if (id >= MIN && id < END) {
      open.push({ operator: id - MIN, values: [] });
      continue;
    }
    let value = id - ZERO;
    if (id === END) {
      const list = open.pop();
      if (!list?.values.length) throw fail(place, "a list ends that has not begun or is empty");
      value = apply(list.operator, list.values);
    } else if (!(value >= 0 && value < 10)) {
      throw fail(place, `there is ${id}, which is no token`);
    }
    const around = open.at(-1);
    if (around) around.values.push(value);
    else result = value;
  }
  if (result === undefined) throw fail(ids.length, "it has not ended");
  return result;
}

function apply(operator: number, values: readonly number[]): number {
  if (operator === 0) return Math.min(...values);
  if (operator === 1) return Math.max(...values);
  if (operator === 3) return values.reduce((sum, value) => sum + value, 0) % 10;
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length / 2;
  return Math.floor((sorted[Math.ceil(middle) - 1]! + sorted[Math.floor(middle)]!) / 2);
}

/** An expression's tokens as text, as published data writes them. */
export function writeListOps(ids: Iterable<number>): string {
  return [...ids].map((id) => LIST_OPS_TOKENS[id] ?? `?${id}`).join(" ");
}

/** The ids of an expression's text. @throws ConfigError if a word is no token */
export function parseListOps(text: string): Int32Array {
  const words = text.trim().split(/\s+/);
  return Int32Array.from(words, (word) => {
    const id = LIST_OPS_TOKENS.indexOf(word);
    if (id > 0) return id;
    throw new ConfigError(
      `parseListOps: words must be tokens of ListOps; got ${JSON.stringify(word)}; separate tokens by spaces`,
      {
        word,
      },
    );
  });
}
