// Prints which backend has a kernel of its own for which op, and where an op is composed of others.
import { readdirSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { runnerImport } from "vite";

const root = resolve(dirname(fileURLToPath(import.meta.url)), "..");
const load = async (file) => {
  const alias = { "#platform": join(root, "src/platform/node.ts") };
  return (await runnerImport(join(root, file), { root, configFile: false, logLevel: "error", resolve: { alias } }))
    .module;
};

/** How a backend's table serves an op. */
function kind(kernel) {
  if (kernel === undefined) return "missing";
  return typeof kernel === "object" && "composed" in kernel ? "composed" : "own";
}

const { operations } = await load("src/ops/operations.ts");
const names = Object.keys(operations).sort();
const backends = readdirSync(join(root, "src/ops/kernels"))
  .filter((file) => file.endsWith(".ts") && !file.endsWith(".test.ts"))
  .map((file) => file.slice(0, -".ts".length))
  .sort();
const tables = await Promise.all(
  backends.map(async (backend) => (await load(`src/ops/kernels/${backend}.ts`))[`${backend}Kernels`]),
);
const rows = names.map((name) => [name, ...tables.map((table) => kind(table[name]))]);
const count = (column, value) => rows.filter((row) => row[column] === value).length;
const totals = backends.map((_, i) => `${count(i + 1, "own")} own, ${count(i + 1, "composed")} composed`);

const lines = [["op", ...backends], ...rows, [`${names.length} ops`, ...totals]];
const widths = lines[0].map((_, column) => Math.max(...lines.map((line) => line[column].length)));
for (const line of lines)
  console.log(
    line
      .map((cell, column) => cell.padEnd(widths[column]))
      .join("  ")
      .trimEnd(),
  );
if (rows.some((row) => row.includes("missing"))) process.exitCode = 1;
