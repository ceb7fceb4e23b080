/** A tile of few columns and known depth that a workgroup works out on matrix cores, all of its weights on their way from the start. */
export interface CoreStrip {
  /** Rows of the tile: 16, 32 or 64. */
  readonly rows: number;
  /** Columns of the tile: 16 or 32, or 128, of which each subgroup has 16 with all rows. */
  readonly columns: number;
  /** The summed axis, a multiple of 64. */
  readonly inner: number;
  /** WGSL of the vector of eight float16, a vec4<u32>, at a row of the tile, or column, and a place along the summed axis. */
  readonly a: (row: string, vector: string) => string;
  readonly b: (column: string, vector: string) => string;
}

/** How the work of a strip is divided. */
export interface StripPlan {
  /** Subgroups along rows and columns, and parts of each slice that others of them sum. */
  readonly down: number;
  readonly across: number;
  readonly parts: number;
  /** Fragments of a subgroup, one below the other. */
  readonly fragments: number;
  /** Elements of the summed axis in workgroup memory at a time. */
  readonly slice: number;
  /** Vectors between rows of what one subgroup reads of a slice; the last is padding, which keeps rows in different banks. */
  readonly stride: number;
}

export const STRIP_THREADS = 256;
const SUBGROUPS = STRIP_THREADS / 32;
/** Elements that a fragment has along each axis, and that a vector has. */
export const FRAGMENT = 16;
export const VECTOR = 8;
/** Slices of activations that are on their way: they come from the cache. */
const A_AHEAD = 2;
/** Vectors of weights that are on their way to a thread: they come from memory. */
const B_VECTORS = 12;
const SLICES = [128, 64, 32];

export const lines = (count: number, code: (i: number) => string): string =>
  Array.from({ length: count }, (_, i) => code(i)).join("\n");

type Tile = Pick<CoreStrip, "rows" | "columns" | "inner">;

function divided({ rows, columns }: Tile): Pick<StripPlan, "down" | "across" | "parts" | "fragments"> {
  const [tall, across] = [rows / FRAGMENT, columns / FRAGMENT];
  if (across === SUBGROUPS) return { down: 1, across, parts: 1, fragments: tall };
  return { down: tall, across, parts: SUBGROUPS / (tall * across), fragments: 1 };
}

function bytesOf(tile: Tile, slice: number): number {
  const { parts, across } = divided(tile);
  const results = across === SUBGROUPS ? SUBGROUPS * FRAGMENT ** 2 : parts * tile.rows * tile.columns;
  return 2 * (tile.rows + tile.columns) * (slice + VECTOR * parts) + 4 * results;
}

/** @param most - bytes of workgroup memory that there are */
export function stripPlan(tile: Tile, most: number): StripPlan {
  const plan = divided(tile);
  const fits = (slice: number): boolean =>
    tile.inner % slice === 0 && slice >= plan.parts * FRAGMENT && bytesOf(tile, slice) <= most;
  const slice = SLICES.find(fits) ?? SLICES.at(-1)!;
  return { ...plan, slice, stride: slice / plan.parts / VECTOR + 1 };
}

/** Moves of vectors of one side of a slice from memory to workgroup memory. */
function movesOf(name: "a" | "b", size: number, shares: number, { parts, slice, stride }: StripPlan) {
  const wide = size / shares;
  const perRow = slice / VECTOR;
  const perPart = perRow / parts;
  const total = size * perRow;
  const at = (i: number): string => `(lane + ${i * STRIP_THREADS}u)`;
  const guard = (i: number, code: string): string =>
    (i + 1) * STRIP_THREADS <= total ? code : `if (${at(i)} < ${total}u) { ${code} }`;
  return {
    count: Math.ceil(total / STRIP_THREADS),
    row: (i: number): string => {
      const row = `${at(i)} / ${perRow}u`;
      return (i + 1) * STRIP_THREADS <= total ? row : `min(${row}, ${size - 1}u)`;
    },
    vector: (i: number): string => `${at(i)} % ${perRow}u`,
    put: (i: number, value: string): string => {
      const [row, v] = [`${at(i)} / ${perRow}u`, `${at(i)} % ${perRow}u`];
      const share = `${v} / ${perPart}u * ${shares}u + ${row} / ${wide}u`;
      const place = `${row} % ${wide}u * ${stride}u + ${v} % ${perPart}u`;
      return guard(i, `${name}Slice[${share}][${place}] = ${value};`);
    },
  };
}

/** WGSL of the fragment that a subgroup reads of its share, `k` elements along the summed axis. */
export function stripFragment(name: "a" | "b", share: string, offset: number, stride: number): string {
  const [kind, major] = name === "a" ? ["left", "row_major"] : ["right", "col_major"];
  return `subgroupMatrixLoad<subgroup_matrix_${kind}<f16, ${FRAGMENT}, ${FRAGMENT}>, ${major}>(&${name}Slice[${share}], ${offset}u, ${stride}u)`;
}

export const SUM_FRAGMENT = `subgroup_matrix_result<f32, ${FRAGMENT}, ${FRAGMENT}>`;

/** WGSL: workgroup memory of a strip, and `stripSum(row, column)`, an element of the result; of wide tiles `edge` has one fragment of each subgroup. */
export function stripDeclarations({ rows, columns }: CoreStrip, plan: StripPlan): string {
  const { down, across, parts, stride } = plan;
  const shares = `
var<workgroup> aSlice: array<array<vec4<u32>, ${(rows / down) * stride}>, ${parts * down}>;
var<workgroup> bSlice: array<array<vec4<u32>, ${FRAGMENT * stride}>, ${parts * across}>;`;
  if (across === SUBGROUPS) return `${shares}\nvar<workgroup> edge: array<array<f32, ${FRAGMENT ** 2}>, ${SUBGROUPS}>;`;
  return `${shares}
var<workgroup> edge: array<array<f32, ${rows * columns}>, ${parts}>;
fn stripSum(row: u32, column: u32) -> f32 {
  let at = row * ${columns}u + column;
  return ${Array.from({ length: parts }, (_, part) => `edge[${part}][at]`).join(" + ")};
}`;
}

/**
 * WGSL: the whole product, in `sum0` and so on: a subgroup's fragments. All slices are written out, so that each vector is a variable of its
 * own and its load can be under way while others are multiplied.
 *
 * @param early - statements whose loads should be under way too
 */
export function stripCode(strip: CoreStrip, plan: StripPlan, early = ""): string {
  const { down, across, parts, slice, stride, fragments } = plan;
  const count = strip.inner / slice;
  const sides = { a: movesOf("a", strip.rows, down, plan), b: movesOf("b", strip.columns, across, plan) };
  const bAhead = Math.ceil(B_VECTORS / sides.b.count);
  const loads = (name: "a" | "b", s: number): string => {
    const side = sides[name];
    if (s >= count) return "";
    return lines(side.count, (i) => {
      const vector = `${(s * slice) / VECTOR}u + ${side.vector(i)}`;
      return `let ${name}${s}_${i} = ${strip[name](side.row(i), vector)};`;
    });
  };
  const step = (k: number): string => {
    const at = (k * FRAGMENT) / VECTOR;
    return `{
    let right = ${stripFragment("b", "bShare", at, stride)};
    ${lines(fragments, (i) => `sum${i} = subgroupMatrixMultiplyAccumulate(${stripFragment("a", "aShare", i * FRAGMENT * stride + at, stride)}, right, sum${i});`)}
  }`;
  };
  return `
  let down = lane / 32u % ${down}u;
  let across = lane / ${32 * down}u % ${across}u;
  let part = lane / ${32 * down * across}u;
  let aShare = part * ${down}u + down;
  let bShare = part * ${across}u + across;
  ${lines(bAhead, (s) => loads("b", s))}
  ${lines(A_AHEAD, (s) => loads("a", s))}
  ${early}
  ${lines(fragments, (i) => `var sum${i}: ${SUM_FRAGMENT};`)}
  ${lines(
    count,
    (s) => `
  ${s > 0 ? "workgroupBarrier();" : ""}
  ${lines(sides.a.count, (i) => sides.a.put(i, `a${s}_${i}`))}
  ${lines(sides.b.count, (i) => sides.b.put(i, `b${s}_${i}`))}
  workgroupBarrier();
  ${loads("b", s + bAhead)}
  ${loads("a", s + A_AHEAD)}
  ${lines(slice / parts / FRAGMENT, step)}`,
  )}`;
}

/** WGSL: makes the one fragment of each subgroup known to all; afterwards the slices may be used for other things. */
export function stripStore({ columns }: CoreStrip): string {
  return `
  subgroupMatrixStore<row_major>(&edge[part], down * ${FRAGMENT * columns}u + across * ${FRAGMENT}u, sum0, ${columns}u);
  workgroupBarrier();`;
}
