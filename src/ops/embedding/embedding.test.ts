import { describe, expect, it } from "vitest";
import { fastBackends, indices, sharedDevice, testOp } from "../../../test/kit/test-op.ts";
import { tensor } from "../../tensor/tensor.ts";
import { openDevice } from "../devices.ts";
import { packWeight } from "../linear/index.ts";
import { apply } from "../op.ts";
import { embedding } from "./index.ts";
import { embeddingBackwardOp, embeddingOp } from "./operations.ts";

testOp(embeddingOp, {
  cases: [
    { leading: [4, 3], axes: { vocab: 7, channels: 5 }, fill: { ids: indices(7) } },
    { leading: [1, 1], axes: { vocab: 1, channels: 1 }, fill: { ids: indices(1) } },
    { leading: [300], axes: { vocab: 11, channels: 33 }, fill: { ids: indices(11) } },
    { leading: [], axes: { vocab: 3, channels: 8 }, fill: { ids: indices(3) } },
  ],
});
testOp(embeddingBackwardOp, {
  differentiable: false,
  cases: [
    { leading: [6], axes: { channels: 4 }, params: { vocab: 3 }, fill: { ids: indices(3) } },
    { leading: [2, 200], axes: { channels: 131 }, params: { vocab: 17 }, fill: { ids: indices(17) } },
  ],
});

describe("embedding", () => {
  for (const name of ["reference" as const, ...fastBackends]) {
    it(`copies rows of plain and packed tables on ${name}`, async () => {
      const device = await sharedDevice(name);
      const table = tensor(
        Array.from({ length: 27 }, (_, i) => i),
        [9, 3],
        { device },
      );
      const ids = tensor(Int32Array.of(8, 0, 7), [3], { device });
      const rows = [24, 25, 26, 0, 1, 2, 21, 22, 23];
      expect([...(await embedding(table, ids).read())]).toEqual(rows);
      expect([...(await embedding(packWeight(table), ids).read())]).toEqual(rows);
    });
  }

  it("says which id is out of range at the next read on wasm, and gives zeros", async () => {
    const device = await sharedDevice("wasm");
    const table = tensor([1, 2, 3, 4], [2, 2], { device });
    for (const id of [2, -1]) {
      const y = embedding(table, tensor(Int32Array.of(1, id), [2], { device }));
      await expect(y.read()).rejects.toThrow(
        `embedding: ids must be in 0 to 1; got ${id}; check the tokenizer against the model`,
      );
      expect([...(await y.read())]).toEqual([3, 4, 0, 0]);
    }
  });

  it("sums rows of equal ids to the same bits with any number of threads", async () => {
    const results = [];
    for (const threads of [0, 2, 3]) {
      using device = await openDevice("wasm", { threads });
      const ids = tensor(
        Int32Array.from({ length: 500 }, (_, i) => (i * i) % 13),
        [500],
        { device },
      );
      const dy = tensor(
        Float32Array.from({ length: 500 * 150 }, (_, i) => Math.sin(i)),
        [500, 150],
        { device },
      );
      results.push(await apply(embeddingBackwardOp, { ids, dy }, { vocab: 14 })["dtable"]!.read());
    }
    expect(results[1]).toEqual(results[0]);
    expect(results[2]).toEqual(results[0]);
  });

  it("says which id is out of range at once on the reference device", async () => {
    const device = await sharedDevice("reference");
    const table = tensor([0, 1, 2, 3], [2, 2], { device });
    const ids = tensor(Int32Array.of(0, 2), [1, 2], { device });
    expect(() => embedding(table, ids)).toThrowErrorMatchingInlineSnapshot(
      `[MambaError: embedding: ids must be in 0 to 1; got 2 at position 1; check the tokenizer against the model]`,
    );
    expect(() => embedding(table, table)).toThrowErrorMatchingInlineSnapshot(
      `[DtypeError: embedding: ids must be int32; got float32; cast it with cast(ids, "int32")]`,
    );
  });
});
