import { ShapeError } from "../tensor/errors.ts";
import { formatShape, type Shape } from "../tensor/shape.ts";

/** One axis of an argument: a name with an added constant, a fixed size, or any number of leading axes. */
export type Axis =
  | { readonly kind: "named"; readonly name: string; readonly plus: number; readonly text: string }
  | { readonly kind: "fixed"; readonly size: number; readonly text: string }
  | { readonly kind: "leading"; readonly text: "..." }
  | { readonly kind: "any"; readonly text: "*" };

/** One input or output of an op. */
export interface Argument {
  readonly name: string;
  readonly optional: boolean;
  readonly axes: readonly Axis[];
  readonly text: string;
}

/** A parsed signature; made once per op by `defineOp`. */
export interface Signature {
  readonly text: string;
  readonly inputs: readonly Argument[];
  readonly outputs: readonly Argument[];
}

/** Sizes of named axes; the axes that `...` stands for are under {@link leadingAxes}. */
export interface AxisSizes {
  readonly named: Record<string, number>;
  leading: Shape | undefined;
}

const argumentPattern = /^([A-Za-z]\w*)(\?)?\[([^\]]*)\]$/;

/**
 * Parses a signature such as `"x[... inFeatures], w[outFeatures inFeatures], bias?[outFeatures] -> y[... outFeatures]"`.
 *
 * An axis is a word (one size across all arguments), a word with a constant (`kernel-1`), a number, `...`
 * (any leading axes, the same in all arguments) or `*` (any shape, checked by the op itself). `?` marks an
 * argument that may be left out.
 */
export function parseSignature(text: string): Signature {
  const [left, right] = text.split("->").map((side) => side.trim());
  if (left === undefined || right === undefined) throw new SyntaxError(`signature "${text}" has no "->"`);
  return { text, inputs: parseArguments(left, text), outputs: parseArguments(right, text) };
}

function parseArguments(side: string, signature: string): Argument[] {
  if (side === "") return [];
  return side.split(/,\s*/).map((part) => {
    const match = argumentPattern.exec(part.trim());
    if (!match) throw new SyntaxError(`signature "${signature}": cannot read "${part}"`);
    const axes = match[3]!.split(/\s+/).filter(Boolean).map(parseAxis);
    return { name: match[1]!, optional: match[2] === "?", axes, text: `[${match[3]}]` };
  });
}

function parseAxis(text: string): Axis {
  if (text === "...") return { kind: "leading", text };
  if (text === "*") return { kind: "any", text };
  if (/^\d+$/.test(text)) return { kind: "fixed", size: Number(text), text };
  const match = /^([A-Za-z]\w*)([+-]\d+)?$/.exec(text);
  if (!match) throw new SyntaxError(`axis "${text}" must be a word, a word with a constant, a number, "..." or "*"`);
  return { kind: "named", name: match[1]!, plus: Number(match[2] ?? 0), text };
}

/** An argument with `[*]` takes any shape. */
export function takesAnyShape(argument: Argument): boolean {
  return argument.axes[0]?.kind === "any";
}

/**
 * Holds the shapes of inputs against a signature.
 *
 * @returns the sizes of all axes that inputs fix
 * @throws ShapeError that names the op, the argument, the axis and both sizes
 */
export function checkInputs(
  op: string,
  signature: Signature,
  shapes: Readonly<Record<string, Shape | undefined>>,
): AxisSizes {
  const sizes: AxisSizes = { named: {}, leading: undefined };
  const firstSeen = new Map<string, string>();
  for (const argument of signature.inputs) {
    const shape = shapes[argument.name];
    if (!shape) {
      if (argument.optional) continue;
      throw new ShapeError(`${op}: ${argument.name}${argument.text} must be given; got nothing; pass it`, {
        op,
        argument: argument.name,
      });
    }
    if (!takesAnyShape(argument)) checkArgument(op, argument, shape, sizes, firstSeen);
  }
  return sizes;
}

function checkArgument(op: string, argument: Argument, shape: Shape, sizes: AxisSizes, firstSeen: Map<string, string>) {
  const hasLeading = argument.axes[0]?.kind === "leading";
  const tail = hasLeading ? argument.axes.slice(1) : argument.axes;
  const mustHold = `${op}: ${argument.name} must have shape ${argument.text}`;
  if (hasLeading ? shape.length < tail.length : shape.length !== tail.length) {
    throw new ShapeError(
      `${mustHold}; got ${formatShape(shape)} with ${shape.length} axes; reshape it to ${hasLeading ? "at least " : ""}${tail.length} axes`,
      { op, argument: argument.name, actual: shape },
    );
  }
  const skip = shape.length - tail.length;
  if (hasLeading) checkLeading(mustHold, argument.name, shape.slice(0, skip), sizes, firstSeen);
  tail.forEach((axis, i) => {
    checkAxis(op, mustHold, argument.name, axis, shape, shape[skip + i]!, sizes, firstSeen);
  });
}

function checkLeading(
  mustHold: string,
  argument: string,
  leading: Shape,
  sizes: AxisSizes,
  firstSeen: Map<string, string>,
): void {
  if (!sizes.leading) {
    sizes.leading = leading;
    firstSeen.set("...", argument);
  } else if (formatShape(sizes.leading) !== formatShape(leading)) {
    throw new ShapeError(
      `${mustHold}; leading axes are ${formatShape(sizes.leading)} in ${firstSeen.get("...")} but ${formatShape(leading)} in ${argument}; reshape one of them`,
      { argument, expected: sizes.leading, actual: leading },
    );
  }
}

function checkAxis(
  op: string,
  mustHold: string,
  argument: string,
  axis: Axis,
  shape: Shape,
  actual: number,
  sizes: AxisSizes,
  firstSeen: Map<string, string>,
): void {
  const facts = { op, argument, axis: axis.text, actual };
  if (axis.kind === "fixed" && axis.size !== actual) {
    throw new ShapeError(
      `${mustHold}; the axis of ${axis.size} is ${actual} (got ${formatShape(shape)}); pass a fitting tensor`,
      { ...facts, expected: axis.size },
    );
  }
  if (axis.kind !== "named") return;
  const implied = actual - axis.plus;
  const known = sizes.named[axis.name];
  if (known === undefined) {
    sizes.named[axis.name] = implied;
    firstSeen.set(axis.name, argument);
  } else if (known !== implied) {
    throw new ShapeError(
      `${mustHold}; axis "${axis.text}" is ${known + axis.plus} in ${firstSeen.get(axis.name)} but ${actual} in ${argument} (got ${formatShape(shape)}); pass a fitting tensor`,
      { ...facts, expected: known + axis.plus },
    );
  }
}

/** The shape that an output has for given axis sizes. */
export function outputShape(op: string, argument: Argument, sizes: AxisSizes): number[] {
  return argument.axes.flatMap((axis) => {
    if (axis.kind === "leading") return [...(sizes.leading ?? [])];
    if (axis.kind === "fixed") return [axis.size];
    const size = axis.kind === "named" ? sizes.named[axis.name] : undefined;
    if (size === undefined || axis.kind !== "named") {
      throw new SyntaxError(`${op}: output axis "${axis.text}" is fixed by no input and not by the op`);
    }
    return [size + axis.plus];
  });
}
