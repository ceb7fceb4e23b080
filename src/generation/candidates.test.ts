import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { candidates, topIds } from "./candidates.ts";

interface Filters {
  readonly temperature: number;
  readonly topK: number;
  readonly topP: number;
  readonly minP: number;
}

const all: Filters = { temperature: 1, topK: 0, topP: 1, minP: 0 };

/** Probabilities by id, 0 for what cannot be drawn. */
function probabilities(logits: readonly number[], filters: Filters): number[] {
  const { ids, weights } = candidates(Float32Array.from(logits), filters);
  const total = weights.reduce((sum, weight) => sum + weight, 0);
  const out = logits.map(() => 0);
  weights.forEach((weight, i) => {
    out[ids ? ids[i]! : i] = weight / total;
  });
  return out;
}

/** The filters one after the other on a sorted list of all tokens, each scaled to a sum of 1 again. */
function reference(logits: readonly number[], { temperature, topK, topP, minP }: Filters) {
  const scale = (list: { id: number; p: number }[]) => {
    const total = list.reduce((sum, { p }) => sum + p, 0);
    return list.map(({ id, p }) => ({ id, p: p / total }));
  };
  const most = Math.max(...logits);
  let kept = logits.map((logit, id) => ({ id, p: Math.exp((logit - most) / temperature) }));
  kept = scale(kept.sort((a, b) => b.p - a.p || a.id - b.id).slice(0, topK || logits.length));
  let closest = 1;
  let before = 0;
  kept = kept.filter(({ p }) => {
    const keep = before < topP;
    closest = Math.min(closest, before === 0 ? 1 : Math.abs(before - topP));
    before += p;
    return keep;
  });
  kept = scale(kept).filter(({ p }, _, list) => p >= minP * list[0]!.p);
  const out = logits.map(() => 0);
  for (const { id, p } of scale(kept)) out[id] = p;
  return { out, closest };
}

describe("candidates", () => {
  it("keeps what is kept by hand", () => {
    const logits = [0.4, 0.3, 0.2, 0.1].map(Math.log);
    const close = (filters: Partial<Filters>, expected: number[]): void => {
      probabilities(logits, { ...all, ...filters }).forEach((p, id) => {
        expect(p).toBeCloseTo(expected[id]!, 6);
      });
    };
    close({}, [0.4, 0.3, 0.2, 0.1]);
    close({ temperature: 0.5 }, [16 / 30, 9 / 30, 4 / 30, 1 / 30]);
    close({ topK: 2 }, [4 / 7, 3 / 7, 0, 0]);
    close({ topP: 0.65 }, [4 / 7, 3 / 7, 0, 0]);
    close({ topP: 0.75 }, [4 / 9, 3 / 9, 2 / 9, 0]);
    close({ topK: 3, topP: 0.75 }, [4 / 7, 3 / 7, 0, 0]); // 0.7 / 0.9 of the top 3 is more than 0.75
    close({ minP: 0.45 }, [4 / 9, 3 / 9, 2 / 9, 0]);
    expect(probabilities([0, 1, 0, 1], { ...all, minP: 1 })).toEqual([0, 0.5, 0, 0.5]);
    close({ temperature: 0.5, minP: 0.3 }, [16 / 25, 9 / 25, 0, 0]); // 4 / 16 < 0.3
  });

  it("is the filters one after the other for any logits", () => {
    const filters = fc.record({
      temperature: fc.double({ min: 0.05, max: 5, noNaN: true }),
      topK: fc.integer({ min: 0, max: 40 }),
      topP: fc.oneof(fc.constant(1), fc.double({ min: 0.01, max: 1, noNaN: true })),
      minP: fc.oneof(fc.constant(0), fc.constant(0.0301), fc.constant(0.501)),
    });
    const logits = fc.array(fc.oneof(fc.integer({ min: -6, max: 6 }), fc.constant(-Infinity)), {
      minLength: 1,
      maxLength: 50,
    });
    fc.assert(
      fc.property(logits, filters, (given, options) => {
        fc.pre(given.some((logit) => logit > -Infinity));
        const { out, closest } = reference(given, options);
        fc.pre(closest > 1e-9); // rounding decides otherwise
        probabilities(given, options).forEach((p, id) => {
          expect(p).toBeCloseTo(out[id]!, 9);
        });
      }),
      { numRuns: 500 },
    );
  });

  it("keeps the exact nucleus of a large vocabulary, flat or peaked", () => {
    for (const spread of [0, 1e-4, 1, 30]) {
      // a permutation of 0 to 9999: 7919 is prime and does not divide 10000
      const logits = Array.from({ length: 10_000 }, (_, id) => (spread * ((id * 7919) % 10_000)) / 10_000);
      const rounded = Array.from(Float32Array.from(logits));
      const filters = { ...all, topP: 0.61803 };
      const { out } = reference(rounded, filters);
      const actual = probabilities(rounded, filters);
      expect(actual.filter((p) => p > 0)).toHaveLength(out.filter((p) => p > 0).length);
      expect(actual.every((p, id) => p > 0 === out[id]! > 0)).toBe(true);
    }
  });

  it("breaks ties at the edge for the lowest id", () => {
    expect(probabilities([1, 1, 1, 1], { ...all, topP: 0.5 })).toEqual([0.5, 0.5, 0, 0]);
    expect(probabilities([1, 1, 1, 1], { ...all, topK: 2 })).toEqual([0.5, 0.5, 0, 0]);
    expect(Array.from(topIds(Float32Array.of(1, 2, 2, 1, 2), 4))).toEqual([1, 2, 4, 0]);
  });
});
