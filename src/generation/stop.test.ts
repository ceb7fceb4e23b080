import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { StopMatcher } from "./stop.ts";

/** Looks at every beginning of the text, shortest first, for a stop string at its end. */
function reference(text: string, stops: readonly string[]): { out: string; stopped: boolean } {
  for (let length = 1; length <= text.length; length++) {
    const ends = stops.filter((stop) => text.slice(0, length).endsWith(stop)).map((stop) => stop.length);
    if (ends.length > 0) return { out: text.slice(0, length - Math.max(...ends)), stopped: true };
  }
  return { out: text, stopped: false };
}

describe("StopMatcher", () => {
  it("cuts at the stop string that is complete first, however the text is cut into pieces", () => {
    const letters = fc.string({ unit: fc.constantFrom("a", "b"), maxLength: 24 });
    const stops = fc.array(fc.string({ unit: fc.constantFrom("a", "b"), minLength: 1, maxLength: 4 }), {
      maxLength: 3,
    });
    fc.assert(
      fc.property(letters, stops, fc.array(fc.integer({ min: 1, max: 4 })), (text, ends, sizes) => {
        const matcher = new StopMatcher(ends);
        let out = "";
        let stopped = false;
        for (let at = 0, i = 0; at < text.length && !stopped; i++) {
          const size = sizes[i % (sizes.length || 1)] ?? 1;
          const result = matcher.push(text.slice(at, at + size));
          out += result.text;
          stopped = result.stopped;
          at += size;
        }
        if (!stopped) out += matcher.flush();
        expect({ out, stopped }).toEqual(reference(text, ends));
      }),
    );
  });

  it("takes the longer of two stop strings that end together, and the one that ends first of two nested", () => {
    expect(new StopMatcher(["b", "ab"]).push("xab")).toEqual({ text: "x", stopped: true });
    expect(new StopMatcher(["abc", "b"]).push("xabc")).toEqual({ text: "xa", stopped: true });
  });

  it("holds back only what may begin a stop string", () => {
    const matcher = new StopMatcher(["###"]);
    expect(matcher.push("one #")).toEqual({ text: "one ", stopped: false });
    expect(matcher.push("# two")).toEqual({ text: "## two", stopped: false });
    expect(matcher.push("##")).toEqual({ text: "", stopped: false });
    expect(matcher.push("# three")).toEqual({ text: "", stopped: true });
    expect(matcher.flush()).toBe("");
  });
});
