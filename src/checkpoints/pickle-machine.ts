import { CheckpointError } from "../tensor/errors.ts";
import type { PickleValue } from "./pickle-values.ts";

/** What the format around a pickle decides. */
export interface PickleRules {
  /** The file, for messages. */
  readonly where: string;
  /** What an imported name stands for; undefined refuses it. */
  readonly global: (name: string) => PickleValue | undefined;
  /** What a persistent id stands for. */
  readonly persistent: (id: PickleValue) => PickleValue;
}

/** The state of a pickle that is being read: its bytes, stack, marks and memo. */
export class PickleMachine {
  readonly rules: PickleRules;
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  #at = 0;
  #stack: PickleValue[] = [];
  /** Stacks that a mark has put aside. */
  readonly #marked: PickleValue[][] = [];
  readonly #memo = new Map<number, PickleValue>();

  constructor(bytes: Uint8Array, rules: PickleRules) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.rules = rules;
  }

  /** An error that tells where in the pickle it came up. */
  fail(problem: string, facts: Record<string, unknown> = {}): CheckpointError {
    const message = `${this.rules.where}: pickle at byte ${this.#at}: ${problem}`;
    return new CheckpointError(`${message}; nothing was executed; save the weights again, best as safetensors`, {
      offset: this.#at,
      ...facts,
    });
  }

  /** The next `length` bytes, as a view. */
  take(length: number): Uint8Array {
    if (length > this.#bytes.length - this.#at) throw this.fail(`it must have ${length} more bytes, but it ends`);
    this.#at += length;
    return this.#bytes.subarray(this.#at - length, this.#at);
  }

  byte(): number {
    return this.take(1)[0]!;
  }

  /** Reads a number of `size` bytes through `get`, which is given its offset. */
  number<Value>(size: number, get: (view: DataView, at: number) => Value): Value {
    this.take(size);
    return get(this.#view, this.#at - size);
  }

  uint16(): number {
    return this.number(2, (view, at) => view.getUint16(at, true));
  }

  uint32(): number {
    return this.number(4, (view, at) => view.getUint32(at, true));
  }

  /** A length of 8 bytes. */
  uint64(): number {
    const value = this.number(8, (view, at) => view.getBigUint64(at, true));
    return value > BigInt(this.#bytes.length) ? Number.POSITIVE_INFINITY : Number(value);
  }

  /** UTF-8 text of `length` bytes. */
  text(length: number): string {
    try {
      return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(this.take(length));
    } catch (error) {
      throw error instanceof CheckpointError ? error : this.fail("text must be UTF-8");
    }
  }

  /** Text up to a line end, which is taken too. */
  line(): string {
    const end = this.#bytes.indexOf(0x0a, this.#at);
    if (end < 0) throw this.fail("a name must end with a line end");
    const text = this.text(end - this.#at);
    this.take(1);
    return text;
  }

  push(value: PickleValue): void {
    this.#stack.push(value);
  }

  pop(): PickleValue {
    const value = this.#stack.pop();
    if (value === undefined) throw this.fail("its stack is empty");
    return value;
  }

  peek(): PickleValue {
    const value = this.#stack.at(-1);
    if (value === undefined) throw this.fail("its stack is empty");
    return value;
  }

  /** The last `count` values, oldest first. */
  popMany(count: number): PickleValue[] {
    if (count > this.#stack.length) throw this.fail("its stack is empty");
    return this.#stack.splice(this.#stack.length - count, count);
  }

  mark(): void {
    this.#marked.push(this.#stack);
    this.#stack = [];
  }

  /** The values since the last mark, oldest first. */
  popToMark(): PickleValue[] {
    const values = this.#stack;
    const below = this.#marked.pop();
    if (!below) throw this.fail("it has no mark");
    this.#stack = below;
    return values;
  }

  remember(index = this.#memo.size): void {
    this.#memo.set(index, this.peek());
  }

  recall(index: number): void {
    const value = this.#memo.get(index);
    if (value === undefined) throw this.fail(`it has no memo ${index}`);
    this.push(value);
  }

  /** Looks up an imported name. */
  import(module: string, name: string): void {
    const full = `${module}.${name}`;
    const value = this.rules.global(full);
    if (value === undefined) {
      throw this.fail(`"${full.slice(0, 200)}" is not among the names a weights file may use`, { name: full });
    }
    this.push(value);
  }
}
