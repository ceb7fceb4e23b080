import type { Backend, KernelCall, Params } from "../tensor/device.ts";
import { type DType, isFloat } from "../tensor/dtype.ts";
import { DeviceError, DtypeError, invariant, ShapeError } from "../tensor/errors.ts";
import { scope } from "../tensor/scope.ts";
import { formatShape, type Shape } from "../tensor/shape.ts";
import { allocateTensor, backendOf, type Tensor, type View, viewTensor } from "../tensor/tensor.ts";
import { type Layout, weightTypesOf } from "../tensor/weight-formats.ts";
import { type Argument, checkInputs, outputShape, parseSignature, type Signature, takesAnyShape } from "./signature.ts";

/** Tensors by argument name. */
export type Tensors = Readonly<Record<string, Tensor | undefined>>;

/** What a gradient rule sees. */
export interface GradientCall {
  /** Inputs and outputs that the op's `saved` names, as they were in the forward pass. */
  readonly saved: Readonly<Record<string, Tensor>>;
  /** Gradients of the outputs; undefined where nothing depends on one. */
  readonly gradients: Tensors;
  /** Inputs that a gradient is wanted for; others may be left out of the result. */
  readonly needs: ReadonlySet<string>;
  /** Shapes of all inputs and outputs, saved or not. */
  readonly shapes: Readonly<Record<string, Shape>>;
  readonly params: Params;
}

/** What an op says of itself. Sizes and types are checked before any kernel sees a call. */
export interface OpSpecification {
  readonly name: string;
  /** See `signature.ts`. */
  readonly signature: string;
  /** Element types that inputs must have; inputs not named here must all share one of float64 and float32. */
  readonly dtypes?: Readonly<Record<string, readonly DType[]>>;
  /** Element type of an output; default: that of the float inputs. */
  readonly outputDtype?: (output: string, inputs: Tensors, params: Params) => DType;
  /** Inputs that may be weights: packed, and of any type that weights on the device may have. */
  readonly packed?: readonly string[];
  /** Output shapes where the signature cannot tell them (`[*]`). */
  readonly shapes?: (inputs: Tensors, params: Params) => Readonly<Record<string, Shape>>;
  /** Sizes of axes that no input fixes; may check parameters and throw. */
  readonly axes?: (params: Params, sizes: Readonly<Record<string, number>>, inputs: Tensors) => Record<string, number>;
  /** Whether an optional output is made; default yes. */
  readonly produces?: (output: string, inputs: Tensors, params: Params) => boolean;
  /** Takes any number of inputs `part0`, `part1`, ... of any shape instead of those of the signature. */
  readonly variadic?: boolean;
  /** Layout of an output; default strided. */
  readonly outputLayout?: Layout;
  /** For ops that only look at their input differently: the views, in the order of the outputs. */
  readonly view?: (input: Tensor, params: Params) => readonly View[];
  /** Inputs that the kernel changes in place. */
  readonly mutates?: readonly string[];
  /** Inputs and outputs that `gradient` reads. */
  readonly saved?: readonly string[];
  /** Gradients of the inputs by name. Ops without one are constants to autograd unless composed of others. */
  readonly gradient?: (call: GradientCall) => Tensors;
  /** Type that sums are accumulated in. */
  readonly accumulate: "float32";
}

/** An op: its specification with the signature parsed. */
export interface Op extends Omit<OpSpecification, "signature"> {
  readonly signature: Signature;
}

/** Declares an op; throws at once if its signature cannot be read. */
export function defineOp(specification: OpSpecification): Op {
  return { ...specification, signature: parseSignature(specification.signature) };
}

/** A kernel that is made of other ops on a backend that has no faster one. */
export interface Composed {
  readonly composed: (inputs: Tensors, params: Params) => Record<string, Tensor>;
  /** A kernel for those inputs that it suits. */
  readonly special?: { readonly suits: (inputs: Tensors, params: Params) => boolean; readonly kernel: unknown };
}

/** Marks a table entry as composed of other ops. */
export function composed(compose: Composed["composed"]): Composed {
  return { composed: compose };
}

/** A kernel for the inputs that `suits` accepts; others are composed of other ops. */
export function composedUnless(
  suits: (inputs: Tensors, params: Params) => boolean,
  kernel: unknown,
  compose: Composed["composed"],
): Composed {
  return { composed: compose, special: { suits, kernel } };
}

function isComposed(kernel: unknown): kernel is Composed {
  return typeof kernel === "object" && kernel !== null && "composed" in kernel;
}

/**
 * Runs an op: checks the signature, picks the device's kernel, allocates outputs, enqueues, and tells the
 * recorder if one is installed. The only dispatcher.
 *
 * @param op - what to run
 * @param inputs - tensors by argument name; all on one device
 * @param params - everything that is not a tensor
 * @returns outputs by name; computed later, in order
 */
export function apply(op: Op, inputs: Tensors, params: Params = {}): Record<string, Tensor> {
  const backend = commonBackend(op, inputs);
  const float = checkDtypes(op, inputs);
  const shapes: Record<string, Shape | undefined> = {};
  for (const [name, input] of Object.entries(inputs)) shapes[name] = input?.shape;
  const sizes = checkInputs(op.name, signatureOf(op, inputs), shapes);
  Object.assign(sizes.named, op.axes?.(params, sizes.named, inputs));
  if (op.view) return applyView(op, backend, inputs, params, sizes.named);

  const kernel = kernelFor(op, backend, inputs, params);
  if (isComposed(kernel)) return applyComposed(op, backend, kernel, { inputs, params, axes: sizes.named });

  const given = op.shapes?.(inputs, params);
  const outputs: Record<string, Tensor> = {};
  const call: KernelCall = { op: op.name, inputs, outputs, params, axes: sizes.named };
  try {
    for (const output of op.signature.outputs) {
      if (output.optional && op.produces && !op.produces(output.name, inputs, params)) continue;
      const shape = given?.[output.name] ?? outputShape(op.name, output, sizes);
      const dtype = op.outputDtype?.(output.name, inputs, params) ?? float;
      outputs[output.name] = allocateTensor(backend, dtype, shape, op.outputLayout);
    }
    backend.launch(kernel, call);
  } catch (error) {
    for (const output of Object.values(outputs)) output.dispose();
    throw error;
  }
  for (const name of op.mutates ?? []) inputs[name]!.storage.version++;
  backend.recorder?.record(op, call);
  return outputs;
}

function kernelFor(op: Op, backend: Backend, inputs: Tensors, params: Params): unknown {
  const kernel = backend.kernels[op.name];
  invariant(kernel !== undefined, `no kernel for ${op.name} on ${backend.name}`);
  return isComposed(kernel) && kernel.special?.suits(inputs, params) ? kernel.special.kernel : kernel;
}

function applyComposed(
  op: Op,
  backend: Backend,
  { composed: compose }: Composed,
  call: Pick<KernelCall, "inputs" | "params" | "axes">,
): Record<string, Tensor> {
  const { recorder } = backend;
  // without a gradient rule of its own the op is differentiated through its parts
  if (!recorder || !op.gradient) return compose(call.inputs, call.params);
  backend.recorder = undefined;
  let outputs: Record<string, Tensor>;
  try {
    outputs = scope(() => compose(call.inputs, call.params));
  } finally {
    backend.recorder = recorder;
  }
  recorder.record(op, { ...call, op: op.name, outputs });
  return outputs;
}

function applyView(
  op: Op,
  backend: Backend,
  inputs: Tensors,
  params: Params,
  axes: Record<string, number>,
): Record<string, Tensor> {
  const input = inputs[op.signature.inputs[0]!.name]!;
  const views = op.view!(input, params);
  const outputs: Record<string, Tensor> = {};
  views.forEach((view, i) => {
    outputs[op.signature.outputs[i]?.name ?? `part${i}`] = viewTensor(input, view);
  });
  backend.recorder?.record(op, { op: op.name, inputs, outputs, params, axes });
  return outputs;
}

function commonBackend(op: Op, inputs: Tensors): Backend {
  let first: [string, Tensor] | undefined;
  for (const [name, input] of Object.entries(inputs)) {
    if (!input) continue;
    first ??= [name, input];
    if (input.device === first[1].device) continue;
    const other = input.device.name === first[1].device.name ? `another ${input.device.name}` : input.device.name;
    throw new DeviceError(
      `${op.name}: all inputs must live on one device; ${first[0]} is on ${first[1].device.name} but ${name} on ${other}; move one with toDevice()`,
      { op: op.name, argument: name, expected: first[1].device.name, actual: input.device.name },
    );
  }
  invariant(first, `${op.name} was called without a tensor`);
  return backendOf(first[1].device);
}

const variadicSignatures = new Map<string, Signature>();

function signatureOf(op: Op, inputs: Tensors): Signature {
  if (!op.variadic) return op.signature;
  const names = Object.keys(inputs);
  const text = `${names.map((name) => `${name}[*]`).join(", ")} ${op.signature.text}`;
  // a model's optimizer comes with the same hundreds of names at every step
  const known = variadicSignatures.get(text) ?? parseSignature(text);
  variadicSignatures.set(text, known);
  return known;
}

function checkDtypes(op: Op, inputs: Tensors): DType {
  let float: { name: string; dtype: DType } | undefined;
  for (const argument of signatureOf(op, inputs).inputs) {
    const input = inputs[argument.name];
    if (!input) continue;
    checkLayout(op, argument, input);
    const allowed = op.dtypes?.[argument.name];
    if (allowed) {
      if (!allowed.includes(input.dtype)) throw wrongDtype(op, argument, input, allowed.join(" or "));
      continue;
    }
    if (isWeightFormat(op, argument, input)) continue;
    if (input.dtype !== "float32" && input.dtype !== "float64") throw wrongDtype(op, argument, input, "float32");
    float ??= { name: argument.name, dtype: input.dtype };
    if (input.dtype !== float.dtype) {
      throw wrongDtype(op, argument, input, `${float.dtype} like ${float.name}`);
    }
  }
  return float?.dtype ?? "float32";
}

/** Whether an input is a weight of another type than float32 and float64, as the device's kernels read it. */
function isWeightFormat(op: Op, argument: Argument, { dtype, layout, device }: Tensor): boolean {
  if (dtype === "float32" || dtype === "float64" || !op.packed?.includes(argument.name)) return false;
  if (!weightTypesOf(device.name).includes(dtype)) return false;
  return layout === "panels8" || device.name !== "wasm";
}

function wrongDtype(op: Op, argument: Argument, input: Tensor, expected: string): DtypeError {
  const isWeight = op.packed?.includes(argument.name) && weightTypesOf(input.device.name).includes(input.dtype);
  const toFloat = isFloat(input.dtype) && `cast it with cast(${argument.name}, "${expected.split(" ")[0]}")`;
  const hint = (isWeight && `pack it with packWeight(${argument.name})`) || toFloat || "pass another tensor";
  return new DtypeError(`${op.name}: ${argument.name} must be ${expected}; got ${input.dtype}; ${hint}`, {
    op: op.name,
    argument: argument.name,
    expected,
    actual: input.dtype,
  });
}

function checkLayout(op: Op, argument: Argument, input: Tensor): void {
  if (input.layout !== "strided" && !op.packed?.includes(argument.name)) {
    throw new ShapeError(
      `${op.name}: ${argument.name} must not be a packed weight; got ${formatShape(input.shape)} in panels; unpack it with unpackWeight()`,
      { op: op.name, argument: argument.name },
    );
  }
  const last = input.shape.length - 1;
  const ok = input.layout !== "strided" || takesAnyShape(argument) || last < 0 || input.shape[last]! <= 1;
  if (ok || input.strides[last] === 1) return;
  throw new ShapeError(
    `${op.name}: the last axis of ${argument.name} must have stride 1; got ${input.strides[last]}; call contiguous(${argument.name})`,
    { op: op.name, argument: argument.name },
  );
}
