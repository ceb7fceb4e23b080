/** What every field of a configuration says about itself. */
interface FieldFacts {
  /** One sentence for people; goes into the published schema. */
  readonly about: string;
  /** May be left out. */
  readonly optional?: boolean;
  /** Put in where it is left out. */
  readonly default?: unknown;
}

/** A number within limits, both included unless said otherwise. */
export interface NumberField extends FieldFacts {
  readonly kind: "number" | "integer";
  readonly least?: number;
  readonly most?: number;
  /** The least value is not allowed itself. */
  readonly above?: boolean;
}

/** True or false. */
export interface BooleanField extends FieldFacts {
  readonly kind: "boolean";
}

/** Text that is not empty. */
export interface StringField extends FieldFacts {
  readonly kind: "string";
}

/** One of some words, or true or false. */
export interface ChoiceField extends FieldFacts {
  readonly kind: "choice";
  readonly values: readonly (string | boolean)[];
}

/** A list, or where `alone` is set also one item by itself. */
export interface ListField extends FieldFacts {
  readonly kind: "list";
  readonly of: Field;
  readonly length?: number;
  readonly alone?: boolean;
}

/** A record with known keys. */
export interface RecordField extends FieldFacts {
  readonly kind: "record";
  readonly fields: Fields;
}

/** One of several records, told apart by a key that it alone has, or by the value of `tag`. */
export interface VariantsField extends FieldFacts {
  readonly kind: "variants";
  readonly variants: readonly Variant[];
}

/** One of the records of a {@link VariantsField}. */
export interface Variant {
  /** The key whose presence chooses this record. */
  readonly key: string;
  /** The value that the key must have, where several records have the key. */
  readonly value?: string;
  readonly fields: Fields;
}

/** Any field. */
export type Field = NumberField | BooleanField | StringField | ChoiceField | ListField | RecordField | VariantsField;

/** Fields by key. */
export type Fields = { readonly [key: string]: Field };

/** The type of the values that a field takes, before defaults are put in. */
export type Given<F> = F extends { kind: "number" | "integer" }
  ? number
  : F extends { kind: "boolean" }
    ? boolean
    : F extends { kind: "choice"; values: readonly (infer Word)[] }
      ? Word
      : F extends { kind: "string" }
        ? string
        : F extends { kind: "list"; of: infer Item; alone: true }
          ? Given<Item> | readonly Given<Item>[]
          : F extends { kind: "list"; of: infer Item }
            ? readonly Given<Item>[]
            : F extends { kind: "record"; fields: infer Inner }
              ? GivenRecord<Inner>
              : F extends { kind: "variants"; variants: readonly (infer One)[] }
                ? One extends { fields: infer Inner; value: infer Value; key: infer Key extends string }
                  ? { readonly [K in Key]: Value } & GivenRecord<Omit<Inner, Key>>
                  : One extends { fields: infer Inner }
                    ? GivenRecord<Inner>
                    : never
                : never;

type OptionalKeys<F> = { [K in keyof F]: F[K] extends { optional: true } | { default: unknown } ? K : never }[keyof F];

/** The type of a record of fields, before defaults are put in. */
export type GivenRecord<F> = { readonly [K in Exclude<keyof F, OptionalKeys<F>>]: Given<F[K]> } & {
  readonly [K in OptionalKeys<F>]?: Given<F[K]>;
};

/** The type of the values of a field once defaults are in. */
export type Complete<F> = F extends { kind: "record"; fields: infer Inner }
  ? CompleteRecord<Inner>
  : F extends { kind: "variants"; variants: readonly (infer One)[] }
    ? One extends { fields: infer Inner; value: infer Value; key: infer Key extends string }
      ? { readonly [K in Key]: Value } & CompleteRecord<Omit<Inner, Key>>
      : One extends { fields: infer Inner }
        ? CompleteRecord<Inner>
        : never
    : F extends { kind: "list"; of: infer Item }
      ? readonly Complete<Item>[]
      : Given<F>;

type MissingKeys<F> = { [K in keyof F]: F[K] extends { optional: true } ? K : never }[keyof F];

/** The type of a record of fields once defaults are in. */
export type CompleteRecord<F> = { readonly [K in Exclude<keyof F, MissingKeys<F>>]: Complete<F[K]> } & {
  readonly [K in MissingKeys<F>]?: Complete<F[K]>;
};
