import type { Variant } from "./config-field.ts";

const size = (about: string, least: number, value: number) =>
  ({ kind: "integer", about, least, default: value }) as const;

const folder = (about: string) =>
  ({ kind: "string", about: `${about}; a path is relative to the configuration file.` }) as const;

/** What is kept for validation; apart from the run's seed, so that runs with several seeds are tested alike. */
const validation = {
  validationShare: {
    kind: "number",
    about: "Share of the training part that is kept for validation.",
    least: 0,
    most: 0.5,
    default: 0.1,
  },
  validationSeed: size("Draws what is kept.", 0, 0),
} as const;

const pixels = {
  scale: {
    kind: "choice",
    about: "unit: pixels from 0 to 1; standard: less their mean, divided by their standard deviation.",
    values: ["unit", "standard"],
    default: "unit",
  },
  permutationSeed: {
    kind: "integer",
    about: "Draws one order of the pixels for all images; left out, row by row.",
    least: 0,
    optional: true,
  },
  ...validation,
} as const;

/** Data of labelled sequences, for classifiers. */
export const labelledDataVariants = [
  {
    key: "task",
    value: "list-ops",
    fields: {
      task: { kind: "choice", about: "Say the value of a nested expression.", values: ["list-ops"] },
      minLength: size("Fewest tokens of a row; the most are length.", 1, 4),
      maxDepth: size("Levels of an expression, digits included.", 2, 10),
      maxArguments: size("Most arguments of an operator.", 2, 10),
    },
  },
  {
    key: "images",
    value: "mnist",
    fields: {
      images: { kind: "choice", about: "Name a handwritten digit, pixel by pixel.", values: ["mnist"] },
      folder: folder("Where the four files of MNIST lie"),
      ...pixels,
    },
  },
  {
    key: "images",
    value: "cifar-10",
    fields: {
      images: { kind: "choice", about: "Name what a photograph shows, pixel by pixel.", values: ["cifar-10"] },
      folder: folder("Where the binary batches of CIFAR-10 lie"),
      grey: { kind: "boolean", about: "One channel of brightness and not three of colour.", default: false },
      ...pixels,
    },
  },
  {
    key: "series",
    value: "physionet-2012",
    fields: {
      series: {
        kind: "choice",
        about: "Foretell death in hospital from two days in intensive care, sampled irregularly.",
        values: ["physionet-2012"],
      },
      folder: folder("Where the sets of the challenge are unpacked"),
      set: { kind: "choice", about: "What is trained on.", values: ["a", "b", "c"], default: "a" },
      testSet: { kind: "choice", about: "What is tested on.", values: ["a", "b", "c"], default: "b" },
      times: {
        kind: "choice",
        about: "true: with the hours between samples; regular: as if they all were as far apart.",
        values: ["true", "regular"],
        default: "true",
      },
      fill: {
        kind: "choice",
        about: "What stands where nothing was measured: the last value, or the mean of training.",
        values: ["last", "mean"],
        default: "last",
      },
      balanced: { kind: "boolean", about: "Train on as many deaths as survivals.", default: false },
      ...validation,
    },
  },
] as const satisfies readonly Variant[];
