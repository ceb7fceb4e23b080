import { openDevice } from "../../ops/devices.ts";
import { saveClassifier } from "../../pretrained/index.ts";
import {
  type CompleteTrainConfig,
  type LabelledDataConfig,
  newClassifierOf,
  openLabelledData,
} from "../../training/index.ts";
import { type DeviceFlags, deviceOptions } from "../options.ts";
import type { OpenTraining, TrainingSubject } from "./open-training.ts";

/** A configuration of a classifier. */
export type ClassifierTrainConfig = CompleteTrainConfig & { readonly data: LabelledDataConfig };

/** Opens what training of a classifier needs. */
export async function openClassifierTraining(config: ClassifierTrainConfig, flags: DeviceFlags): Promise<OpenTraining> {
  const { training, validation, validationBatches } = await openLabelledData(config);
  const { device: wanted, ...options } = deviceOptions(flags);
  const device = await openDevice(wanted, options);
  try {
    const classifier = newClassifierOf(config, training, device);
    const sources = { data: training, validation };
    return {
      ...{ device, subject: { classifier, ...sources }, validationBatches },
      renewed: (): TrainingSubject & Disposable => {
        const again = newClassifierOf(config, training, device);
        return { classifier: again, ...sources, [Symbol.dispose]: () => again.dispose() };
      },
      save: (folder) => saveClassifier(folder.subfolder("model"), classifier),
      dispose: async () => {
        classifier.dispose();
        device.dispose();
      },
    };
  } catch (error) {
    device.dispose();
    throw error;
  }
}
