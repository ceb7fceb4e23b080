import { DataError } from "../../tensor/errors.ts";

/** Unsigned bytes with a shape, as the MNIST files hold images and labels. */
export interface IdxFile {
  readonly shape: readonly number[];
  readonly values: Uint8Array;
}

const UNSIGNED_BYTE = 8;
const GZIP = [0x1f, 0x8b];

/**
 * Reads an IDX file of unsigned bytes, packed by gzip or not: two zeros, the type, the number of axes, their sizes, the elements.
 *
 * @param name - for error messages
 * @throws DataError if the file is damaged, cut off, or of another type
 * @see LeCun, Cortes & Burges, "The MNIST database of handwritten digits"
 */
export async function readIdx(name: string, given: Uint8Array<ArrayBuffer>): Promise<IdxFile> {
  const bytes = GZIP.every((byte, i) => given[i] === byte) ? await unpack(name, given) : given;
  const fail = (what: string): DataError =>
    new DataError(`${name}: ${what}; the file is damaged or no IDX file of bytes; fetch it again`, { name });
  if (bytes.length < 4 || bytes[0] !== 0 || bytes[1] !== 0) throw fail("an IDX file must begin with two zero bytes");
  if (bytes[2] !== UNSIGNED_BYTE) throw fail(`elements must be unsigned bytes (type 8); got type ${bytes[2]}`);
  const rank = bytes[3]!;
  if (bytes.length < 4 + 4 * rank) throw fail(`sizes of ${rank} axes must follow; the file ends before`);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const shape = Array.from({ length: rank }, (_, axis) => view.getUint32(4 + 4 * axis));
  const values = bytes.subarray(4 + 4 * rank);
  const count = shape.reduce((product, size) => product * size, 1);
  if (values.length !== count) throw fail(`${count} elements must follow; got ${values.length}`);
  return { shape, values };
}

async function unpack(name: string, bytes: Uint8Array<ArrayBuffer>): Promise<Uint8Array<ArrayBuffer>> {
  try {
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
    return new Uint8Array(await new Response(stream).arrayBuffer());
  } catch (cause) {
    throw new DataError(`${name}: must be packed by gzip; it cannot be unpacked; fetch it again`, { name }, { cause });
  }
}
