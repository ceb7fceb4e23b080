import { afterAll, describe, expect, it } from "vitest";
import { openFolder } from "#platform";
import { readSafetensors } from "../src/checkpoints/index.ts";
import { openDevice } from "../src/ops/devices.ts";
import { loadMamba } from "../src/pretrained/load-mamba.ts";
import { verifyLanguageModel } from "../src/pretrained/verify.ts";
import type { Device } from "../src/tensor/device.ts";
import { goldenFolder } from "./kit/golden-folder.ts";

const folder = (name: string): string => new URL(`fixtures/${name}`, import.meta.url).pathname;

/** Folders of test/fixtures with a model that there is a golden of. */
const goldens = [
  "hf-mamba-tied",
  "hf-mamba-untied-bias",
  "hf-falcon-mamba",
  "original-mamba-bin-f32",
  "original-mamba-bin-f16",
];

for (const deviceName of ["reference", "wasm"] as const) {
  describe(`golden models on ${deviceName}`, () => {
    const opened: Promise<Device> = openDevice(deviceName, { threads: 2 });
    afterAll(async () => (await opened).dispose());
    for (const name of goldens) {
      it(`${name} has every logit, loss, gradient and greedy id that the golden holds`, async () => {
        const device = await opened;
        const golden = await readSafetensors(`${folder(goldenFolder(name))}/golden.safetensors`);
        const { model } = await loadMamba(await openFolder(folder(name)), { device, pack: false });
        const result = await verifyLanguageModel(model, device, golden);
        expect(result.compared.filter(({ ok }) => !ok)).toEqual([]);
        expect(result.notCompared).toEqual([]);
        expect(result.compared.map((q) => q.name).sort()).toEqual(
          [...golden.tensors.keys()].filter((key) => key !== "input_ids").sort(),
        );
        model.dispose();
        await golden.close();
        expect(device.memory().buffers).toBe(0);
      });
    }
  });
}
