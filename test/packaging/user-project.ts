import { execFileSync } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect } from "vitest";
import { MambaLM, mambaConfig } from "../../src/models/index.ts";
import { openDevice } from "../../src/ops/devices.ts";
import { tensor } from "../../src/tensor/tensor.ts";
import { buildCommand } from "../kit/command.ts";

/** The repository. */
export const root = fileURLToPath(new URL("../..", import.meta.url));

/** What the user's program found out. */
export interface Computed {
  readonly values: number[];
  readonly features: string[];
}

/** A folder with the packed package in its node_modules, as `npm install` leaves it. */
export interface UserProject {
  readonly folder: string;
  /** Path of the tarball. */
  readonly tarball: string;
  write(file: string, text: string): string;
  remove(): void;
}

const ids = [3, 1, 4, 1, 5, 9, 2, 6];
const shape = { dModel: 16, nLayer: 2, vocabSize: 24 };

/** A user's module: `compute(options)` gives the last logits of a small model, and the device's features. */
const program = `
import { openDevice, tensor } from "mamba.ts";
import { MambaLM, mambaConfig } from "mamba.ts/models";

export async function compute(options) {
  const device = await openDevice("wasm", options);
  const model = MambaLM.create(mambaConfig(${JSON.stringify(shape)}), { device, seed: 7 });
  const { logits } = model.forward(tensor(${JSON.stringify([ids])}, undefined, { device, dtype: "int32" }));
  const values = Array.from(await logits.read());
  const features = [...device.features];
  device.dispose();
  return { values, features };
}
`;

/** Packs the package and unpacks it into a user's project with its dependencies. */
export function makeUserProject(): UserProject {
  buildCommand();
  const folder = mkdtempSync(join(tmpdir(), "mamba-packaging-"));
  const npm = ["pack", "--ignore-scripts", "--silent", "--pack-destination", folder];
  const tarball = join(folder, execFileSync("npm", npm, { cwd: root, encoding: "utf8" }).trim());
  const own = join(folder, "node_modules/mamba.ts");
  mkdirSync(own, { recursive: true });
  execFileSync("tar", ["xzf", tarball, "-C", own, "--strip-components=1"]);
  const { dependencies } = JSON.parse(readFileSync(join(own, "package.json"), "utf8")) as { dependencies: object };
  for (const name of Object.keys(dependencies)) {
    cpSync(join(root, "node_modules", name), join(folder, "node_modules", name), { recursive: true });
  }
  const project: UserProject = {
    folder,
    tarball,
    write(file, text) {
      const path = join(folder, file);
      mkdirSync(dirname(path), { recursive: true });
      writeFileSync(path, text);
      return path;
    },
    remove: () => rmSync(folder, { recursive: true, force: true }),
  };
  project.write("package.json", JSON.stringify({ name: "user", private: true, type: "module" }));
  project.write("compute.js", program);
  return project;
}

let reference: number[] | undefined;

async function computeReference(): Promise<number[]> {
  const device = await openDevice("reference");
  // parameters are drawn in float32 on every device
  const model = MambaLM.create(mambaConfig(shape), { device, dtype: "float32", seed: 7 });
  const { logits } = model.forward(tensor([ids], undefined, { device, dtype: "int32" }));
  return Array.from(await logits!.read(), Number);
}

/** Expects the user's numbers to be those of the float64 reference, and the device to compute in this way. */
export async function expectComputed(computed: Computed, executor: "caller" | "pool" | "worker"): Promise<void> {
  reference ??= await computeReference();
  expect(computed.values).toHaveLength(shape.vocabSize);
  computed.values.forEach((value, i) => {
    expect(value).toBeCloseTo(reference![i]!, 4);
  });
  expect(Math.max(...reference.map(Math.abs))).toBeGreaterThan(0.01);
  expect(computed.features).toContain(`executor-${executor}`);
}
