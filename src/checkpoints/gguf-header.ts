import { CheckpointError } from "../tensor/errors.ts";
import {
  fieldTypes,
  type GgufField,
  type GgufFields,
  type GgufFieldType,
  type GgufValue,
  numberArrays,
} from "./gguf-fields.ts";
import { describeGgufType, type GgufType, ggufTypeOf, ggufTypes } from "./gguf-types.ts";
import { checkShape, excerpt } from "./tensor-entry.ts";

/** What a GGUF file says before its data. */
export interface GgufHeader {
  readonly version: number;
  readonly alignment: number;
  readonly fields: GgufFields;
  readonly tensors: readonly GgufPlacement[];
  /** First byte of the data. */
  readonly dataStart: number;
}

/** Where a tensor lies, relative to the first byte of the data. */
export interface GgufPlacement {
  readonly name: string;
  readonly type: GgufType;
  /** Slowest axis first; files list them the other way. */
  readonly shape: readonly number[];
  readonly begin: number;
  readonly end: number;
}

/** Thrown where the bytes at hand end before the file does. */
export class HeaderGoesOn extends Error {
  override readonly name = "HeaderGoesOn";
}

/** Arrays in arrays beyond this are an attack. */
const deepestArray = 4;
/** Axes of a ggml tensor. */
const highestRank = 4;

/**
 * Parses the header of a GGUF file of version 2 or 3. No count or length is believed before it is held against what is
 * left of the file, so that nothing larger than the file is ever allocated.
 *
 * @param bytes - the file from its start, all of it or less
 * @param byteLength - of the whole file
 * @throws HeaderGoesOn if the header does not end within `bytes`
 * @throws CheckpointError naming the byte and the first rule that is broken
 */
export function parseGgufHeader(where: string, bytes: Uint8Array<ArrayBuffer>, byteLength: number): GgufHeader {
  const cursor = new Cursor(where, bytes, byteLength);
  const version = readVersion(cursor);
  const tensorCount = cursor.count("tensors", 8 + 4 + 4 + 8);
  const fieldCount = cursor.count("metadata fields", 8 + 4 + 1);
  const fields = new Map<string, GgufField>();
  for (let i = 0; i < fieldCount; i++) {
    const key = cursor.name("a key");
    if (fields.has(key)) throw cursor.damaged(`keys must differ; ${excerpt(key)} comes twice`);
    fields.set(key, readField(cursor, key));
  }
  const alignment = readAlignment(cursor, fields);
  const described: TensorInfo[] = [];
  for (let i = 0; i < tensorCount; i++) described.push(readTensorInfo(where, cursor));
  const dataStart = Math.min(Math.ceil(cursor.at / alignment) * alignment, byteLength);
  const dataLength = byteLength - dataStart;
  const tensors = described.map((info) => place(where, info, alignment, dataLength));
  checkPlaces(where, tensors);
  return { version, alignment, fields, tensors, dataStart };
}

/** Reads little-endian values one after another. */
class Cursor {
  at = 0;
  readonly #where: string;
  readonly #bytes: Uint8Array<ArrayBuffer>;
  readonly #view: DataView;
  readonly #byteLength: number;
  readonly #text = new TextDecoder("utf-8", { ignoreBOM: true });
  readonly #strictText = new TextDecoder("utf-8", { ignoreBOM: true, fatal: true });

  constructor(where: string, bytes: Uint8Array<ArrayBuffer>, byteLength: number) {
    this.#where = where;
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    this.#byteLength = byteLength;
  }

  get left(): number {
    return this.#byteLength - this.at;
  }

  damaged(problem: string): CheckpointError {
    const end = "the file is damaged or incomplete, fetch it again";
    return new CheckpointError(`${this.#where}: at byte ${this.at}: ${problem}; ${end}`, { at: this.at });
  }

  /** Goes `size` bytes on; gives where they begin. */
  advance(size: number, what: string): number {
    if (size > this.left) throw this.damaged(`${what} must fit the file; ${this.left} of its ${size} bytes are left`);
    const start = this.at;
    if (start + size > this.#bytes.length) throw new HeaderGoesOn();
    this.at += size;
    return start;
  }

  uint32(what: string): number {
    return this.#view.getUint32(this.advance(4, what), true);
  }

  uint64(what: string): bigint {
    return this.#view.getBigUint64(this.advance(8, what), true);
  }

  /** A number of things that take at least `size` bytes each. */
  count(what: string, size: number): number {
    const count = this.uint64(`the number of ${what}`);
    if (count * BigInt(size) <= BigInt(this.left)) return Number(count);
    throw this.damaged(`${what} must fit the ${this.left} bytes that are left; there should be ${count}`);
  }

  bytes(size: number, what: string): Uint8Array<ArrayBuffer> {
    const start = this.advance(size, what);
    return this.#bytes.subarray(start, start + size);
  }

  /** Text of a value; what is not UTF-8 becomes U+FFFD, as some files describe themselves carelessly. */
  string(what: string): string {
    return this.#text.decode(this.bytes(this.count(`bytes of ${what}`, 1), what));
  }

  /** Text that names something. */
  name(what: string): string {
    const bytes = this.bytes(this.count(`bytes of ${what}`, 1), what);
    try {
      return this.#strictText.decode(bytes);
    } catch {
      throw this.damaged(`${what} must be UTF-8; it is not`);
    }
  }
}

function readVersion(cursor: Cursor): number {
  const magic = cursor.uint32("the magic number");
  if (magic !== 0x46554747) throw cursor.damaged("a GGUF file must begin with GGUF; it does not");
  const version = cursor.uint32("the version");
  if (version === 2 || version === 3) return version;
  const bigEndian = version === 0x02000000 || version === 0x03000000;
  const came = bigEndian ? "its numbers are big-endian" : `got ${version}`;
  throw cursor.damaged(`the version must be 2 or 3, little-endian; ${came}; convert it again with llama.cpp`);
}

function readFieldType(cursor: Cursor, key: string): GgufFieldType {
  const id = cursor.uint32("a type");
  const type = fieldTypes[id];
  if (type) return type;
  throw cursor.damaged(`${excerpt(key)} must have a type from 0 to ${fieldTypes.length - 1}; got ${id}`);
}

function readField(cursor: Cursor, key: string): GgufField {
  const type = readFieldType(cursor, key);
  if (type !== "array") return { type, value: readScalar(cursor, key, type) };
  const { of, value } = readArray(cursor, key, 1);
  return { type, of, value };
}

function readScalar(cursor: Cursor, key: string, type: GgufFieldType): GgufValue {
  if (type === "string") return cursor.string(`the text of ${excerpt(key)}`);
  if (type === "bool") return readBool(cursor, key);
  const { BYTES_PER_ELEMENT: size } = numberArrays[type]!;
  const value = readNumbers(cursor, key, type, 1, size)[0]!;
  return typeof value === "bigint" && BigInt(Number(value)) === value && Number.isSafeInteger(Number(value))
    ? Number(value)
    : value;
}

function readBool(cursor: Cursor, key: string): boolean {
  const [byte] = cursor.bytes(1, "a truth value");
  if (byte! > 1) throw cursor.damaged(`${excerpt(key)} must be 0 or 1; got ${byte}`);
  return byte === 1;
}

function readNumbers(cursor: Cursor, key: string, type: GgufFieldType, count: number, size: number) {
  // a copy, as views need aligned bytes
  const bytes = cursor.bytes(count * size, `the value of ${excerpt(key)}`).slice();
  return new numberArrays[type]!(bytes.buffer);
}

function readArray(cursor: Cursor, key: string, depth: number): { of: GgufFieldType; value: GgufValue } {
  if (depth > deepestArray)
    throw cursor.damaged(`${excerpt(key)} must nest at most ${deepestArray} arrays; it goes on`);
  const of = readFieldType(cursor, key);
  const numbers = numberArrays[of];
  if (numbers) {
    const size = numbers.BYTES_PER_ELEMENT;
    return { of, value: readNumbers(cursor, key, of, cursor.count(`items of ${excerpt(key)}`, size), size) };
  }
  const least = of === "bool" ? 1 : of === "string" ? 8 : 12;
  const count = cursor.count(`items of ${excerpt(key)}`, least);
  const value: GgufValue[] = [];
  for (let i = 0; i < count; i++) {
    value.push(of === "array" ? readArray(cursor, key, depth + 1).value : readScalar(cursor, key, of));
  }
  return { of, value };
}

function readAlignment(cursor: Cursor, fields: GgufFields): number {
  const { value } = fields.get("general.alignment") ?? { value: 32 };
  if (typeof value === "number" && Number.isInteger(Math.log2(value)) && value >= 1 && value <= 2 ** 20) return value;
  throw cursor.damaged(`general.alignment must be a power of two; got ${excerpt(value)}`);
}

interface TensorInfo {
  readonly name: string;
  readonly shape: readonly number[];
  readonly count: number;
  readonly type: GgufType;
  readonly offset: bigint;
}

function readTensorInfo(where: string, cursor: Cursor): TensorInfo {
  const name = cursor.name("a tensor's name");
  const what = `tensor ${excerpt(name)}`;
  const rank = cursor.uint32(`the rank of ${what}`);
  if (rank > highestRank) throw cursor.damaged(`${what} must have at most ${highestRank} axes; got ${rank}`);
  const sizes: number[] = [];
  for (let axis = 0; axis < rank; axis++) sizes.unshift(Number(cursor.uint64(`the shape of ${what}`)));
  const { shape, count } = checkShape(`${where}: ${what}`, sizes);
  const id = cursor.uint32(`the type of ${what}`);
  const type = ggufTypeOf(id);
  if (type === undefined) {
    throw new CheckpointError(
      `${where}: ${what}: its type must be one of ${Object.keys(ggufTypes).join(", ")}; got ${describeGgufType(id)}; ` +
        "quantize it again with another type",
      { tensor: name, type: id },
    );
  }
  return { name, shape, count, type, offset: cursor.uint64(`the offset of ${what}`) };
}

function place(where: string, info: TensorInfo, alignment: number, dataLength: number): GgufPlacement {
  const { name, shape, count, type, offset } = info;
  const { block, bytes } = ggufTypes[type];
  const columns = shape.at(-1) ?? 1;
  const what = `${where}: tensor ${excerpt(name)}`;
  const advice = "the file is damaged or incomplete, fetch it again";
  if (columns % block !== 0) {
    throw new CheckpointError(
      `${what}: rows of ${type} must be a multiple of ${block} long; they have ${columns}; ${advice}`,
      { tensor: name, type, columns, block },
    );
  }
  const begin = Number(offset);
  const end = begin + (count / block) * bytes;
  if (offset % BigInt(alignment) !== 0n || !(end <= dataLength)) {
    throw new CheckpointError(
      `${what}: its ${end - begin} bytes must begin at a multiple of ${alignment} and lie within the ${dataLength} bytes of data; ` +
        `they begin at ${offset}; ${advice}`,
      { tensor: name, begin, end, dataLength },
    );
  }
  return { name, type, shape, begin, end };
}

function checkPlaces(where: string, tensors: readonly GgufPlacement[]): void {
  const names = new Set<string>();
  let at = 0;
  for (const { name, begin, end } of [...tensors].sort((a, b) => a.begin - b.begin || a.end - b.end)) {
    const problem = names.has(name) ? "comes twice" : begin < at ? "overlaps the one before it" : undefined;
    if (problem) {
      throw new CheckpointError(
        `${where}: tensors must have names and places of their own; ${excerpt(name)} ${problem}; ` +
          "the file is damaged, fetch it again",
        { tensor: name },
      );
    }
    names.add(name);
    at = end;
  }
}
