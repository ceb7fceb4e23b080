import type { Fields, Variant } from "./config-field.ts";

const size = (about: string) => ({ kind: "integer", about, least: 1, optional: true }) as const;
const flag = (about: string) => ({ kind: "boolean", about, optional: true }) as const;
const share = (about: string) => ({ kind: "number", about, least: 0, most: 1, optional: true }) as const;
const positive = (about: string) => ({ kind: "number", about, least: 0, above: true, optional: true }) as const;

const start = {
  kind: "record",
  about: "How new parameters are drawn.",
  optional: true,
  fields: {
    init: {
      kind: "choice",
      about: "What the states stand for; left out, legs. Low rank wants a HiPPO measure.",
      values: ["legs", "legt", "lagt", "fout", "foud", "lin", "inv", "real", "random"],
      optional: true,
    },
    dtMin: positive("Smallest step size; left out, 0.001."),
    dtMax: positive("Largest step size; left out, 0.1."),
    channels: size("Outputs of a feature; left out, 1."),
    copies: size("Systems that the features share in turn, a divisor of dModel; left out, 1."),
    keepB: flag("Whether B is a parameter of its own and not part of C; left out, true."),
  },
} as const satisfies Fields[string];

const mixers = [
  {
    key: "kind",
    value: "s4",
    fields: {
      kind: { kind: "choice", about: "S4 or S4D: a state space over every feature.", values: ["s4"] },
      structure: {
        kind: "choice",
        about: "low-rank: S4, diagonal plus low rank; diagonal: S4D.",
        values: ["diagonal", "low-rank"],
        default: "diagonal",
      },
      dState: { kind: "integer", about: "States of a feature, both of each pair.", least: 2, default: 64 },
      discretization: {
        kind: "choice",
        about: "Of a diagonal system; left out, zoh.",
        values: ["zoh", "bilinear"],
        optional: true,
      },
      dtTransform: {
        kind: "choice",
        about: "How step sizes are made positive; left out, exp.",
        values: ["exp", "softplus"],
        optional: true,
      },
      bidirectional: flag("Whether half of the channels look ahead; left out, false."),
      kernelLength: size("Most samples of a row, which low rank is tuned to; left out, length."),
      dropout: share("Of outputs of the convolution, in training; left out, none."),
      tiedDropout: flag("Whether a feature is dropped all along the length; left out, true."),
      start,
    },
  },
  {
    key: "kind",
    value: "lssl",
    fields: {
      kind: { kind: "choice", about: "LSSL: a state space with a full A over every feature.", values: ["lssl"] },
      dState: { kind: "integer", about: "States of a feature.", least: 1, default: 64 },
      alpha: share("Of the discretisation: 0 Euler, 1/2 bilinear, 1 Euler backwards; left out, 1/2."),
      dropout: share("Of outputs of the convolution, in training; left out, none."),
      tiedDropout: flag("Whether a feature is dropped all along the length; left out, false."),
      start: {
        kind: "record",
        about: "How new parameters are drawn.",
        optional: true,
        fields: {
          measure: {
            kind: "choice",
            about: "What the states stand for; left out, legs.",
            values: ["legs", "legt"],
            optional: true,
          },
          dtMin: positive("Smallest step size; left out, 0.001."),
          dtMax: positive("Largest step size; left out, 0.1."),
          channels: size("Outputs of a feature; left out, 1."),
          perFeature: flag("Whether each feature has a transition of its own; left out, false."),
        },
      },
    },
  },
  {
    key: "kind",
    value: "mamba",
    fields: {
      kind: { kind: "choice", about: "Mamba-1.", values: ["mamba"] },
      dState: size("State of each channel; left out, 16."),
      dConv: size("Samples that the convolution sees; left out, 4."),
      dtRank: size("Rank of the step size's projection; left out, dModel / 16 rounded up."),
      expand: size("Channels for each of dModel; left out, 2."),
      selective: flag("false: the time-invariant baseline; left out, true."),
    },
  },
  {
    key: "kind",
    value: "attention",
    fields: {
      kind: { kind: "choice", about: "A transformer's layer: attention, then a gated MLP.", values: ["attention"] },
      heads: { kind: "integer", about: "Heads of attention.", least: 1 },
      hidden: size("Inner size of the MLP; left out, 8/3 dModel rounded up to a multiple of 8."),
    },
  },
] as const satisfies readonly Variant[];

/** A classifier of sequences; its input and classes are those of the data. */
export const classifierField = {
  kind: "record",
  about: "A classifier of sequences: encoder, residual layers, pooling, decoder.",
  fields: {
    dModel: { kind: "integer", about: "Width of the residual stream.", least: 1 },
    nLayer: { kind: "integer", about: "Number of layers.", least: 1 },
    mixer: { kind: "variants", about: "What mixes the samples of a sequence.", variants: mixers },
    norm: {
      kind: "choice",
      about: "The norm: over the features of a sample, or batch: over all samples of a batch; left out, layer.",
      values: ["layer", "rms", "batch"],
      optional: true,
    },
    prenorm: flag("Whether a layer's norm comes before it, not after the addition; left out, false."),
    finalNorm: flag("Whether one more norm comes before the pooling; left out, false."),
    dropout: share("Of a layer's output, in training; left out, none."),
    tiedDropout: flag("Whether a feature is dropped all along the length; left out, true."),
    pooling: {
      kind: "choice",
      about: "What is classified: the mean over the samples, or the last one; left out, mean.",
      values: ["mean", "last"],
      optional: true,
    },
  },
} as const satisfies Fields[string];
