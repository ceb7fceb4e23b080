import {
  accessSync,
  appendFileSync,
  constants,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { writeFileAtomically } from "#platform";
import { MambaError } from "../../tensor/errors.ts";
import { type Plot, plotPng, plotSvg, type TrainingMetrics } from "../../training/index.ts";

/** The files of a run: metrics, loss curves, the configuration and where results come from. */
export class RunFolder {
  readonly path: string;

  private constructor(path: string) {
    this.path = path;
  }

  /**
   * Makes a folder for a run, or opens that of an earlier one.
   *
   * @throws MambaError with code `FILE` if it cannot be written, holds a run already, or none to resume
   */
  static open(path: string, { resume }: { resume: boolean }): RunFolder {
    try {
      mkdirSync(path, { recursive: true });
      accessSync(path, constants.W_OK);
    } catch (cause) {
      const code = (cause as NodeJS.ErrnoException).code ?? String(cause);
      throw folderError(
        path,
        `must be a folder that can be written; it cannot (${code}); choose another with --out`,
        cause,
      );
    }
    const holdsRun = existsSync(join(path, "metrics.jsonl"));
    if (resume && !holdsRun) throw folderError(path, "must hold a run to resume; it holds none; leave --resume out");
    if (!resume && holdsRun) {
      throw folderError(path, "must not hold another run; it does; go on with --resume or choose another with --out");
    }
    return new RunFolder(path);
  }

  /** Checkpoints and whatever else lies in the folder. */
  list(): string[] {
    return readdirSync(this.path).sort();
  }

  file(name: string): string {
    return join(this.path, name);
  }

  /** Writes a JSON file whole. */
  async writeJson(name: string, value: unknown): Promise<void> {
    const bytes = new TextEncoder().encode(`${JSON.stringify(value, null, 2)}\n`);
    await writeFileAtomically(this.file(name), (write) => write(bytes));
  }

  /** Starts `metrics.jsonl`, keeping the whole lines of steps up to `step`. */
  async startMetrics(step: number): Promise<TrainingMetrics[]> {
    const path = this.file("metrics.jsonl");
    const kept = this.metrics().filter((line) => line.step <= step);
    const text = kept.map((line) => `${JSON.stringify(line)}\n`).join("");
    await writeFileAtomically(path, (write) => write(new TextEncoder().encode(text)));
    return kept;
  }

  /** The whole lines of `metrics.jsonl`. */
  metrics(): TrainingMetrics[] {
    const path = this.file("metrics.jsonl");
    return existsSync(path) ? readMetrics(readFileSync(path, "utf8")) : [];
  }

  /** A folder in this one, made if need be. */
  subfolder(name: string): string {
    const path = this.file(name);
    mkdirSync(path, { recursive: true });
    return path;
  }

  /** Adds a line to `metrics.jsonl`. */
  append(metrics: TrainingMetrics): void {
    appendFileSync(this.file("metrics.jsonl"), `${JSON.stringify(metrics)}\n`);
  }

  /** Draws `loss.svg` and `loss.png`. */
  async drawLoss(title: string, metrics: readonly TrainingMetrics[]): Promise<void> {
    const validated = metrics.filter(({ validationLoss }) => validationLoss !== undefined);
    const plot: Plot = {
      title,
      xLabel: "step",
      yLabel: "loss",
      lines: [
        { name: "training", points: metrics.map(({ step, loss }) => ({ x: step, y: loss })) },
        ...(validated.length
          ? [{ name: "validation", points: validated.map((line) => ({ x: line.step, y: line.validationLoss! })) }]
          : []),
      ],
    };
    writeFileSync(this.file("loss.svg"), plotSvg(plot));
    writeFileSync(this.file("loss.png"), await plotPng(plot));
  }
}

/** The lines of a `metrics.jsonl`; a last line that was cut off is left out. */
export function readMetrics(text: string): TrainingMetrics[] {
  return text.split("\n").flatMap((line) => {
    try {
      return line === "" ? [] : [JSON.parse(line) as TrainingMetrics];
    } catch {
      return [];
    }
  });
}

function folderError(path: string, problem: string, cause?: unknown): MambaError {
  return new MambaError(`folder ${path}: ${problem}`, "FILE", { path }, { cause });
}
