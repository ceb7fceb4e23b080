import { classifierField } from "./config-classifier.ts";
import { dataField } from "./config-data.ts";
import type { Fields } from "./config-field.ts";

const size = (about: string) => ({ kind: "integer", about, least: 1, optional: true }) as const;
const flag = (about: string) => ({ kind: "boolean", about, optional: true }) as const;
const share = (about: string) => ({ kind: "number", about, least: 0, most: 1, optional: true }) as const;
const positive = (about: string) => ({ kind: "number", about, least: 0, above: true, optional: true }) as const;
const text = (about: string) => ({ kind: "string", about, optional: true }) as const;

const initialisation = {
  kind: "record",
  about: "How new parameters are drawn; see section 3.6 of the paper.",
  optional: true,
  fields: {
    dtMin: positive("Smallest step size after softplus."),
    dtMax: positive("Largest step size after softplus."),
    dtFloor: positive("Lower bound of a drawn step size."),
    dtScheme: {
      kind: "choice",
      about: "How the projection of step sizes is drawn.",
      values: ["random", "constant"],
      optional: true,
    },
    dtScale: positive("Scale of that projection."),
    embeddingStd: positive("Standard deviation of the embedding."),
    rescaleOutProjection: flag("Divide out_proj by the square root of the number of layers."),
  },
} as const satisfies Fields[string];

/** Fields of a model that may differ from a preset too. */
const shared = {
  vocabSize: size("Ids that mean something; left out, what the data needs."),
  paddedVocabSize: size("Rows of the embedding; left out, vocabSize."),
  selective: flag("false: the time-invariant baseline, whose delta, B and C do not depend on the input."),
  tieEmbeddings: flag("Whether the head is the embedding; left out, true."),
  initialisation,
} as const;

const ownModel = {
  dModel: { kind: "integer", about: "Width of the residual stream.", least: 1 },
  nLayer: { kind: "integer", about: "Number of layers.", least: 1 },
  dInner: size("Channels of the recurrence; left out, twice dModel."),
  dState: size("State of each channel; left out, 16."),
  dConv: size("Samples that the convolution sees; left out, 4."),
  dtRank: size("Rank of the step size's projection; left out, dModel / 16 rounded up."),
  bias: flag("Bias on the projections of the mixer; left out, false."),
  convBias: flag("Bias on the convolution; left out, true."),
  norm: { kind: "choice", about: "The norm; left out, rms.", values: ["rms", "layer"], optional: true },
  normEpsilon: positive("Epsilon of the norm; left out, 1e-5."),
  ...shared,
} as const;

const presetNames = ["mamba-130m", "mamba-370m", "mamba-790m", "mamba-1.4b", "mamba-2.8b"] as const;

const model = {
  kind: "variants",
  about:
    "The model: a shape of its own, that of a published model, the baseline, a classifier of sequences, or the weights of a folder.",
  variants: [
    { key: "dModel", fields: ownModel },
    {
      key: "preset",
      fields: {
        preset: { kind: "choice", about: "Name of a published shape, with new parameters.", values: presetNames },
        ...shared,
      },
    },
    {
      key: "transformer",
      fields: {
        transformer: {
          kind: "record",
          about: "The transformer baseline: rotary positions, RMS norms, SwiGLU.",
          fields: {
            dModel: { kind: "integer", about: "Width of the residual stream.", least: 1 },
            nLayer: { kind: "integer", about: "Number of layers.", least: 1 },
            heads: { kind: "integer", about: "Heads of attention.", least: 1 },
            hidden: size("Inner size of the MLP; left out, 8/3 dModel rounded up to a multiple of 8."),
            vocabSize: size("Ids that mean something; left out, what the data needs."),
            tieEmbeddings: flag("Whether the head is the embedding; left out, true."),
            std: positive("Standard deviation of new weights; left out, 0.02."),
          },
        },
      },
    },
    { key: "classifier", fields: { classifier: classifierField } },
    {
      key: "from",
      fields: { from: { kind: "string", about: "A model to go on from: folder, file, shipped model or hub name." } },
    },
  ],
} as const;

const optimizer = {
  kind: "record",
  about: "How gradients change parameters.",
  default: {},
  fields: {
    name: { kind: "choice", about: "The rule.", values: ["adamW", "sgd"], default: "adamW" },
    betas: {
      kind: "list",
      about: "Decay rates of Adam's moments; left out, 0.9 and 0.95.",
      of: share("One rate."),
      length: 2,
      optional: true,
    },
    epsilon: positive("Added to Adam's denominator; left out, 1e-8."),
    momentum: share("Of sgd; left out, 0.9."),
    weightDecay: {
      kind: "number",
      about: "Decoupled weight decay; left out, 0.1 for adamW, 0 for sgd.",
      least: 0,
      optional: true,
    },
    groups: {
      kind: "list",
      about: "Rules for some parameters; the first that matches counts.",
      optional: true,
      of: {
        kind: "record",
        about: "One rule.",
        fields: {
          match: { kind: "string", about: "Regular expression for the dotted name, as dtProj or A_log$." },
          learningRateScale: positive("Multiplies the learning rate."),
          learningRate: {
            kind: "number",
            about: "A learning rate of its own; 0 leaves parameters as they are.",
            least: 0,
            optional: true,
          },
          weightDecay: { kind: "number", about: "A decay of its own.", least: 0, optional: true },
        },
      },
    },
  },
} as const;

const schedule = {
  kind: "record",
  about: "Learning rate by step.",
  default: {},
  fields: {
    name: {
      kind: "choice",
      about: "Shape after the warm-up.",
      values: ["constant", "cosine", "linear"],
      default: "cosine",
    },
    peak: { kind: "number", about: "Largest learning rate.", least: 0, above: true, default: 1e-3 },
    warmup: { kind: "integer", about: "Steps of linear rise.", least: 0, default: 0 },
    end: { kind: "number", about: "Rate at the last step.", least: 0, default: 0 },
  },
} as const;

const validation = {
  kind: "record",
  about: "Loss on data that is not trained on.",
  optional: true,
  fields: {
    every: { kind: "integer", about: "Steps between validations.", least: 1, default: 500 },
    batches: { kind: "integer", about: "Batches of each validation.", least: 1, default: 8 },
    accuracy: flag(
      "Count right predictions too; left out, true for synthetic tasks, false for text; always true for classifiers.",
    ),
    patience: {
      kind: "integer",
      about: "Stop after this many validations without a better one.",
      least: 1,
      optional: true,
    },
  },
} as const;

const lora = {
  kind: "record",
  about: "Train low-rank updates of some weights instead of all parameters.",
  optional: true,
  fields: {
    rank: { kind: "integer", about: "Inner size of each update.", least: 1, default: 8 },
    alpha: positive("An update is multiplied by alpha / rank; left out, twice the rank."),
    match: text("Regular expression for the dotted names of the weights; left out, the projections of all mixers."),
  },
} as const;

/** Every key of a training configuration: its meaning, limits and default. The schema and the checks come from it. */
export const trainConfigFields = {
  $schema: text("Where the JSON schema of this file is."),
  model,
  data: dataField,
  lora,
  optimizer,
  schedule,
  steps: { kind: "integer", about: "Updates to take.", least: 1 },
  batch: { kind: "integer", about: "Rows of a step.", least: 1, default: 8 },
  length: {
    kind: "integer",
    about:
      "Tokens of a row, or the most where rows differ; for selective-copying slots of noise, to which twice the tokens to remember are added; images have their own.",
    least: 2,
    default: 256,
  },
  microBatches: {
    kind: "integer",
    about: "Parts that a batch is worked through in, to save memory.",
    least: 1,
    default: 1,
  },
  precision: {
    kind: "choice",
    about:
      "mixed: matrix products in float16, added up in float32, with a loss scale; everything else, parameters too, stays in float32. Needs WebGPU on a card with float16 matrix units.",
    values: ["float32", "mixed"],
    default: "float32",
  },
  recompute: {
    kind: "choice",
    about: "Made again in backward to save memory. cheap: norms, convolutions, step sizes; layer: all. Left out, none.",
    values: ["none", "cheap", "layer", true, false],
    optional: true,
  },
  clipNorm: positive("Largest norm of the gradients; left out, no limit."),
  average: share("Decay of a moving average of the parameters, which is saved as well; left out, none."),
  seed: { kind: "integer", about: "Of parameters and data.", least: 0, default: 0 },
  validation,
  checkpointEvery: {
    kind: "integer",
    about: "Steps between checkpoints; one is written at the end too.",
    least: 1,
    default: 1000,
  },
  out: text("Folder of the run; left out, runs/ and the name of this file."),
} as const satisfies Fields;
