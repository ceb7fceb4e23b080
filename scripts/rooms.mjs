// Holds the order of the rooms (ARCHITECTURE.md): a room imports only rooms before it, and node:* stays in its places.
// Also holds the line budget: a file over 400 lines fails.
import { readdirSync, readFileSync } from "node:fs";
import { dirname, join, posix, resolve } from "node:path";
import { fileURLToPath } from "node:url";

const root = resolve(dirname(fileURLToPath(import.meta.url)), "..");
const order = [
  ["tensor"],
  ["backends"],
  ["ops"],
  ["autograd", "layers"],
  ["models"],
  ["checkpoints", "text", "data"],
  ["generation"],
  ["training"],
  ["pretrained"],
  ["server", "cli", "web"],
  ["entries"],
];
const rank = new Map(order.flatMap((rooms, i) => rooms.map((room) => [room, i])));
// op.ts asks the movement ops nothing; tests may look anywhere
const mayUseNode = [/^platform\/node(\.ts|\/)/, /^cli\//, /^server\/node\.ts$/];
const LINE_BUDGET = 400;
const importPattern = /(?:from|import)\s*\(?\s*"([^"]+)"/g;

function checkImport(file, specifier) {
  const room = file.split("/")[0];
  if (specifier.startsWith("node:")) {
    return mayUseNode.some((pattern) => pattern.test(file)) ? undefined : `only the platform may import ${specifier}`;
  }
  if (!specifier.startsWith(".")) return undefined;
  const target = posix.join(posix.dirname(file), specifier);
  if (target.startsWith("..")) return `must not import ${specifier} from outside src`;
  const other = target.includes("/") ? target.split("/")[0] : "entries";
  if (other === room || !file.includes("/")) return undefined;
  if (other === "platform") return 'imports the platform as "#platform"';
  if (room === "platform") return other === "tensor" ? undefined : `the platform may import tensor only, not ${other}`;
  const [own, theirs] = [rank.get(room), rank.get(other)];
  if (own === undefined || theirs === undefined) return `unknown room in ${file} -> ${target}`;
  return theirs < own ? undefined : `${room} must not import ${other} (${target})`;
}

const problems = [];
for (const name of readdirSync(join(root, "src"), { recursive: true }).map(String).sort()) {
  const file = name.replaceAll("\\", "/");
  if (!file.endsWith(".ts") || file.includes("/generated/")) continue;
  const text = readFileSync(join(root, "src", file), "utf8");
  const lines = text.split("\n").length;
  if (lines > LINE_BUDGET) problems.push(`src/${file}: ${lines} lines; at most ${LINE_BUDGET}; split it`);
  if (file.endsWith(".test.ts") || file.endsWith(".as.ts")) continue;
  for (const [, specifier] of text.matchAll(importPattern)) {
    const problem = checkImport(file, specifier);
    if (problem) problems.push(`src/${file}: ${problem}`);
  }
}
for (const problem of problems) console.error(problem);
if (problems.length > 0) process.exitCode = 1;
