/** Speed of one test. */
export interface BenchRow {
  /** Element type of the weights. */
  readonly format: string;
  readonly threads: number;
  /** As llama-bench calls it: pp512, tg128; `@ d4096` behind it after so many tokens, `b8` of so many sequences. */
  readonly test: string;
  readonly tokensPerSecond: number;
  /** Every run. */
  readonly seconds?: readonly number[];
  readonly peer?: {
    readonly tokensPerSecond: number;
    /** Median of the ratios pair by pair, above 1 where we are faster. */
    readonly ratio: number;
    readonly interval: readonly [number, number];
  };
}

/** What a format takes. */
export interface BenchMemory {
  readonly format: string;
  readonly weightBytes: number;
  /** Of one sequence, at any length. */
  readonly stateBytes: number;
  /** Most that the device held at once. */
  readonly peakBytes: number;
}

/** Everything that `mamba bench` measured. */
export interface BenchReport {
  readonly cpu: string;
  readonly cores: number;
  readonly node: string;
  readonly features: readonly string[];
  readonly model: string;
  readonly parameters: number;
  readonly peer?: string;
  readonly rows: readonly BenchRow[];
  readonly memory: readonly BenchMemory[];
}

function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const widths = head.map((title, i) => Math.max(title.length, ...rows.map((row) => row[i]!.length)));
  const line = (cells: readonly string[]): string =>
    `| ${cells.map((cell, i) => cell.padEnd(widths[i]!)).join(" | ")} |`;
  const rule = `| ${widths.map((width) => "-".repeat(width)).join(" | ")} |`;
  return `${[line(head), rule, ...rows.map(line)].join("\n")}\n`;
}

const mebibytes = (bytes: number): string => (bytes / 2 ** 20).toFixed(1);

/** The report as tables of Markdown. */
export function formatReport(report: BenchReport): string {
  const { cpu, cores, node, model, peer, rows, memory } = report;
  const head = ["weights", "threads", "test", "tokens/s", ...(peer ? ["llama.cpp", "ratio", "95 % interval"] : [])];
  const cells = rows.map(({ format, threads, test, tokensPerSecond, peer: other }) => [
    ...[format, String(threads), test, tokensPerSecond.toFixed(1)],
    ...(!peer ? [] : !other ? ["", "", ""] : peerCells(other)),
  ]);
  const sizes = memory.map(({ format, weightBytes, stateBytes, peakBytes }) => [
    ...[format, mebibytes(weightBytes), mebibytes(stateBytes), mebibytes(peakBytes)],
  ]);
  const where = `${model}, ${cpu}, ${cores} cores, Node ${node}, ${report.features.join(" ")}`;
  return [
    `${where}${peer ? `; beside ${peer}` : ""}\n`,
    table(head, cells),
    table(["weights", "weights MiB", "state MiB", "peak MiB"], sizes),
  ].join("\n");
}

function peerCells({ tokensPerSecond, ratio, interval }: NonNullable<BenchRow["peer"]>): string[] {
  return [tokensPerSecond.toFixed(1), ratio.toFixed(2), interval.map((bound) => bound.toFixed(2)).join(" to ")];
}
