import { CheckpointError } from "../tensor/errors.ts";
import {
  fieldTypes,
  type GgufField,
  type GgufFields,
  type GgufFieldType,
  type GgufValue,
  numberArrays,
} from "./gguf-fields.ts";
import { type GgufType, ggufTypes } from "./gguf-types.ts";
import { excerpt } from "./tensor-entry.ts";

/** A tensor as the header describes it. */
export interface PlacedTensor {
  readonly name: string;
  readonly type: GgufType;
  /** Slowest axis first. */
  readonly shape: readonly number[];
  /** First byte, relative to the data. */
  readonly begin: number;
}

/**
 * The header of a GGUF file of version 3, without the padding before the data.
 *
 * @throws CheckpointError if a value is not of its type
 */
export function encodeGgufHeader(fields: GgufFields, tensors: readonly PlacedTensor[]): Uint8Array<ArrayBuffer> {
  const out = new ByteWriter();
  out.uint32(0x46554747);
  out.uint32(3);
  out.uint64(tensors.length);
  out.uint64(fields.size);
  for (const [key, field] of fields) {
    out.string(key);
    out.uint32(fieldTypes.indexOf(field.type));
    writeValue(out, key, field);
  }
  for (const { name, type, shape, begin } of tensors) {
    out.string(name);
    out.uint32(shape.length);
    for (const size of [...shape].reverse()) out.uint64(size);
    out.uint32(ggufTypes[type].id);
    out.uint64(begin);
  }
  return out.bytes();
}

/** Little-endian bytes that grow. */
class ByteWriter {
  #bytes = new Uint8Array(2 ** 16);
  #length = 0;
  readonly #encoder = new TextEncoder();

  bytes(): Uint8Array<ArrayBuffer> {
    return this.#bytes.slice(0, this.#length);
  }

  append(bytes: Uint8Array): void {
    const end = this.#length + bytes.length;
    if (end > this.#bytes.length) {
      const grown = new Uint8Array(Math.max(end, 2 * this.#bytes.length));
      grown.set(this.#bytes);
      this.#bytes = grown;
    }
    this.#bytes.set(bytes, this.#length);
    this.#length = end;
  }

  uint32(value: number): void {
    this.append(new Uint8Array(Uint32Array.of(value).buffer));
  }

  uint64(value: number): void {
    this.append(new Uint8Array(BigUint64Array.of(BigInt(value)).buffer));
  }

  string(text: string): void {
    const bytes = this.#encoder.encode(text);
    this.uint64(bytes.length);
    this.append(bytes);
  }
}

function writeValue(out: ByteWriter, key: string, { type, of, value }: GgufField): void {
  if (type === "array") writeArray(out, key, of, value);
  else writeScalar(out, key, type, value);
}

function writeArray(out: ByteWriter, key: string, of: GgufFieldType | undefined, value: GgufValue): void {
  const isList = Array.isArray(value) || ArrayBuffer.isView(value);
  if (!of || of === "array" || !isList) throw wrongValue(key, "an array of scalars, with their type", value);
  out.uint32(fieldTypes.indexOf(of));
  const items = value as ArrayLike<GgufValue>;
  out.uint64(items.length);
  for (let i = 0; i < items.length; i++) writeScalar(out, key, of, items[i]!);
}

function writeScalar(out: ByteWriter, key: string, type: GgufFieldType, value: GgufValue): void {
  if (type === "string") {
    if (typeof value !== "string") throw wrongValue(key, "text", value);
    out.string(value);
  } else if (type === "bool") {
    if (typeof value !== "boolean") throw wrongValue(key, "true or false", value);
    out.append(Uint8Array.of(value ? 1 : 0));
  } else {
    out.append(encodeNumber(key, type, value));
  }
}

function encodeNumber(key: string, type: GgufFieldType, value: GgufValue): Uint8Array {
  if (typeof value !== "number" && typeof value !== "bigint") throw wrongValue(key, `a number of ${type}`, value);
  const isFloat = type.startsWith("float");
  if (!isFloat && !(typeof value === "bigint" || Number.isSafeInteger(value)))
    throw wrongValue(key, "an integer", value);
  const one = new numberArrays[type]!(1);
  const isWide = one instanceof BigUint64Array || one instanceof BigInt64Array;
  (one as { [index: number]: unknown })[0] = isWide ? BigInt(value) : Number(value);
  // floats are rounded; integers must come out as they went in
  if (!isFloat && BigInt(one[0]!) !== BigInt(value)) throw wrongValue(key, `within ${type}`, value);
  return new Uint8Array(one.buffer);
}

function wrongValue(key: string, must: string, value: GgufValue): CheckpointError {
  return new CheckpointError(
    `writeGguf: ${excerpt(key)} must be ${must}; got ${excerpt(value)}; correct its type or its value`,
    { key },
  );
}
