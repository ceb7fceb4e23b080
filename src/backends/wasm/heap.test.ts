import { describe, expect, it } from "vitest";
import { Random } from "../../tensor/random.ts";
import { type Block, Heap } from "./heap.ts";

describe("Heap", () => {
  it("never hands out the same bytes twice and gives everything back", () => {
    let end = 0;
    const heap = new Heap(65_536, (to) => {
      end = Math.max(end, to);
    });
    const random = new Random(3);
    const live: Block[] = [];
    for (let i = 0; i < 3000; i++) {
      if (live.length > 0 && random.uniform() < 0.48) heap.free(live.splice(random.integer(live.length), 1)[0]!, 0);
      else live.push(heap.allocate(random.integer(5000)));
      if (i % 100 > 0) continue;
      const sorted = [...live].sort((a, b) => a.address - b.address);
      sorted.forEach((block, k) => {
        expect(block.capacity).toBeGreaterThanOrEqual(block.byteLength);
        expect(block.address % 64).toBe(0);
        if (k > 0) expect(block.address).toBeGreaterThanOrEqual(sorted[k - 1]!.address + sorted[k - 1]!.capacity);
      });
      expect(heap.used).toBe(live.reduce((sum, { capacity }) => sum + capacity, 0));
    }
    for (const block of live) heap.free(block, 0);
    expect(heap.used).toBe(0);
    // one hole is left: all of it can be had again without growing
    const before = end;
    heap.allocate(end - 65_536);
    expect(end).toBe(before);
  });

  it("keeps memory of unfinished lists from the host but not from later commands", () => {
    const heap = new Heap(0, () => {});
    const block = heap.allocate(128);
    heap.free(block, 7);
    const host = heap.allocate(128, 6);
    expect(host.address).not.toBe(block.address);
    expect(heap.allocate(128).address).toBe(block.address);
  });

  it("refuses a block that is freed twice", () => {
    const heap = new Heap(0, () => {});
    const block = heap.allocate(64);
    heap.allocate(64);
    heap.free(block, 0);
    expect(() => heap.free(block, 0)).toThrow(/freed twice/);
  });
});
