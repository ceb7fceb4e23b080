import type { LabelledExamples } from "../labelled-examples.ts";
import type { LabelledImages } from "./labelled-images.ts";
import { pixelOrder } from "./pixel-order.ts";

/** Options of {@link pixelSequences}. */
export interface PixelOptions {
  /**
   * `unit`: pixels from 0 to 1, as the S4 code has MNIST. `standard`: less their mean and divided by their standard deviation,
   * channel by channel, as it has CIFAR-10. Default `unit`.
   */
  readonly scale?: "unit" | "standard";
  /** Of the order of the pixels, see {@link pixelOrder}; left out, row by row. */
  readonly permutationSeed?: number | undefined;
}

/** Images as sequences: a row for each pixel, with its channels. */
export function pixelSequences(
  images: LabelledImages,
  { scale = "unit", permutationSeed }: PixelOptions = {},
): LabelledExamples {
  const { count, height, width, channels, classes, pixels, mean, deviation } = images;
  const rows = height * width;
  const order = pixelOrder(rows, permutationSeed);
  const isStandard = scale === "standard";
  // what a byte becomes, by channel
  const tables = Array.from({ length: channels }, (_, channel) =>
    Float32Array.from({ length: 256 }, (_, byte) =>
      isStandard ? (byte / 255 - mean[channel]!) / deviation[channel]! : byte / 255,
    ),
  );
  return {
    ...{ count, classes, inputSize: channels },
    labels: Int32Array.from(images.labels),
    sequence: (index) => {
      const start = index * rows * channels;
      const values = new Float32Array(rows * channels);
      for (let row = 0; row < rows; row++) {
        const from = start + order[row]! * channels;
        for (let channel = 0; channel < channels; channel++) {
          values[row * channels + channel] = tables[channel]![pixels[from + channel]!]!;
        }
      }
      return { values, rows };
    },
  };
}
