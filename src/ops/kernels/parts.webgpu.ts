import type { WebgpuKernel, WebgpuKernelContext } from "../../backends/webgpu/index.ts";
import type { KernelCall } from "../../tensor/device.ts";
import { bytesPerElement } from "../../tensor/dtype.ts";
import { OutOfMemoryError } from "../../tensor/errors.ts";
import { broadcastStrides, formatShape, isDense } from "../../tensor/shape.ts";
import { allocateTensor, backendOf, type Tensor, type View } from "../../tensor/tensor.ts";
import { addInto } from "../movement/webgpu.ts";
import type { Composed, Op } from "../op.ts";
import { operations } from "../operations.ts";
import { type Cut, cuts } from "./cuts.ts";

/** An argument, or a part of it. */
interface Part {
  readonly whole: Tensor;
  readonly view: View;
  readonly isOutput: boolean;
}

/** A call whose arguments may be parts of tensors. */
interface PartCall {
  readonly parts: Readonly<Record<string, Part>>;
  readonly axes: KernelCall["axes"];
}

/** The same kernels; those that can, work on parts of tensors that are larger than a binding may be. */
export function cutLarge<Kernels extends Readonly<Record<string, WebgpuKernel | Composed>>>(kernels: Kernels): Kernels {
  const made = Object.entries(kernels).map(([name, kernel]) => {
    const cut = cuts[name];
    const op = (operations as Readonly<Record<string, Op>>)[name];
    return [name, cut && op && typeof kernel === "function" ? inParts(op, kernel, cut) : kernel];
  });
  return Object.fromEntries(made) as Kernels;
}

function inParts(op: Op, kernel: WebgpuKernel, cut: Cut): WebgpuKernel {
  return (context, call) => {
    if (!context.hasLarge) return kernel(context, call);
    const encoder = new PartEncoder(context, kernel, call, cut, cut.axesOf?.(call) ?? axesOf(op, call));
    encoder.encode({ parts: encoder.whole(), axes: call.axes });
  };
}

/** Names of axes by argument, as the signature has them. */
function axesOf({ signature }: Op, { inputs, outputs }: KernelCall): Record<string, readonly string[]> {
  const names: Record<string, readonly string[]> = {};
  for (const { name, axes } of [...signature.inputs, ...signature.outputs]) {
    const tensor = inputs[name] ?? outputs[name];
    if (!tensor) continue;
    const isOpen = axes[0]?.kind === "any";
    const leading = isOpen ? outputs["y"]!.shape.length : tensor.shape.length - axes.length + 1;
    names[name] = axes.flatMap((axis) => {
      if (axis.kind === "leading" || axis.kind === "any") return Array.from({ length: leading }, (_, i) => `...${i}`);
      return [axis.kind === "named" && axis.plus === 0 ? axis.name : ""];
    });
  }
  return names;
}

class PartEncoder {
  readonly #context: WebgpuKernelContext;
  readonly #kernel: WebgpuKernel;
  readonly #call: KernelCall;
  readonly #cut: Cut;
  readonly #names: Readonly<Record<string, readonly string[]>>;

  constructor(
    context: WebgpuKernelContext,
    kernel: WebgpuKernel,
    call: KernelCall,
    cut: Cut,
    names: Readonly<Record<string, readonly string[]>>,
  ) {
    this.#context = context;
    this.#kernel = kernel;
    this.#call = call;
    this.#cut = cut;
    this.#names = names;
  }

  /** All arguments as they are; inputs that are broadcast have the axes of the output. */
  whole(): Record<string, Part> {
    const { inputs, outputs } = this.#call;
    const parts: Record<string, Part> = {};
    for (const [name, whole] of Object.entries({ ...inputs, ...outputs })) {
      if (!whole) continue;
      const isOutput = outputs[name] !== undefined;
      const shape = this.#cut.broadcasts ? outputs["y"]!.shape : whole.shape;
      const strides = broadcastStrides(whole.shape, whole.strides, shape);
      parts[name] = { whole, view: { shape, strides, offset: whole.offset }, isOutput };
    }
    return parts;
  }

  encode({ parts, axes }: PartCall): void {
    const tensors: Record<string, Tensor> = {};
    let large: string | undefined;
    for (const [name, { whole, view }] of Object.entries(parts)) {
      const isOwn = this.#cut.own?.includes(name);
      const window = isOwn ? whole : this.#context.window(whole, view);
      if (window) tensors[name] = window;
      else if (!large || bytesOf(parts[name]!) > bytesOf(parts[large]!)) large = name;
    }
    if (large) this.#split({ parts, axes }, large);
    else this.#context.within(() => this.#run(parts, tensors, axes));
  }

  #run(parts: PartCall["parts"], tensors: Readonly<Record<string, Tensor>>, axes: KernelCall["axes"]): void {
    const pick = (given: KernelCall["inputs"]): Record<string, Tensor> =>
      Object.fromEntries(Object.keys(given).flatMap((name) => (tensors[name] ? [[name, tensors[name]]] : [])));
    const places = Object.entries(parts).map(([name, { whole, view }]) => [name, view.offset - whole.offset]);
    this.#context.positions = Object.fromEntries(places);
    const { inputs, outputs } = this.#call;
    this.#kernel(this.#context, { ...this.#call, inputs: pick(inputs), outputs: pick(outputs), axes });
    this.#context.positions = {};
  }

  /** Cuts the axis of the largest argument along which its elements lie farthest apart. */
  #split({ parts, axes }: PartCall, large: string): void {
    const { shape, strides } = parts[large]!.view;
    const farthest = Math.max(...strides.filter((_, axis) => shape[axis]! > 1));
    const along = shape.findIndex((length, axis) => length > 1 && strides[axis] === farthest);
    const name = this.#names[large]![along];
    const count = name && this.#isCut(name) ? this.#countOf(parts, large, name) : undefined;
    const size = shape[along]!;
    if (count === undefined || count >= size) throw this.#refusal(large, parts[large]!);
    for (let first = 0; first < size; first += count) {
      this.#part({ parts, axes }, name!, first, Math.min(count, size - first));
    }
  }

  #isCut(name: string): boolean {
    return this.#cut.along.includes(name) || (name.startsWith("...") && this.#cut.along.includes("..."));
  }

  /**
   * How many of an axis a part has, so that outputs begin where bindings may if so many fit, else with whole words; undefined if an
   * output cannot be cut along it.
   */
  #countOf(parts: PartCall["parts"], large: string, name: string): number | undefined {
    const { maxStorageBufferBindingSize, minStorageBufferOffsetAlignment: alignment } = this.#context.limits;
    let [unit, least] = [1, 1];
    for (const [argument, { whole, view, isOutput }] of Object.entries(parts)) {
      const axis = this.#names[argument]!.indexOf(name);
      if (!isOutput || axis < 0) continue;
      const isOutermost = view.shape.slice(0, axis).every((size) => size === 1);
      if (!isOutermost && !this.#cut.writesRows) return undefined;
      const bytes = view.strides[axis]! * bytesPerElement(whole.dtype);
      while ((unit * bytes) % alignment !== 0) unit *= 2;
      while ((least * bytes) % 4 !== 0) least *= 2;
    }
    const { whole, view } = parts[large]!;
    const bytes = view.strides[this.#names[large]!.indexOf(name)]! * bytesPerElement(whole.dtype);
    const most = (maxStorageBufferBindingSize - 2 * alignment) / bytes;
    const own = unit <= most ? unit : least;
    return Math.max(1, Math.floor(most / own)) * own;
  }

  /** Encodes what is from `first` on along an axis; outputs that lack it are added up. */
  #part({ parts, axes }: PartCall, name: string, first: number, count: number): void {
    const own: Record<string, Part> = {};
    const sums: [Part, Tensor][] = [];
    for (const [argument, part] of Object.entries(parts)) {
      const axis = this.#names[argument]!.indexOf(name);
      if (axis >= 0) own[argument] = { ...part, view: sliced(part.view, axis, first, count) };
      else if (!part.isOutput || first === 0) own[argument] = part;
      else {
        const { whole, view } = part;
        if (!isDense(view.shape, view.strides)) throw this.#refusal(argument, part);
        const sum = allocateTensor(backendOf(whole.device), whole.dtype, view.shape);
        sums.push([part, sum]);
        own[argument] = { whole: sum, view: sum, isOutput: true };
      }
    }
    this.encode({ parts: own, axes: name in axes ? { ...axes, [name]: count } : axes });
    for (const [{ whole, view }, sum] of sums) {
      addInto(this.#context, whole, view, sum);
      sum.dispose();
    }
  }

  #refusal(name: string, part: Part): OutOfMemoryError {
    const { maxStorageBufferBindingSize: limit } = this.#context.limits;
    const byteLength = bytesOf(part);
    const { op } = this.#call;
    return new OutOfMemoryError(
      `${op}: ${name} must have at most ${limit} bytes in one binding of this device; got ${formatShape(part.view.shape)} over ${byteLength} bytes, which cannot be cut here; use a smaller batch or shorter rows, or device "wasm"`,
      { op, argument: name, byteLength, limit },
    );
  }
}

function sliced({ shape, strides, offset }: View, axis: number, first: number, count: number): View {
  return { shape: shape.with(axis, count), strides, offset: offset + first * strides[axis]! };
}

/** Bytes from the first to the last element. */
function bytesOf({ whole, view }: Part): number {
  if (whole.layout !== "strided") return whole.storage.byteLength;
  const reach = view.shape.reduce((sum, size, axis) => sum + (size - 1) * view.strides[axis]!, 1);
  return reach * bytesPerElement(whole.dtype);
}
