import { partStart } from "../../backends/wasm/assembly/partition.as";

/** Rows that are summed before their sum joins the total: shorter chains of additions round less. */
const ROWS_TOGETHER: i32 = 128;

/**
 * Sums of columns in a fixed order. Arguments: x, its row stride in bytes, rows, columns, sums.
 */
export function sumColumns(args: usize, thread: i32, threads: i32): void {
  const rows = load<i32>(args, 8);
  const columns = load<i32>(args, 12);
  const groups = (columns + 15) >> 4;
  const first = partStart(groups, thread, threads) << 4;
  const end = min(columns, partStart(groups, thread + 1, threads) << 4);
  let column = first;
  for (; column + 16 <= end; column += 16) sumSixteen(args, column, rows);
  for (; column < end; column++) sumOne(args, column, rows);
}

function sumSixteen(args: usize, column: i32, rows: i32): void {
  const stride = <usize>load<u32>(args, 4);
  let x = <usize>load<u32>(args) + (<usize>column << 2);
  const sums = <usize>load<u32>(args, 16) + (<usize>column << 2);
  let total0 = f32x4.splat(0);
  let total1 = total0;
  let total2 = total0;
  let total3 = total0;
  for (let row = 0; row < rows; row += ROWS_TOGETHER) {
    let sum0 = f32x4.splat(0);
    let sum1 = sum0;
    let sum2 = sum0;
    let sum3 = sum0;
    for (let i = min(ROWS_TOGETHER, rows - row); i > 0; i--) {
      sum0 = f32x4.add(sum0, v128.load(x));
      sum1 = f32x4.add(sum1, v128.load(x, 16));
      sum2 = f32x4.add(sum2, v128.load(x, 32));
      sum3 = f32x4.add(sum3, v128.load(x, 48));
      x += stride;
    }
    total0 = f32x4.add(total0, sum0);
    total1 = f32x4.add(total1, sum1);
    total2 = f32x4.add(total2, sum2);
    total3 = f32x4.add(total3, sum3);
  }
  v128.store(sums, total0);
  v128.store(sums, total1, 16);
  v128.store(sums, total2, 32);
  v128.store(sums, total3, 48);
}

function sumOne(args: usize, column: i32, rows: i32): void {
  const stride = <usize>load<u32>(args, 4);
  let x = <usize>load<u32>(args) + (<usize>column << 2);
  let total: f32 = 0;
  for (let row = 0; row < rows; row += ROWS_TOGETHER) {
    let sum: f32 = 0;
    for (let i = min(ROWS_TOGETHER, rows - row); i > 0; i--) {
      sum += load<f32>(x);
      x += stride;
    }
    total += sum;
  }
  store<f32>(<usize>load<u32>(args, 16) + (<usize>column << 2), total);
}
