/** A named line of a {@link Plot}. */
export interface PlotLine {
  readonly name: string;
  /** Points by step; values that are not finite are left out. */
  readonly points: readonly { readonly x: number; readonly y: number }[];
}

/** Lines over a common axis. */
export interface Plot {
  readonly title: string;
  readonly xLabel: string;
  readonly yLabel: string;
  readonly lines: readonly PlotLine[];
}

const blocks = "▁▂▃▄▅▆▇█";

/**
 * A line of block characters, each the mean of its share of the values, from the lowest to the highest.
 *
 * @param width - characters at most
 */
export function sparkline(values: readonly number[], width: number): string {
  const means = averaged(values.filter(Number.isFinite), width);
  const low = Math.min(...means);
  const span = Math.max(...means) - low;
  return means.map((mean) => blocks[span > 0 ? Math.min(7, Math.floor(((mean - low) / span) * 8)) : 0]!).join("");
}

/** At most `count` means of equal shares of the values. */
function averaged(values: readonly number[], count: number): number[] {
  const size = Math.min(count, values.length);
  return Array.from({ length: size }, (_, i) => {
    const share = values.slice(Math.floor((i * values.length) / size), Math.floor(((i + 1) * values.length) / size));
    return share.reduce((sum, value) => sum + value, 0) / share.length;
  });
}

/** Where a plot's points go, in pixels. */
export interface PlotLayout {
  readonly width: number;
  readonly height: number;
  /** Edges of the area of the lines. */
  readonly left: number;
  readonly right: number;
  readonly top: number;
  readonly bottom: number;
  readonly xTicks: readonly Tick[];
  readonly yTicks: readonly Tick[];
  readonly paths: readonly { readonly name: string; readonly points: readonly (readonly [number, number])[] }[];
}

/** A value on an axis. */
export interface Tick {
  readonly at: number;
  readonly label: string;
}

const mostPoints = 1200;

/** Places a plot's lines and ticks; long lines are thinned to the lowest and highest point of each share. */
export function layoutPlot({ lines }: Plot, width = 720, height = 420): PlotLayout {
  const edges = { left: 64, right: width - 16, top: 40, bottom: height - 44 };
  const drawn = lines.map(({ name, points }) => ({ name, points: thinned(points.filter(isFinitePoint)) }));
  const all = drawn.flatMap(({ points }) => points);
  const [xLow, xHigh] = rangeOf(all.map(({ x }) => x));
  const [yLow, yHigh] = rangeOf(all.map(({ y }) => y));
  const toX = (x: number): number => edges.left + ((x - xLow) / (xHigh - xLow)) * (edges.right - edges.left);
  const toY = (y: number): number => edges.bottom - ((y - yLow) / (yHigh - yLow)) * (edges.bottom - edges.top);
  return {
    width,
    height,
    ...edges,
    xTicks: ticks(xLow, xHigh, 6).map((value) => ({ at: toX(value), label: tickLabel(value) })),
    yTicks: ticks(yLow, yHigh, 6).map((value) => ({ at: toY(value), label: tickLabel(value) })),
    paths: drawn.map(({ name, points }) => ({ name, points: points.map(({ x, y }) => [toX(x), toY(y)] as const) })),
  };
}

function isFinitePoint({ x, y }: { x: number; y: number }): boolean {
  return Number.isFinite(x) && Number.isFinite(y);
}

function thinned(points: PlotLine["points"]): PlotLine["points"] {
  if (points.length <= mostPoints) return points;
  const shares = mostPoints / 2;
  return Array.from({ length: shares }, (_, i) => {
    const from = Math.floor((i * points.length) / shares);
    const share = points.slice(from, Math.floor(((i + 1) * points.length) / shares));
    const low = share.reduce((best, point) => (point.y < best.y ? point : best));
    const high = share.reduce((best, point) => (point.y > best.y ? point : best));
    return low === high ? [low] : low.x < high.x ? [low, high] : [high, low];
  }).flat();
}

function rangeOf(values: readonly number[]): [number, number] {
  const low = values.reduce((best, value) => Math.min(best, value), Number.POSITIVE_INFINITY);
  const high = values.reduce((best, value) => Math.max(best, value), Number.NEGATIVE_INFINITY);
  if (low > high) return [0, 1];
  return low === high ? [low - 0.5, high + 0.5] : [low, high];
}

/** Round values from `low` to `high`, about `count` of them: 1, 2 or 5 times a power of ten apart. */
export function ticks(low: number, high: number, count: number): number[] {
  const rough = (high - low) / count;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((factor) => factor * power).find((candidate) => candidate >= rough * (1 - 1e-9))!;
  const first = Math.ceil(low / step - 1e-9);
  const last = Math.floor(high / step + 1e-9);
  return Array.from({ length: last - first + 1 }, (_, i) => Number(((first + i) * step).toPrecision(12)));
}

function tickLabel(value: number): string {
  const size = Math.abs(value);
  if (size >= 1e6) return `${Number((value / 1e6).toPrecision(6))}M`;
  if (size >= 1e4) return `${Number((value / 1e3).toPrecision(6))}k`;
  return size !== 0 && size < 1e-3 ? value.toExponential(0) : String(value);
}

/** Colours of a plot's lines, in order, as red, green and blue. */
export const lineColours: readonly (readonly [number, number, number])[] = [
  [31, 104, 176],
  [204, 92, 20],
  [40, 132, 64],
  [128, 64, 152],
];
