/** Writes four vectors at `to`, `to + stride`, ...: the transpose of the 4 x 4 block with rows a, b, c, d. */
// @ts-ignore: decorator
@inline
export function storeTransposed(a: v128, b: v128, c: v128, d: v128, to: usize, stride: usize): void {
  const ab01 = v128.shuffle<f32>(a, b, 0, 4, 1, 5);
  const cd01 = v128.shuffle<f32>(c, d, 0, 4, 1, 5);
  const ab23 = v128.shuffle<f32>(a, b, 2, 6, 3, 7);
  const cd23 = v128.shuffle<f32>(c, d, 2, 6, 3, 7);
  v128.store(to, v128.shuffle<i64>(ab01, cd01, 0, 2));
  v128.store(to + stride, v128.shuffle<i64>(ab01, cd01, 1, 3));
  v128.store(to + 2 * stride, v128.shuffle<i64>(ab23, cd23, 0, 2));
  v128.store(to + 3 * stride, v128.shuffle<i64>(ab23, cd23, 1, 3));
}
