import { describe, expect, it } from "vitest";
import { maxError, sharedDevice, testOp } from "../../../test/kit/test-op.ts";
import { Random } from "../../tensor/random.ts";
import { type Tensor, tensor } from "../../tensor/tensor.ts";
import { slice, transpose } from "../movement/index.ts";
import { matmul } from "./index.ts";
import { matmulOp } from "./operations.ts";

const both = [false, true];
const sizes: [rows: number, inner: number, columns: number][] = [
  [1, 7, 5],
  [3, 64, 33],
  [13, 70, 17],
];
testOp(matmulOp, {
  cases: both.flatMap((transposeA) =>
    both.flatMap((transposeB) =>
      sizes.flatMap(([rows, inner, columns]) => {
        const a = transposeA ? [inner, rows] : [rows, inner];
        const b = transposeB ? [columns, inner] : [inner, columns];
        const params = { transposeA, transposeB };
        return [
          { shapes: { a, b }, params },
          { shapes: { a: [2, 2, ...a], b: [2, 2, ...b] }, params },
          { shapes: { a: [3, ...a], b }, params },
          { shapes: { a, b: [3, ...b] }, params },
        ];
      }),
    ),
  ),
});
testOp(matmulOp, {
  cases: [{ shapes: { a: [0, 4], b: [4, 3] }, constant: ["a", "b"] }, { shapes: { a: [65, 385], b: [385, 130] } }],
});

describe("matmul", () => {
  const random = new Random(9);
  const drawn = async (shape: number[]): Promise<Tensor> =>
    tensor(random.normals(shape[0]! * shape[1]!), shape, { device: await sharedDevice("reference") });

  it("gives the product worked out by hand", async () => {
    const device = await sharedDevice("reference");
    const a = tensor([1, 2, 3, 4, 5, 6], [2, 3], { device });
    const b = tensor([1, 0, 2, 1, 0, 3], [3, 2], { device });
    expect([...(await matmul(a, b).read())]).toEqual([5, 11, 14, 23]);
  });

  it("reads transposed sides and views as their transposed copies", async () => {
    const a = await drawn([6, 5]);
    const b = await drawn([5, 9]);
    const plain = await matmul(a, b).read();
    const transposes = matmul(transpose(a), transpose(b), { transposeA: true, transposeB: true });
    expect([...(await transposes.read())]).toEqual([...plain]);
    const part = await matmul(slice(a, { axis: 1, start: 1 }), slice(b, { start: 1 })).read();
    const rest = await matmul(slice(a, { axis: 1, end: 1 }), slice(b, { end: 1 })).read();
    expect(
      maxError(
        Float64Array.from(part, (x, i) => x + rest[i]!),
        plain,
      ),
    ).toBeLessThan(1e-14);
  });

  it("says which axis, type or tensor does not fit", async () => {
    const device = await sharedDevice("reference");
    const a = tensor([1, 2, 3, 4, 5, 6], [2, 3], { device });
    expect(() => matmul(a, a)).toThrowErrorMatchingInlineSnapshot(
      `[ShapeError: matmul: b must have shape [... inner columns]; axis "inner" is 3 in a but 2 in b (got [2 3]); pass a fitting tensor]`,
    );
    expect(() => matmul(a, a, { transposeA: true, transposeB: true })).toThrowErrorMatchingInlineSnapshot(
      `[ShapeError: matmul: b must have shape [... columns inner]; axis "inner" is 2 in a but 3 in b (got [2 3]); pass a fitting tensor]`,
    );
    expect(() => matmul(tensor([1, 2], [2], { device }), a)).toThrowErrorMatchingInlineSnapshot(
      `[ShapeError: matmul: a must have shape [... rows inner]; got [2] with 1 axes; reshape it to at least 2 axes]`,
    );
    const batched = tensor([1, 2, 3, 4, 5, 6], [2, 1, 3], { device });
    const other = tensor([1, 2, 3], [1, 3, 1], { device });
    expect(() => matmul(batched, other)).toThrowErrorMatchingInlineSnapshot(
      `[ShapeError: matmul: b must have shape [... inner columns]; leading axes are [2] in a but [1] in b; reshape one of them]`,
    );
    const wide = tensor(Float64Array.of(1, 2, 3), [3, 1], { device });
    expect(() => matmul(a, wide)).toThrowErrorMatchingInlineSnapshot(
      `[DtypeError: matmul: b must be float32 like a; got float64; cast it with cast(b, "float32")]`,
    );
    wide.dispose();
    expect(() => matmul(a, wide)).toThrowErrorMatchingInlineSnapshot(
      `[DisposedError: tensor [3 1]: must not be used after dispose(); it was disposed; return it from scope() to keep it]`,
    );
  });
});
