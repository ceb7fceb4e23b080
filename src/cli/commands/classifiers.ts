import { openModelFiles } from "../open-model.ts";
import { type DeviceFlags, deviceOptions, type SourceFlags } from "../options.ts";
import type { Session } from "../program.ts";
import { Progress } from "../progress.ts";
import { formatVerification } from "./verify.ts";

interface Flags extends DeviceFlags, SourceFlags {
  readonly limit?: number;
  readonly json?: true;
}

/** Whether a model is a classifier of sequences: by its configuration, or, without one, by the tensors of its weights. */
export async function isClassifier(name: string, flags: SourceFlags, session: Session): Promise<boolean> {
  const files = await openModelFiles(name, flags, session.terminal);
  const isWeights = (await files.list()).some((file) => /\.(?:pth|pt|safetensors)$/.test(file));
  const { isS4Classifier, openCheckpoint, readJson } = await import("../../checkpoints/index.ts");
  if (!isWeights) return false;
  if (await files.has("config.json")) {
    const { isClassifierConfig } = await import("../../pretrained/classifier-file.ts");
    return isClassifierConfig(await readJson(files, "config.json"));
  }
  const checkpoint = await openCheckpoint(files);
  await checkpoint.close();
  return isS4Classifier(checkpoint.entries);
}

async function openClassifier(name: string, flags: Flags) {
  const { Classifier } = await import("../../pretrained/classifier.ts");
  return Classifier.fromPretrained(name, deviceOptions(flags));
}

/** Holds a classifier against a golden file. */
export async function verifyClassifierModel(
  name: string,
  golden: string,
  flags: Flags,
  session: Session,
): Promise<void> {
  const { readSafetensors } = await import("../../checkpoints/safetensors.ts");
  const { verifyClassifier } = await import("../../pretrained/verify-classifier.ts");
  const expected = await readSafetensors(golden);
  try {
    const classifier = await openClassifier(name, flags);
    const result = await verifyClassifier(classifier, expected).finally(() => classifier.dispose());
    const ok = result.ok && result.compared.length > 0;
    if (!ok) session.exitCode = 1;
    const device = classifier.device.name;
    if (flags.json) return await session.writeJson({ model: name, device, ...result, ok });
    const accuracy = result.accuracy === undefined ? "" : `accuracy ${percent(result.accuracy)}\n`;
    await session.terminal.write(formatVerification(result, device) + accuracy);
  } finally {
    await expected.close();
  }
}

const percent = (share: number): string => `${(100 * share).toFixed(2)} %`;

/** Measures how many images of a folder of MNIST's test files a classifier tells right. */
export async function evaluateClassifier(name: string, folder: string, flags: Flags, session: Session): Promise<void> {
  const { terminal } = session;
  const { values, labels, shape } = await readTestImages(folder, flags.limit);
  const { classifyAll } = await import("../../pretrained/verify-classifier.ts");
  const { largestClasses } = await import("../../pretrained/classifier.ts");
  const progress = new Progress(terminal);
  const classifier = await openClassifier(name, flags);
  const { classes } = classifier.config;
  const rightOf = (chosen: Int32Array): number => chosen.filter((c, i) => c === labels[i]).length;
  try {
    const logits = await classifyAll(classifier, { values, shape }, (done, all) => {
      const right = rightOf(largestClasses(all.subarray(0, done * classes), classes));
      progress.update("eval", done, shape[0], `accuracy ${percent(right / done)}  ${done} of ${shape[0]}`);
    });
    const predictions = largestClasses(logits, classes);
    const correct = rightOf(predictions);
    const report = {
      model: name,
      device: classifier.device.name,
      count: shape[0],
      correct,
      accuracy: correct / shape[0],
    };
    progress.clear();
    if (flags.json) await session.writeJson({ ...report, predictions: [...predictions] });
    else
      await terminal.write(`accuracy        ${percent(report.accuracy)}\ncorrect         ${correct} of ${shape[0]}\n`);
  } finally {
    progress.clear();
    classifier.dispose();
  }
}

interface TestImages {
  readonly values: Float32Array;
  readonly labels: Uint8Array;
  readonly shape: readonly [rows: number, length: number, inputSize: number];
}

/** Pixels from 0 to 1, one after the other. */
async function readTestImages(folder: string, limit = Number.POSITIVE_INFINITY): Promise<TestImages> {
  const { readMnist } = await import("../../data/index.ts");
  const { count, height, width, pixels, labels } = await readMnist(folder, "test");
  const rows = Math.min(count, limit);
  const values = Float32Array.from(pixels.subarray(0, rows * height * width), (pixel) => pixel / 255);
  return { values, labels, shape: [rows, height * width, 1] };
}
