// The tables of docs/cpu.md out of bench/results/cpu.json: node bench/cpu/tables.mjs [FILE]
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

const number = (value, digits = 1) => value.toFixed(digits);
const mebibytes = (bytes) => number(bytes / 2 ** 20);

function table(head, rows) {
  const line = (cells) => `| ${cells.join(" | ")} |`;
  return [line(head), line(head.map(() => "---")), ...rows.map(line)].join("\n");
}

function comparison({ node, cpu, cores, features, peer, rows }) {
  const body = rows.map(({ dtype, threads, what, count, mamba, llama, ratio, interval }) => [
    ...[dtype, threads, `${what} ${count}`, number(mamba), number(llama), number(ratio, 2)],
    interval.map((bound) => number(bound, 2)).join(" to "),
  ]);
  const head = ["weights", "threads", "test", "mamba.ts tokens/s", "llama.cpp tokens/s", "ratio", "interval"];
  return `Node ${node}, ${features.join(" ")}; ${cpu}, ${cores} cores; ${peer}\n\n${table(head, body)}`;
}

function batches({ batch }) {
  const sizes = [...new Set(batch.map(({ rows }) => rows))];
  const types = [...new Set(batch.map(({ dtype }) => dtype))];
  const cell = (dtype, size) => batch.find((row) => row.dtype === dtype && row.rows === size);
  const body = types.map((dtype) => [dtype, ...sizes.map((size) => number(cell(dtype, size)?.tokensPerSecond ?? 0))]);
  return `Decoded tokens/s of several sequences at once\n\n${table(["weights", ...sizes], body)}`;
}

function memory({ memory: rows }) {
  const body = rows.map(({ dtype, weightBytes, peakBytes }) => [dtype, mebibytes(weightBytes), mebibytes(peakBytes)]);
  return table(["weights", "MiB", "MiB while loading"], body);
}

function load({ dtype, node, rows }) {
  const percent = (value) => `${number(100 * value, 0)} %`;
  const body = rows.map(({ busy, mamba, llama, ratio, kept }) => [
    ...[busy, number(mamba), percent(kept.mamba), number(llama), percent(kept.llama), number(ratio)],
  ]);
  const head = ["busy processes", "mamba.ts tokens/s", "kept", "llama.cpp tokens/s", "kept", "ratio"];
  return `Decoding with ${dtype} weights beside busy processes, Node ${node}\n\n${table(head, body)}`;
}

function position({ dtype, near, far, nearTokensPerSecond, farTokensPerSecond, ratioOfMedians, interval }) {
  const range = interval.map((bound) => number(bound, 3)).join(" to ");
  return (
    `Decoding with ${dtype} weights: ${number(nearTokensPerSecond)} tokens/s at position ${near}, ` +
    `${number(farTokensPerSecond)} at ${far}; ratio of the medians ${number(ratioOfMedians, 3)} (ratios of pairs ${range})`
  );
}

function large({ model, dtype, weightBytes, processPeakBytes, loadSeconds, prefill, decode }) {
  return (
    `${model} with random ${dtype} weights: ${mebibytes(weightBytes)} MiB, the process at most ${mebibytes(processPeakBytes ?? 0)} MiB, ` +
    `made and loaded in ${number(loadSeconds, 0)} s; prefill ${number(prefill.tokensPerSecond)} tokens/s, ` +
    `decode ${number(decode.tokensPerSecond)} tokens/s`
  );
}

function micro({ node, ceilings, rows }) {
  const { gflops, byteGops, memoryGBs, cacheGBs } = ceilings;
  const head = ["one thread", "ms", "Gop/s", "GB/s"];
  const body = rows.map(({ name, milliseconds, gops, gbs }) => [
    name,
    number(milliseconds, 2),
    number(gops),
    number(gbs),
  ]);
  return (
    `Node ${node}; in registers ${number(gflops)} GFLOP/s and ${number(byteGops)} Gop/s of bytes, ` +
    `${number(memoryGBs)} GB/s from memory, ${number(cacheGBs)} GB/s from the first cache\n\n${table(head, body)}`
  );
}

/** What there is of the report, as Markdown. */
export function formatTables(report) {
  const { compare24, compare20, load: loaded, position: positions, large: largest, micro24, micro20 } = report;
  const texts = [
    ...[compare24, compare20].filter(Boolean).map(comparison),
    ...(compare24 ? [batches(compare24), memory(compare24)] : []),
    ...[loaded].filter(Boolean).map(load),
    ...[positions].filter(Boolean).map(position),
    ...[largest].filter(Boolean).map(large),
    ...[micro24, micro20].filter(Boolean).map(micro),
  ];
  return `${texts.join("\n\n")}\n`;
}

const path = fileURLToPath(import.meta.url);
if (process.argv[1] === path) {
  const file = process.argv[2] ?? fileURLToPath(new URL("../results/cpu.json", import.meta.url));
  console.log(formatTables(JSON.parse(readFileSync(file, "utf8"))));
}
