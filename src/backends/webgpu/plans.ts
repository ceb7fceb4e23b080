import type { KernelCall, MatmulPrecision } from "../../tensor/device.ts";
import { Tensor } from "../../tensor/tensor.ts";
import type { GpuMemory } from "./buffer-pool.ts";
import type { CommandSink } from "./commands.ts";
import type { Bound, WebgpuKernel } from "./kernel.ts";
import type { Program } from "./program.ts";

/** A buffer of a call: one of its tensors by number, or scratch, counted on from the tensors. */
type Place = number;

type Step =
  | {
      readonly program: Program;
      readonly bound: readonly Place[];
      readonly params: Readonly<Record<string, number>>;
      readonly groups: number;
    }
  | {
      readonly from: Place;
      readonly fromOffset: number;
      readonly to: Place;
      readonly toOffset: number;
      readonly byteLength: number;
    };

/** What a kernel enqueues for calls that are alike in all but their buffers. */
interface Plan {
  readonly facts: readonly unknown[];
  readonly scratch: readonly number[];
  readonly steps: readonly Step[];
}

/** A kernel's plans are few: the shapes of a program, unless its sequences have all lengths. */
const MOST_PLANS = 1024;
/** After so many calls that were like none before, a kernel whose calls mostly are not is left alone: its parameters change every time. */
const TRIAL = 256;

/** Plans of one kernel. */
interface Known {
  readonly byHash: Map<number, Plan[]>;
  hits: number;
  misses: number;
}

/**
 * What kernels enqueued, by all that decides it: op, parameters, and of each tensor its type, layout, shape, strides, place in its buffer
 * and which others share that buffer. A call like one before is then enqueued without running the kernel's own code again: choosing
 * variants and naming programs takes longer than handing them over. A kernel that does more than dispatch and copy within
 * the call's own buffers is never planned.
 */
export class Plans {
  readonly #known = new Map<WebgpuKernel, Known>();
  /** Of the call at hand; made once and used again. */
  readonly #facts: unknown[] = [];
  readonly #tensors: Tensor[] = [];
  #hash = 0;
  readonly #numbers = new Map<string, number>();

  /** The plan for a call; or where to note it; or nothing, where that would not pay. */
  find(kernel: WebgpuKernel, call: KernelCall, precision: MatmulPrecision): Plan | PlanNotes | undefined {
    let known = this.#known.get(kernel);
    if (!known) {
      known = { byHash: new Map(), hits: 0, misses: 0 };
      this.#known.set(kernel, known);
    }
    const { byHash, hits, misses } = known;
    if (misses >= TRIAL && hits < misses) return undefined;
    this.#describe(call, precision);
    const plan = byHash.get(this.#hash)?.find(({ facts }) => isEqual(facts, this.#facts));
    if (plan) known.hits++;
    else known.misses++;
    return plan ?? this.#notesFor(known);
  }

  #notesFor({ byHash }: Known): PlanNotes {
    const facts = this.#facts.slice();
    const hash = this.#hash;
    return new PlanNotes(this.#tensors.slice(), (scratch, steps) => {
      if (byHash.size >= MOST_PLANS) byHash.clear();
      const plan = { facts, scratch, steps };
      const bucket = byHash.get(hash);
      if (bucket) bucket.push(plan);
      else byHash.set(hash, [plan]);
    });
  }

  /** Enqueues a plan for the call that was just looked for. */
  run({ scratch, steps }: Plan, op: string, allocate: (byteLength: number) => GpuMemory, sink: CommandSink): void {
    const memories = this.#tensors.map((tensor) => tensor.storage.memory as GpuMemory);
    for (const byteLength of scratch) memories.push(allocate(byteLength));
    for (const step of steps) {
      if ("program" in step) {
        const bound = step.bound.map((place) => memories[place]!);
        sink.dispatch(step.program, bound, step.params, step.groups, op);
      } else {
        const { from, fromOffset, to, toOffset, byteLength } = step;
        sink.copy(memories[from]!, fromOffset, memories[to]!, toOffset, byteLength);
      }
    }
  }

  /** Forgets the tensors of the last call. */
  release(): void {
    this.#tensors.length = 0;
  }

  #describe({ op, inputs, outputs, params }: KernelCall, precision: MatmulPrecision): void {
    this.#facts.length = 0;
    this.#tensors.length = 0;
    this.#hash = 0;
    this.#add(op);
    this.#add(precision);
    for (const name in params) {
      const value = params[name];
      this.#add(name);
      if (Array.isArray(value)) for (const one of value) this.#add(one);
      else this.#add(value);
    }
    for (const name in inputs) if (inputs[name]) this.#addTensor(name, inputs[name]);
    for (const name in outputs) this.#addTensor(name, outputs[name]!);
  }

  #addTensor(name: string, tensor: Tensor): void {
    const { storage, dtype, layout, shape, strides, offset } = tensor;
    let sharer = 0;
    while (sharer < this.#tensors.length && this.#tensors[sharer]!.storage !== storage) sharer++;
    this.#tensors.push(tensor);
    this.#add(name);
    this.#add(dtype);
    this.#add(layout);
    this.#add(sharer);
    this.#add(offset);
    this.#add(shape.length);
    for (let i = 0; i < shape.length; i++) {
      this.#add(shape[i]);
      this.#add(strides[i]);
    }
  }

  #add(fact: unknown): void {
    this.#facts.push(fact);
    this.#hash = Math.imul(this.#hash ^ this.#numberOf(fact), 0x01000193);
  }

  /** Any number for a fact, the same for equal ones. */
  #numberOf(fact: unknown): number {
    if (typeof fact === "number") return Number.isInteger(fact) ? fact | 0 : Math.fround(fact * 1e6) | 0;
    const name = String(fact);
    let number = this.#numbers.get(name);
    if (number === undefined) {
      number = this.#numbers.size + 1;
      this.#numbers.set(name, number);
    }
    return number;
  }
}

function isEqual(a: readonly unknown[], b: readonly unknown[]): boolean {
  if (a.length !== b.length) return false;
  for (let i = 0; i < a.length; i++) if (!Object.is(a[i], b[i])) return false;
  return true;
}

/** What a kernel enqueues, as it does. */
export class PlanNotes {
  readonly #tensors: readonly Tensor[];
  readonly #keep: (scratch: readonly number[], steps: readonly Step[]) => void;
  readonly #scratch: number[] = [];
  readonly #memories: GpuMemory[] = [];
  readonly #steps: Step[] = [];
  #isWhole = true;

  constructor(tensors: readonly Tensor[], keep: (scratch: readonly number[], steps: readonly Step[]) => void) {
    this.#tensors = tensors;
    this.#keep = keep;
  }

  scratch(byteLength: number, memory: GpuMemory): void {
    this.#scratch.push(byteLength);
    this.#memories.push(memory);
  }

  dispatch(program: Program, bound: readonly Bound[], params: Readonly<Record<string, number>>, groups: number): void {
    this.#steps.push({ program, bound: bound.map((one) => this.#placeOf(one)), params, groups });
  }

  copy(from: Bound, fromOffset: number, to: Bound, toOffset: number, byteLength: number): void {
    const places = { from: this.#placeOf(from), to: this.#placeOf(to) };
    this.#steps.push({ ...places, fromOffset, toOffset, byteLength });
  }

  /** The kernel did something that the next call would lack. */
  giveUp(): void {
    this.#isWhole = false;
  }

  /** The kernel is done. */
  finish(): void {
    if (this.#isWhole) this.#keep(this.#scratch, this.#steps);
  }

  #placeOf(bound: Bound): Place {
    const place =
      bound instanceof Tensor
        ? this.#tensors.findIndex((tensor) => tensor.storage === bound.storage)
        : this.#tensors.length + this.#memories.lastIndexOf(bound);
    const isKnown = bound instanceof Tensor ? place >= 0 : place >= this.#tensors.length;
    if (!isKnown) this.giveUp();
    return place;
  }
}
