import { invariant } from "../../tensor/errors.ts";
import type { Access, Range } from "./kernel.ts";

const END = -1;
const HEADER_WORDS = 4;

/** Commands of one list, with barriers only where one command needs what another wrote. */
export class CommandList {
  readonly #slots: ReadonlyMap<string, number>;
  #words = new Int32Array(4096);
  #length = 0;
  #reads: Range[] = [];
  #writes: Range[] = [];
  /** Written in whole by every thread, so that whoever reads them has written them itself. */
  #repeated: Range[] = [];
  #labels: string[] = [];
  #labelIndex = new Map<string, number>();
  #count = 0;

  /** @param slots - place in the function table by kernel name */
  constructor(slots: ReadonlyMap<string, number>) {
    this.#slots = slots;
  }

  /** Commands so far. */
  get count(): number {
    return this.#count;
  }

  /** Words so far. */
  get length(): number {
    return this.#length;
  }

  /** Labels that command words refer to. They stay when the list is taken. */
  label(index: number): string {
    return this.#labels[index] ?? "unknown";
  }

  /** Appends a command. */
  add(kernel: string, label: string, args: readonly number[], access: Access): void {
    const slot = this.#slots.get(kernel);
    invariant(slot !== undefined, `there is no wasm kernel ${kernel}`);
    const wordCount = HEADER_WORDS + args.length;
    this.#reserve(wordCount + 1);
    const words = this.#words;
    const at = this.#length;
    words[at] = slot;
    words[at + 1] = wordCount;
    words[at + 2] = this.#needsBarrier(access) ? 1 : 0;
    words[at + 3] = this.#indexOf(label);
    for (let i = 0; i < args.length; i++) words[at + HEADER_WORDS + i] = args[i]!;
    this.#length += wordCount;
    this.#count++;
  }

  /** The finished list; starts an empty one. */
  take(): Int32Array {
    this.#words[this.#length] = END;
    const taken = this.#words.slice(0, this.#length + 1);
    this.#length = 0;
    this.#count = 0;
    this.#reads = [];
    this.#writes = [];
    this.#repeated = [];
    return taken;
  }

  #reserve(more: number): void {
    if (this.#length + more <= this.#words.length) return;
    const grown = new Int32Array(Math.max(this.#words.length * 2, this.#length + more));
    grown.set(this.#words);
    this.#words = grown;
  }

  #indexOf(label: string): number {
    const known = this.#labelIndex.get(label);
    if (known !== undefined) return known;
    this.#labelIndex.set(label, this.#labels.length);
    return this.#labels.push(label) - 1;
  }

  /** Remembers what the command touches; a barrier forgets all before it. */
  #needsBarrier({ reads, writes, afterBarrier }: Access): boolean {
    const conflict =
      overlaps(reads, this.#writes) ||
      overlaps(writes, this.#writes) ||
      overlaps(writes, this.#reads) ||
      overlaps(writes, this.#repeated);
    if (conflict || afterBarrier) {
      this.#reads = [];
      this.#writes = [];
      this.#repeated = [];
    }
    if (afterBarrier) {
      this.#reads.push(...afterBarrier.reads);
      this.#repeated.push(...afterBarrier.writes);
    } else {
      this.#reads.push(...reads);
      this.#writes.push(...writes);
    }
    return conflict;
  }
}

function overlaps(some: readonly Range[], others: readonly Range[]): boolean {
  for (const [start, length] of some) {
    for (const [otherStart, otherLength] of others) {
      if (start < otherStart + otherLength && otherStart < start + length) return true;
    }
  }
  return false;
}
