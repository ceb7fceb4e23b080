// Holds GGUF files to llama.cpp: npm run test:llama. See install.mjs for what it needs.
// Files that we write load there and give the same ids of texts and the same likeliest tokens, ours and those of transformers;
// files that llama.cpp writes load here and do the same; both round weights to the same blocks; and its own vocabularies
// give the ids of its own tests. LLAMA_CACHE names a folder that has what install.mjs would fetch.
import { execFileSync } from "node:child_process";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { readGguf, readSafetensors } from "../../dist/checkpoints/index.js";
import { CausalLM } from "../../dist/index.js";
import { convertMamba } from "../../dist/pretrained/convert-mamba.js";
import { findModelFiles } from "../../dist/pretrained/index.js";
import { ggufTokenizer, loadTokenizer } from "../../dist/text/index.js";
import { build, install, libraries, source } from "./install.mjs";

const root = join(dirname(fileURLToPath(import.meta.url)), "../..");
const story = join(root, "models/storybook-11m");
const LENGTH = 40;
const prompts = ["Once upon a time", "The King said:", "In the middle of the night,"];
const texts = [
  ...prompts,
  "I'll say: they're  two\tspaces\n\n\n 12345 caf\u00e9 \u4f60\u597d \u{1F600}<|endoftext|>end",
];

install();
const judge = build("judge");
const folder = mkdtempSync(join(tmpdir(), "mamba-llama-"));
let failures = 0;

/** Asks llama.cpp about a file; one list of ids for each line. */
function ask(file, lines) {
  const env = { ...process.env, LLAMA_LIBRARIES: libraries };
  const output = execFileSync(judge, [file], { input: `${lines.join("\n")}\n`, encoding: "utf8", env });
  return output
    .split("\n")
    .slice(0, lines.length)
    .map((line) => line.trim());
}

const hex = (text) => Buffer.from(text).toString("hex");

function report(what, expected, actual) {
  const same = expected.filter((line, i) => line === actual[i]).length;
  const ok = same === expected.length;
  if (!ok) failures++;
  console.log(`${ok ? "ok  " : "FAIL"}  ${what}: ${same} of ${expected.length} the same`);
}

/** Our ids of texts, and our likeliest tokens after prompts. */
async function ours(file) {
  const lm = await CausalLM.fromPretrained(file, { device: "wasm" });
  const ids = texts.map((text) => lm.tokenizer.encode(text).join(" "));
  const greedy = [];
  for (const prompt of prompts) {
    const options = { maxNewTokens: LENGTH, temperature: 0, repetitionPenalty: 1, stopTokenIds: [] };
    const { tokens, state } = await lm.generate(prompt, options);
    state.dispose();
    greedy.push(tokens.join(" "));
  }
  lm.dispose();
  return { ids, greedy };
}

async function compare(what, file, exact) {
  const { ids, greedy } = await ours(file);
  const lines = [
    ...texts.map((text) => `tokens ${hex(text)}`),
    ...ids.slice(0, prompts.length).map((line) => `greedy ${LENGTH} ${line}`),
  ];
  const answers = ask(file, lines);
  report(`${what}, ids of texts`, answers.slice(0, texts.length), ids);
  const theirs = answers.slice(texts.length);
  if (exact) return report(`${what}, ${LENGTH} likeliest tokens after each prompt`, theirs, greedy);
  const leading = theirs.map((line, i) => {
    const [a, b] = [line.split(" "), greedy[i].split(" ")];
    const differs = a.findIndex((id, at) => id !== b[at]);
    return differs < 0 ? a.length : differs;
  });
  // llama.cpp rounds activations too, so that close calls may go the other way
  console.log(`--    ${what}: the first ${leading.join(", ")} of ${LENGTH} likeliest tokens are the same`);
}

async function convert(from, name, dtype) {
  const file = join(folder, name);
  await convertMamba(await findModelFiles(from), file, { dtype, name });
  return file;
}

/** llama.cpp on our files of the small models against the tokens that transformers chose. */
async function compareGoldens() {
  for (const name of ["hf-mamba-tied", "hf-falcon-mamba"]) {
    const fixture = join(root, "test/fixtures", name);
    const file = await convert(fixture, `${name}.gguf`, "float32");
    const golden = await readSafetensors(join(fixture, "golden.safetensors"));
    const entry = golden.tensors.get("greedy_ids");
    const ids = await entry.read();
    const width = entry.shape[1];
    const rows = Array.from({ length: entry.shape[0] }, (_, i) => [...ids.slice(i * width, (i + 1) * width)]);
    const answers = ask(
      file,
      rows.map((row) => `greedy ${width - 8} ${row.slice(0, 8).join(" ")}`),
    );
    const expected = rows.map((row) => row.slice(8).join(" "));
    report(`llama.cpp on our ${name}, tokens that transformers chose`, expected, answers);
    await golden.close();
  }
}

async function compareBlocks(what, ownFile, otherFile) {
  const [own, other] = [await readGguf(ownFile), await readGguf(otherFile)];
  const names = [...own.tensors.keys()].filter((name) => {
    const type = own.tensors.get(name).storedType;
    return type.startsWith("Q") && other.tensors.get(name)?.storedType === type;
  });
  const bytes = async (file, name) => Buffer.from(await file.tensors.get(name).readBlocks()).toString("base64");
  const [a, b] = [[], []];
  for (const name of names) {
    a.push(await bytes(own, name));
    b.push(await bytes(other, name));
  }
  report(`${what}, blocks of ${names.length} tensors`, b, a);
  await own.close();
  await other.close();
}

/** llama.cpp's vocabularies and the texts and ids of its own tests. */
async function compareVocabularies() {
  const models = join(source, "models");
  for (const name of readdirSync(models).filter((file) => file.endsWith(".gguf"))) {
    if (!existsSync(join(models, `${name}.inp`))) continue;
    const file = await readGguf(join(models, name));
    await file.close();
    let tokenizer;
    try {
      const files = ggufTokenizer(file.fields);
      tokenizer = loadTokenizer(files.tokenizer, files.config);
    } catch (error) {
      console.log(`--    ${name}: ${error.message.slice(0, 60)}...`);
      continue;
    }
    const cases = readFileSync(join(models, `${name}.inp`), "utf8").split("\n__ggml_vocab_test__\n");
    const expected = readFileSync(join(models, `${name}.out`), "utf8")
      .split("\n")
      .slice(0, cases.length);
    const ids = cases.map((text) => tokenizer.encode(text, { addSpecialTokens: false }).join(" "));
    report(
      `${name}, ids of llama.cpp's tests`,
      expected.map((line) => line.trim()),
      ids,
    );
  }
}

try {
  await compareGoldens();
  const float32 = await convert(story, "float32.gguf", "float32");
  await compare("our F32", float32, true);
  await compare("our F16", await convert(story, "float16.gguf", "float16"), true);
  await compare("our BF16", await convert(story, "bfloat16.gguf", "bfloat16"), true);
  const [int8, int4] = [await convert(story, "int8.gguf", "int8"), await convert(story, "int4.gguf", "int4")];
  await compare("our Q8_0", int8, false);
  await compare("our Q4_0", int4, false);
  const written = { F16: 1, Q8_0: 7, Q4_0: 2, Q4_K_M: 15, Q6_K: 18 };
  const path = (type) => join(folder, `llama-${type}.gguf`);
  ask(
    float32,
    Object.entries(written).map(([type, number]) => `quantize ${path(type)} ${number}`),
  );
  await compare("llama.cpp's F16", path("F16"), true);
  for (const type of ["Q8_0", "Q4_0", "Q4_K_M", "Q6_K"]) await compare(`llama.cpp's ${type}`, path(type), false);
  await compareBlocks("our Q8_0 and llama.cpp's", int8, path("Q8_0"));
  await compareBlocks("our Q4_0 and llama.cpp's", int4, path("Q4_0"));
  await compareVocabularies();
} finally {
  rmSync(folder, { recursive: true, force: true });
}
console.log(failures ? `${failures} failed` : "all the same");
process.exitCode = failures ? 1 : 0;
