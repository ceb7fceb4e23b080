import type { Fields } from "./config-field.ts";
import { labelledDataVariants } from "./config-labelled.ts";

const size = (about: string) => ({ kind: "integer", about, least: 1, optional: true }) as const;
const text = (about: string) => ({ kind: "string", about, optional: true }) as const;

const vocabulary = { kind: "integer", about: "Number of ids.", least: 4, default: 16 } as const;

/** What a run learns from. */
export const dataField = {
  kind: "variants",
  about: "What is learnt: a synthetic task, text files, or labelled sequences.",
  variants: [
    {
      key: "task",
      value: "induction-heads",
      fields: {
        task: { kind: "choice", about: "Say what followed a special token before.", values: ["induction-heads"] },
        vocabSize: vocabulary,
        queries: {
          kind: "integer",
          about: "Most questions of a row of training; a row of validation has one, at its end.",
          least: 1,
          default: 1,
        },
        queriesUntil: size("Step of training from which rows have one question; left out, never."),
      },
    },
    {
      key: "task",
      value: "selective-copying",
      fields: {
        task: { kind: "choice", about: "Repeat the tokens among noise, in order.", values: ["selective-copying"] },
        vocabSize: vocabulary,
        tokens: { kind: "integer", about: "Tokens to remember.", least: 1, default: 16 },
      },
    },
    {
      key: "task",
      value: "associative-recall",
      fields: {
        task: { kind: "choice", about: "Say the value that came with a key.", values: ["associative-recall"] },
        vocabSize: vocabulary,
        pairs: { kind: "integer", about: "Pairs of key and value.", least: 1, default: 4 },
      },
    },
    {
      key: "text",
      fields: {
        text: {
          kind: "list",
          about: "Text files, or folders of them, one document a file; paths are relative to the configuration file.",
          of: { kind: "string", about: "A path." },
          alone: true,
        },
        separator: text("What stands between documents within a file, as <|endoftext|>; left out, nothing."),
        tokenizer: {
          kind: "string",
          about: '"bytes", or a folder or model with tokenizer.json, for a new model; one to go on from has its own.',
          default: "bytes",
        },
        validationText: {
          kind: "list",
          about: "Text files for validation; left out, the end of the text.",
          of: { kind: "string", about: "A path." },
          alone: true,
          optional: true,
        },
        validationShare: {
          kind: "number",
          about: "Share of the text kept for validation.",
          least: 0,
          most: 0.5,
          default: 0.05,
        },
        mode: {
          kind: "choice",
          about:
            "shuffled: windows in random order; packed: whole documents packed into rows; streamed: rows that go on.",
          values: ["shuffled", "packed", "streamed"],
          default: "shuffled",
        },
      },
    },
    ...labelledDataVariants,
  ],
} as const satisfies Fields[string];
