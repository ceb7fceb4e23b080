import { describe, expect, it } from "vitest";
import { CommandList } from "./command-list.ts";

const slots = new Map([
  ["f", 20],
  ["g", 21],
]);

/** The barrier words of a list. */
function barriers(words: Int32Array): number[] {
  const found: number[] = [];
  for (let at = 0; words[at] !== -1; at += words[at + 1]!) found.push(words[at + 2]!);
  return found;
}

describe("CommandList", () => {
  it("asks for a barrier only where a command needs what another wrote, or overwrites what another uses", () => {
    const list = new CommandList(slots);
    list.add("f", "a", [], { reads: [[0, 8]], writes: [[100, 8]] });
    list.add("f", "b", [], { reads: [[0, 8]], writes: [[108, 8]] }); // independent
    list.add("f", "c", [], { reads: [[104, 8]], writes: [[200, 8]] }); // reads what a and b wrote
    list.add("f", "d", [], { reads: [[100, 4]], writes: [[300, 8]] }); // a is behind the barrier
    list.add("g", "e", [], { reads: [], writes: [[207, 8]] }); // overwrites what c wrote
    list.add("g", "f", [], { reads: [], writes: [[100, 4]] }); // d's input is behind the barrier
    expect(barriers(list.take())).toEqual([0, 0, 1, 0, 1, 0]);
  });

  it("asks for none before reading what every thread has written itself, behind a barrier of the command before", () => {
    const list = new CommandList(slots);
    const afterBarrier = { reads: [[100, 8]], writes: [[200, 8]] } as const;
    list.add("f", "a", [], { reads: [[0, 8]], writes: [[100, 8]] });
    list.add("g", "b", [], {
      reads: [[0, 8]],
      writes: [
        [100, 8],
        [200, 8],
      ],
      afterBarrier,
    }); // overwrites what a wrote
    list.add("f", "c", [], { reads: [[200, 8]], writes: [[0, 8]] }); // reads what b wrote, overwrites what it read first
    list.add("f", "d", [], { reads: [], writes: [[104, 8]] }); // overwrites what b reads behind its barrier
    expect(barriers(list.take())).toEqual([0, 1, 0, 1]);
    list.add("g", "b", [], { reads: [], writes: [[200, 8]], afterBarrier });
    list.add("f", "e", [], { reads: [], writes: [[200, 4]] }); // overwrites what b writes last
    expect(barriers(list.take())).toEqual([0, 1]);
  });

  it("encodes slot, length, label and arguments, and grows", () => {
    const list = new CommandList(slots);
    for (let i = 0; i < 5000; i++) list.add("g", "label", [i, -i], { reads: [], writes: [] });
    expect(list.count).toBe(5000);
    const words = list.take();
    expect(words.length).toBe(5000 * 6 + 1);
    expect([...words.slice(6 * 4321, 6 * 4321 + 6)]).toEqual([21, 6, 0, 0, 4321, -4321]);
    expect(list.label(0)).toBe("label");
    expect(list.count).toBe(0);
  });
});
