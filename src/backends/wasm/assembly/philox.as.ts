/** Philox4x32-10: the four words of one block. Salmon et al. 2011, section 3.3; src/tensor/random.ts is the same. */
export function philox(block: u32, stream: u32, seedLow: u32, seedHigh: u32): v128 {
  let c0 = block;
  let c1: u32 = 0;
  let c2 = stream;
  let c3: u32 = 0;
  for (let round = 0; round < 10; round++) {
    const product0 = <u64>c0 * 0xd2511f53;
    const product1 = <u64>c2 * 0xcd9e8d57;
    c0 = <u32>(product1 >> 32) ^ c1 ^ seedLow;
    c1 = <u32>product1;
    c2 = <u32>(product0 >> 32) ^ c3 ^ seedHigh;
    c3 = <u32>product0;
    seedLow += 0x9e3779b9;
    seedHigh += 0xbb67ae85;
  }
  const low = i32x4.replace_lane(i32x4.splat(c0), 1, c1);
  return i32x4.replace_lane(i32x4.replace_lane(low, 2, c2), 3, c3);
}
