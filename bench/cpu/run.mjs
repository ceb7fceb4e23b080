// All of docs/cpu.md, into bench/results/cpu.json and as tables: npm run bench:cpu [-- --node24 PATH] [--only NAMES] [--out FILE]
// NAMES, in this order: compare24, compare20, load, position, large, micro24, micro20. What has run is written at once, and what
// another run has left is kept. About 25 minutes on two cores that nobody else uses.
import { execFileSync } from "node:child_process";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { formatTables } from "./tables.mjs";

const here = (name) => fileURLToPath(new URL(name, import.meta.url));
const { values: options } = parseArgs({
  options: {
    node24: { type: "string", default: process.env.NODE24 ?? "" },
    only: { type: "string", default: "compare24,compare20,load,position,large,micro24,micro20" },
    pairs: { type: "string", default: "7" },
    out: { type: "string", default: here("../results/cpu.json") },
  },
});

/** A newer Node from the registry's own package, in npm's cache of programs. */
function findNode24() {
  if (options.node24) return options.node24;
  const print = ["-y", "node@24", "-p", "process.execPath"];
  return execFileSync("npx", print, { encoding: "utf8" }).trim().split("\n").at(-1);
}

const node20 = process.execPath;
const node24 = findNode24();
const { pairs } = options;
const parts = {
  compare24: ["compare.mjs", node20, ["--node", node24, "--pairs", pairs, "--batch", "1,2,4,8,16,32", "--json"]],
  compare20: ["compare.mjs", node20, ["--node", node20, "--pairs", pairs, "--json"]],
  load: ["under-load.mjs", node20, ["--node", node24, "--json"]],
  position: ["position.mjs", node20, ["--node", node24, "--json"]],
  large: ["large.mjs", node20, ["--node", node24, "--json"]],
  micro24: ["micro.mjs", node24, []],
  micro20: ["micro.mjs", node20, []],
};

const report = existsSync(options.out) ? JSON.parse(readFileSync(options.out, "utf8")) : {};
for (const name of options.only.split(",")) {
  const [script, node, own] = parts[name];
  const started = performance.now();
  console.error(`${name} ...`);
  const text = execFileSync(node, [here(script), ...own], { encoding: "utf8", stdio: ["ignore", "pipe", "inherit"] });
  report[name] = JSON.parse(text.trim().split("\n").at(-1));
  writeFileSync(options.out, `${JSON.stringify(report, null, 2)}\n`);
  console.error(`${name}: ${((performance.now() - started) / 60_000).toFixed(1)} minutes`);
}
console.log(formatTables(report));
