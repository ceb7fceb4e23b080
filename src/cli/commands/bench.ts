import { type Command, InvalidArgumentError, Option } from "commander";
import type { TensorEntry } from "../../checkpoints/index.ts";
import type { MambaConfig, MambaPreset } from "../../models/index.ts";
import type { LoadedMamba } from "../../pretrained/load-mamba.ts";
import type { Device } from "../../tensor/device.ts";
import type { Llama } from "../bench/llama.ts";
import type { ModelMeasures } from "../bench/measures.ts";
import type { BenchMemory, BenchReport, BenchRow } from "../bench/report.ts";
import { UsageError } from "../failure.ts";
import { openModelFiles } from "../open-model.ts";
import { type SourceFlags, wholeNumber, withJson, withSource } from "../options.ts";
import type { Session } from "../program.ts";

const formats = ["float32", "float16", "bfloat16", "int8", "int4"] as const;
type Format = (typeof formats)[number];

interface BenchFlags extends SourceFlags {
  readonly model: string;
  readonly formats: readonly Format[];
  readonly threads?: readonly number[];
  readonly prompt: number;
  readonly tokens: number;
  readonly depth: readonly number[];
  readonly batch: readonly number[];
  readonly runs: number;
  readonly peer?: "llama";
  readonly plain?: true;
  readonly json?: true;
}

function list<Value>(parse: (text: string) => Value): (text: string) => Value[] {
  return (text) => text.split(",").map((part) => parse(part.trim()));
}

function format(text: string): Format {
  if ((formats as readonly string[]).includes(text)) return text as Format;
  throw new InvalidArgumentError(`Each must be one of ${formats.join(", ")}.`);
}

/** Adds the verb `bench`: prefill and decode in tokens a second, beside llama.cpp where that is installed. */
export function addBench(program: Command, session: Session): void {
  const command = program
    .command("bench")
    .description("measure prefill and decode on the wasm device, alternating with llama.cpp if asked")
    .option("--model <model>", "a shape such as mamba-130m with random weights, or a model", "mamba-130m")
    .option("--formats <types>", `element types of the weights, of ${formats.join(", ")}`, list(format), ["float32"])
    .option("--threads <numbers>", "threads to measure with (default: the machine's own)", list(wholeNumber(1, 16)))
    .option("--prompt <n>", "tokens of the prompt; 0: no prefill", wholeNumber(0, 1 << 20), 512)
    .option("--tokens <n>", "tokens to decode; 0: no decode", wholeNumber(0, 1 << 20), 128)
    .option(
      "--depth <numbers>",
      "tokens before what is measured, several for a sweep",
      list(wholeNumber(0, 1 << 24)),
      [0],
    )
    .option("--batch <numbers>", "sequences to decode at once, several for a sweep", list(wholeNumber(1, 256)), [1])
    .option("--runs <n>", "runs, or pairs of runs, that medians are taken over", wholeNumber(1, 1000), 7)
    .addOption(new Option("--peer <name>", "measure another program too, turn by turn").choices(["llama"]))
    .option("--plain", "without relaxed SIMD");
  withJson(withSource(command)).action(async (flags: BenchFlags) => {
    const { formatReport } = await import("../bench/report.ts");
    const report = await new Bench(flags, session).run();
    if (flags.json) await session.writeJson(report);
    else await session.terminal.write(formatReport(report));
  });
}

/** A model whose weights can be loaded any number of times. */
interface Subject {
  readonly config: MambaConfig;
  readonly entries: ReadonlyMap<string, TensorEntry>;
  /** Writes it for llama.cpp. */
  writeGguf(path: string, format: Format): Promise<void>;
  close(): Promise<void>;
}

class Bench {
  readonly #flags: BenchFlags;
  readonly #session: Session;
  readonly #rows: BenchRow[] = [];
  readonly #memory: BenchMemory[] = [];
  #features: readonly string[] = [];

  constructor(flags: BenchFlags, session: Session) {
    this.#flags = flags;
    this.#session = session;
  }

  async run(): Promise<BenchReport> {
    const { machine } = await import("../bench/program.ts");
    const { model, peer } = this.#flags;
    const llama = peer && (await import("../bench/llama.ts")).findLlama(process.cwd());
    const subject = await this.#subject();
    try {
      for (const format of this.#flags.formats) await this.#format(subject, format, llama);
      const shapes = [...subject.entries.values()].map(({ shape }) => shape);
      const parameters = shapes.reduce((sum, shape) => sum + shape.reduce((a, b) => a * b, 1), 0);
      return {
        ...machine(),
        ...{ features: this.#features, model, parameters },
        ...(llama ? { peer: `node-llama-cpp ${llama.version}` } : {}),
        ...{ rows: this.#rows, memory: this.#memory },
      };
    } finally {
      await subject.close();
    }
  }

  async #subject(): Promise<Subject> {
    const { mambaPreset } = await import("../../models/index.ts");
    const { model } = this.#flags;
    if (!/^mamba-[\d.]+[mb]$/.test(model)) return this.#fromFiles(model);
    const { randomEntries } = await import("../bench/random-entries.ts");
    const config = mambaPreset(model as MambaPreset);
    return {
      ...{ config, entries: randomEntries(config), close: async () => {} },
      writeGguf: async (path, format) =>
        (await import("../bench/random-gguf.ts")).writeRandomGguf(path, config, format),
    };
  }

  async #fromFiles(model: string): Promise<Subject> {
    const { matchMamba, openCheckpoint, readJson, readMambaConfig } = await import("../../checkpoints/index.ts");
    const { convertMamba } = await import("../../pretrained/convert-mamba.ts");
    const files = await openModelFiles(model, this.#flags, this.#session.terminal);
    const file = await openCheckpoint(files);
    const { entries, config } = matchMamba(file, readMambaConfig(await readJson(files, "config.json")));
    return {
      ...{ config, entries, close: () => file.close() },
      writeGguf: async (path, dtype) => void (await convertMamba(files, path, { dtype, name: model })),
    };
  }

  async #format(subject: Subject, format: Format, llama: Llama | undefined): Promise<void> {
    if (!llama) return this.#threads(subject, format);
    const { mkdtemp, rm } = await import("node:fs/promises");
    const { tmpdir } = await import("node:os");
    const { join } = await import("node:path");
    const folder = await mkdtemp(join(tmpdir(), "mamba-bench-"));
    try {
      const path = join(folder, `${format}.gguf`);
      this.#say(`writing ${format} for llama.cpp`);
      await subject.writeGguf(path, format);
      await this.#threads(subject, format, { llama, path });
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  }

  async #threads(subject: Subject, format: Format, peer?: { llama: Llama; path: string }): Promise<void> {
    const { openDevice } = await import("../../ops/devices.ts");
    const { loadEntries } = await import("../../pretrained/load-mamba.ts");
    const { hardwareThreads } = await import("#platform");
    const { ModelMeasures } = await import("../bench/measures.ts");
    for (const threads of this.#flags.threads ?? [hardwareThreads()]) {
      const device = await openDevice("wasm", { threads, relaxedSimd: !this.#flags.plain });
      try {
        this.#say(`loading ${format}`);
        const loaded = peer
          ? await this.#loadFile(peer.path, device)
          : await this.#load(loadEntries, subject, format, device);
        const weightBytes = device.memory().used;
        const measures = new ModelMeasures(loaded.model);
        const other = await peer?.llama.start(peer.path, threads);
        this.#features = [...device.features];
        try {
          await this.#tests(measures, format, threads, other);
        } finally {
          other?.stop();
          measures.dispose();
        }
        const { nLayer, dInner, dState, dConv } = subject.config;
        const stateBytes = 4 * nLayer * dInner * (dConv - 1 + dState);
        this.#memory.push({ format, weightBytes, stateBytes, peakBytes: device.memory().peak });
      } finally {
        device.dispose();
      }
    }
  }

  /** The same file that llama.cpp reads. */
  async #loadFile(path: string, device: Device): Promise<LoadedMamba> {
    const { findModelFiles } = await import("../../pretrained/open-pretrained.ts");
    const { loadMamba } = await import("../../pretrained/load-mamba.ts");
    return loadMamba(await findModelFiles(path), { device, signal: this.#session.terminal.signal });
  }

  #load(
    loadEntries: typeof import("../../pretrained/load-mamba.ts").loadEntries,
    { entries, config }: Subject,
    dtype: Format,
    device: Device,
  ): Promise<LoadedMamba> {
    const { signal } = this.#session.terminal;
    return loadEntries(entries, config, { device, dtype, signal }, this.#flags.model);
  }

  async #tests(
    measures: ModelMeasures,
    format: Format,
    threads: number,
    other: import("../bench/statistics.ts").Measured | undefined,
  ): Promise<void> {
    const { prompt, tokens, depth, batch } = this.#flags;
    const row = { format, threads };
    for (const before of depth) {
      const behind = before > 0 ? ` @ d${before}` : "";
      const line = before > 0 ? ` ${before}` : "";
      // only what both can do is compared
      const peer = before === 0 ? other : undefined;
      if (prompt > 0)
        await this.#test({ ...row, test: `pp${prompt}${behind}` }, `prefill ${prompt}${line}`, prompt, measures, peer);
      if (tokens > 0)
        await this.#test({ ...row, test: `tg${tokens}${behind}` }, `decode ${tokens}${line}`, tokens, measures, peer);
    }
    for (const rows of batch) {
      if (rows === 1 && batch.length === 1) continue;
      if (tokens === 0) throw new UsageError("--batch measures decoding; --tokens must be above 0");
      await this.#test({ ...row, test: `tg${tokens} b${rows}` }, `batch ${rows} ${tokens}`, tokens * rows, measures);
    }
  }

  async #test(
    row: Pick<BenchRow, "format" | "threads" | "test">,
    line: string,
    count: number,
    own: ModelMeasures,
    other?: import("../bench/statistics.ts").Measured,
  ): Promise<void> {
    const { comparePairs, median } = await import("../bench/statistics.ts");
    const { throwIfAborted } = await import("../../tensor/errors.ts");
    throwIfAborted(this.#session.terminal.signal, "bench");
    this.#say(`${row.format}, ${row.threads} threads, ${row.test}`);
    if (other) {
      const { a, b, speedup, interval } = await comparePairs(own, other, line, this.#flags.runs);
      const peer = { tokensPerSecond: count / b, ratio: speedup, interval: [...interval] as [number, number] };
      this.#rows.push({ ...row, tokensPerSecond: count / a, peer });
      return;
    }
    await own.measure(line);
    const seconds: number[] = [];
    for (let i = 0; i < this.#flags.runs; i++) seconds.push(await own.measure(line));
    this.#rows.push({ ...row, tokensPerSecond: count / median(seconds), seconds });
  }

  #say(what: string): void {
    if (this.#session.terminal.errorIsTerminal) this.#session.terminal.writeError(`mamba: ${what}\n`);
  }
}
