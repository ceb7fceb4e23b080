// llama.cpp through node-llama-cpp, in a process of its own: MODULE MODEL.gguf THREADS; then the lines of program.ts.
import { createInterface } from "node:readline";

/** What is used of node-llama-cpp. */
interface Sequence {
  clearHistory(): Promise<void>;
  evaluateWithoutGeneratingNewTokens(tokens: readonly number[]): Promise<void>;
  evaluate(tokens: readonly number[], options: Record<string, unknown>): AsyncGenerator<number>;
}
interface LlamaModel {
  createContext(options: Record<string, unknown>): Promise<{ getSequence(): Sequence }>;
}
interface Llama {
  loadModel(options: Record<string, unknown>): Promise<LlamaModel>;
}
interface NodeLlamaCpp {
  getLlama(options: Record<string, unknown>): Promise<Llama>;
}

const VOCABULARY = 256;

async function prefill(sequence: Sequence, count: number): Promise<number> {
  const tokens = Array.from({ length: count }, (_, i) => (i * 7919 + 13) % VOCABULARY);
  const start = performance.now();
  await sequence.evaluateWithoutGeneratingNewTokens(tokens);
  return (performance.now() - start) / 1000;
}

async function decode(sequence: Sequence, count: number): Promise<number> {
  let done = 0;
  let start = performance.now();
  for await (const _ of sequence.evaluate([1], { temperature: 0, yieldEogToken: true })) {
    // the first token belongs to the prompt
    if (done === 0) start = performance.now();
    if (done++ === count) break;
  }
  return (performance.now() - start) / 1000;
}

async function serve(module: string, modelPath: string, threads: number): Promise<void> {
  const { getLlama } = (await import(module)) as NodeLlamaCpp;
  const llama = await getLlama({ gpu: false, build: "never", logLevel: "error", maxThreads: threads });
  const model = await llama.loadModel({ modelPath, gpuLayers: 0 });
  const options = { contextSize: 4096, batchSize: 512, sequences: 1, threads: { ideal: threads, min: threads } };
  const sequence = (await model.createContext(options)).getSequence();
  console.log(JSON.stringify({ ready: true }));
  for await (const line of createInterface({ input: process.stdin })) {
    const [what, count] = line.split(" ");
    await sequence.clearHistory();
    const seconds = await (what === "prefill" ? prefill : decode)(sequence, Number(count));
    console.log(JSON.stringify({ seconds }));
  }
  process.exit(0);
}

const [module, model, threads] = process.argv.slice(2);
await serve(module!, model!, Number(threads));
