import { invariant } from "../../tensor/errors.ts";

/** A piece of wasm memory that a tensor or a list lives in. */
export interface Block {
  readonly address: number;
  /** Bytes asked for. */
  readonly byteLength: number;
  /** Bytes held, a multiple of {@link ALIGNMENT}. */
  readonly capacity: number;
}

interface Hole {
  address: number;
  size: number;
  /** Number of the last list whose commands may touch these bytes. */
  lastList: number;
}

const ALIGNMENT = 64;

/**
 * Hands out wasm memory.
 *
 * Memory is freed in list order: a later command may have it at once, because commands run in order, but the host
 * may write into it only when every list that could still touch it is done. So each hole remembers the last such list.
 */
export class Heap {
  #holes: Hole[] = [];
  #end: number;
  #used = 0;
  #peak = 0;
  #blocks = 0;
  readonly #grow: (end: number) => void;

  /**
   * @param start - first address
   * @param grow - makes memory reach to an address, or throws OutOfMemoryError
   */
  constructor(start: number, grow: (end: number) => void) {
    this.#end = start;
    this.#grow = grow;
  }

  get used(): number {
    return this.#used;
  }

  get peak(): number {
    return this.#peak;
  }

  get blocks(): number {
    return this.#blocks;
  }

  /**
   * The smallest hole that fits, else new memory.
   *
   * @param doneList - only memory that no list after this one touches; default any
   */
  allocate(byteLength: number, doneList = Number.POSITIVE_INFINITY): Block {
    const capacity = Math.max(ALIGNMENT, Math.ceil(byteLength / ALIGNMENT) * ALIGNMENT);
    const address = this.#takeHole(capacity, doneList) ?? this.#extend(capacity);
    this.#used += capacity;
    this.#peak = Math.max(this.#peak, this.#used);
    this.#blocks++;
    return { address, byteLength, capacity };
  }

  /** Gives a block back; commands of lists up to `lastList` may still touch it. */
  free({ address, capacity }: Block, lastList: number): void {
    this.#used -= capacity;
    this.#blocks--;
    const at = this.#indexAfter(address);
    this.#holes.splice(at, 0, { address, size: capacity, lastList });
    this.#merge(at);
    if (at > 0) this.#merge(at - 1);
  }

  #takeHole(size: number, doneList: number): number | undefined {
    let best = -1;
    for (let i = 0; i < this.#holes.length; i++) {
      const hole = this.#holes[i]!;
      if (hole.size < size || hole.lastList > doneList) continue;
      if (best < 0 || hole.size < this.#holes[best]!.size) best = i;
    }
    if (best < 0) return undefined;
    const hole = this.#holes[best]!;
    const { address } = hole;
    if (hole.size === size) this.#holes.splice(best, 1);
    else {
      hole.address += size;
      hole.size -= size;
    }
    return address;
  }

  #extend(size: number): number {
    const address = this.#end;
    this.#grow(address + size);
    this.#end = address + size;
    return address;
  }

  #indexAfter(address: number): number {
    let [low, high] = [0, this.#holes.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.#holes[middle]!.address < address) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  /** Joins hole `i` with the next one if they touch. */
  #merge(i: number): void {
    const [hole, next] = [this.#holes[i]!, this.#holes[i + 1]];
    if (!next) return;
    invariant(hole.address + hole.size <= next.address, "a block of wasm memory was freed twice");
    if (hole.address + hole.size !== next.address) return;
    hole.size += next.size;
    hole.lastList = Math.max(hole.lastList, next.lastList);
    this.#holes.splice(i + 1, 1);
  }
}
