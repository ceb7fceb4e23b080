/** Types of metadata in GGUF files. */
export type GgufFieldType =
  | "uint8"
  | "int8"
  | "uint16"
  | "int16"
  | "uint32"
  | "int32"
  | "float32"
  | "bool"
  | "string"
  | "array"
  | "uint64"
  | "int64"
  | "float64";

/** Numbers of the types in the file are their places here. */
export const fieldTypes: readonly GgufFieldType[] = [
  "uint8",
  "int8",
  "uint16",
  "int16",
  "uint32",
  "int32",
  "float32",
  "bool",
  "string",
  "array",
  "uint64",
  "int64",
  "float64",
];

/** Value of a field. 64-bit integers are numbers where these are exact, else bigints; arrays of them are bigints. */
export type GgufValue = number | bigint | boolean | string | readonly GgufValue[] | GgufNumbers;

/** Arrays of numbers. */
export type GgufNumbers =
  | Uint8Array
  | Int8Array
  | Uint16Array
  | Int16Array
  | Uint32Array
  | Int32Array
  | Float32Array
  | Float64Array
  | BigUint64Array
  | BigInt64Array;

/** One field of a GGUF file's metadata. */
export interface GgufField {
  readonly type: GgufFieldType;
  /** Type of the items of an array. */
  readonly of?: GgufFieldType | undefined;
  readonly value: GgufValue;
}

/** A file's metadata by key. */
export type GgufFields = ReadonlyMap<string, GgufField>;

interface NumberArray {
  new (length: number): GgufNumbers;
  new (buffer: ArrayBuffer): GgufNumbers;
  readonly BYTES_PER_ELEMENT: number;
}

/** The array class of each type of number. */
export const numberArrays: Readonly<Partial<Record<GgufFieldType, NumberArray>>> = {
  uint8: Uint8Array,
  int8: Int8Array,
  uint16: Uint16Array,
  int16: Int16Array,
  uint32: Uint32Array,
  int32: Int32Array,
  float32: Float32Array,
  float64: Float64Array,
  uint64: BigUint64Array,
  int64: BigInt64Array,
};

/** The scalars of a file as text, by key; arrays are left out. */
export function describeFields(fields: GgufFields): Record<string, string> {
  const scalars = [...fields].filter(([, { type }]) => type !== "array");
  return Object.fromEntries(scalars.map(([key, { value }]) => [key, String(value)]));
}
