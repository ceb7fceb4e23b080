import { ConfigError, ShapeError } from "../tensor/errors.ts";
import { formatShape } from "../tensor/shape.ts";
import { type Tensor, tensor } from "../tensor/tensor.ts";

/** When samples were taken, where they are not equally spaced. Step sizes are multiplied by what lies between them. */
export interface SampleTimes {
  /** [batch length], what lies between a sample and the one before, 0 or more; 1 is the spacing that step sizes are meant for. */
  readonly deltas?: Tensor | undefined;
  /** Instead of `deltas`: times of each row's samples, in the same unit, not decreasing; read in float64. */
  readonly timeStamps?: readonly ArrayLike<number>[] | undefined;
  /**
   * With `timeStamps`: time of the sample before each row's first, as where a state is carried on. By default the first interval is
   * taken to be as long as the second, or 1 if there is none.
   */
  readonly previousTimes?: ArrayLike<number> | undefined;
}

/**
 * What lies between samples, [batch length]; nothing where they are equally spaced.
 *
 * @throws ShapeError if there is not one for each sample; ConfigError if time stamps decrease or are not numbers, or if both are given
 */
export function deltasOf(where: string, times: SampleTimes, u: Tensor): Tensor | undefined {
  const { deltas, timeStamps } = times;
  const [batch, length] = u.shape as [number, number];
  if (deltas && timeStamps) {
    throw new ConfigError(`${where}: one of deltas and timeStamps must be given; got both; leave one out`, {});
  }
  if (deltas) {
    if (deltas.shape.length === 2 && deltas.shape[0] === batch && deltas.shape[1] === length) return deltas;
    throw new ShapeError(
      `${where}: deltas must be [batch length], here ${formatShape([batch, length])}; got ${formatShape(deltas.shape)}; reshape them`,
      { argument: "deltas", expected: [batch, length], actual: deltas.shape },
    );
  }
  if (!timeStamps) return undefined;
  if (timeStamps.length !== batch || timeStamps.some((row) => row.length !== length)) {
    const sizes = timeStamps.map((row) => row.length).join(", ");
    throw new ShapeError(
      `${where}: timeStamps must be ${batch} rows of ${length}; got rows of ${sizes || "nothing"}; give each sample its time`,
      { argument: "timeStamps", expected: [batch, length] },
    );
  }
  const values = Float64Array.from({ length: batch * length }, (_, i) => {
    const row = Math.floor(i / length);
    return differenceAt(where, timeStamps[row]!, i % length, { row, before: times.previousTimes?.[row] });
  });
  return tensor(values, [batch, length], { device: u.device, dtype: u.dtype });
}

function differenceAt(
  where: string,
  stamps: ArrayLike<number>,
  i: number,
  { row, before }: { row: number; before: number | undefined },
): number {
  const earlier = i > 0 ? stamps[i - 1]! : before;
  if (earlier === undefined) return stamps.length > 1 ? differenceAt(where, stamps, 1, { row, before }) : 1;
  const difference = stamps[i]! - earlier;
  if (difference >= 0 && Number.isFinite(difference)) return difference;
  throw new ConfigError(
    `${where}: timeStamps must be numbers that do not decrease along a row; got ${earlier} before ${stamps[i]} at sample ${i} of row ${row}; sort the samples`,
    { key: "timeStamps", row, sample: i, earlier, value: stamps[i] },
  );
}
