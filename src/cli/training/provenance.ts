import { readFileSync } from "node:fs";
import type { Device } from "../../tensor/device.ts";

/** What a result depends on besides the configuration. */
export interface Provenance {
  readonly version: string;
  readonly node: string;
  readonly seed: number;
  readonly device: string;
  readonly features: readonly string[];
  readonly threads: number;
}

/** Gathers what a run depends on. */
export function provenanceOf(device: Device, seed: number): Provenance {
  const text = readFileSync(new URL("../../../package.json", import.meta.url), "utf8");
  return {
    version: (JSON.parse(text) as { version: string }).version,
    node: process.version,
    seed,
    device: device.name,
    features: [...device.features].sort(),
    threads: device.threads,
  };
}
