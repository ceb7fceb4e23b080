import { arrayOf, type TypedArray } from "../tensor/dtype.ts";
import { CheckpointError } from "../tensor/errors.ts";
import { denseStrides, isDense, sizeOf } from "../tensor/shape.ts";
import { readPickle } from "./pickle.ts";
import { type ByteSource, type CheckpointInput, toSource } from "./source.ts";
import { decodeElements, storedTypes } from "./stored-types.ts";
import { type TensorEntry, type TensorFile, tensorEntry } from "./tensor-entry.ts";
import { torchTree } from "./torch-tree.ts";
import { type TorchTensor, torchGlobal, torchStorage } from "./torch-values.ts";
import { readZipArchive, type ZipArchive, type ZipRecord } from "./torch-zip.ts";

/** The pickle describes tensors, it does not hold them: larger ones are hostile. */
const longestPickle = 64 * 2 ** 20;

/**
 * Opens a file written by `torch.save` (`pytorch_model.bin`, `*.pt`, `*.pth`). Tensors are read one at a time, on demand.
 *
 * The pickle inside is read by a machine that builds plain values and tensor views only, so nothing in the file is ever
 * executed. Views that are transposed or sliced are gathered into row-major order. How tensors are named is told at
 * `torchTree`.
 *
 * @param input - a source, bytes, or a path
 * @throws CheckpointError if the file is damaged, of the format before PyTorch 1.6, compressed, or names anything
 * that weights do not need
 */
export async function readTorch(input: CheckpointInput): Promise<TensorFile> {
  const source = await toSource(input, "torch bytes");
  try {
    return await openTensors(source);
  } catch (error) {
    await source.close();
    throw error;
  }
}

async function openTensors(source: ByteSource): Promise<TensorFile> {
  await checkFormat(source);
  const archive = await readZipArchive(source);
  const prefix = archivePrefix(source.name, archive);
  await checkByteOrder(source, archive, prefix);
  const where = source.name;
  const root = readPickle(await readPickleBytes(source, archive, prefix), {
    where,
    global: (name) => torchGlobal(where, name),
    persistent: (id) => torchStorage(where, id),
  });
  const { tensors, metadata } = torchTree(where, root);
  const entries = new Map<string, TensorEntry>();
  for (const [name, tensor] of tensors) entries.set(name, await openEntry(source, archive, prefix, name, tensor));
  return { name: where, tensors: entries, metadata, close: () => source.close() };
}

async function checkFormat(source: ByteSource): Promise<void> {
  const { name, byteLength } = source;
  const head = await source.read(0, Math.min(4, byteLength));
  if (head[0] === 0x50 && head[1] === 0x4b) return;
  if (head[0] === 0x80) {
    throw new CheckpointError(
      `${name}: must be a zip archive; it has the format before PyTorch 1.6; ` +
        "load it in PyTorch and save it again with torch.save or safetensors",
      { format: "legacy" },
    );
  }
  throw new CheckpointError(`${name}: a file of torch.save must be a zip archive; it is not; check what it is`, {});
}

function archivePrefix(file: string, archive: ZipArchive): string {
  const pickles = [...archive.names()].filter((name) => name.endsWith("/data.pkl"));
  const [first] = pickles;
  if (first !== undefined && pickles.length === 1) return first.slice(0, -"data.pkl".length);
  throw new CheckpointError(
    `${file}: a file of torch.save must hold one data.pkl; it holds ${pickles.length}; check what it is`,
    { pickles },
  );
}

async function checkByteOrder(source: ByteSource, archive: ZipArchive, prefix: string): Promise<void> {
  if (!archive.has(`${prefix}byteorder`)) return;
  const { start, byteLength } = await archive.locate(`${prefix}byteorder`);
  const order = new TextDecoder().decode(await source.read(start, start + Math.min(byteLength, 6)));
  if (order === "little") return;
  throw new CheckpointError(`${source.name}: numbers must be little-endian; they are not; save it on another machine`, {
    order,
  });
}

async function readPickleBytes(source: ByteSource, archive: ZipArchive, prefix: string): Promise<Uint8Array> {
  const { start, byteLength } = await archive.locate(`${prefix}data.pkl`);
  if (byteLength > longestPickle) {
    throw new CheckpointError(`${source.name}: data.pkl must be at most 64 MiB; got ${byteLength} bytes`, {
      byteLength,
    });
  }
  return source.read(start, start + byteLength);
}

async function openEntry(
  source: ByteSource,
  archive: ZipArchive,
  prefix: string,
  name: string,
  tensor: TorchTensor,
): Promise<TensorEntry> {
  const { storage, storedType, shape, strides } = tensor;
  const record = await archive.locate(`${prefix}data/${storage.key}`);
  const needed = storage.length * storedTypes[storage.storedType].bytes;
  if (record.byteLength < needed) {
    throw new CheckpointError(
      `${source.name}: storage ${storage.key} must have ${needed} bytes; it has ${record.byteLength}; ` +
        "the file is damaged or incomplete, fetch it again",
      { tensor: name, needed, byteLength: record.byteLength },
    );
  }
  const where = `${source.name}: tensor ${name}`;
  const readRun = runReader(source, record, where, tensor);
  const readStored = isDense(shape, strides)
    ? (start: number, end: number) => readRun(tensor.offset + start, tensor.offset + end)
    : (start: number, end: number) => gather(tensor, readRun, start, end);
  const { dtype, bytes } = storedTypes[storedType];
  return tensorEntry({ name, storedType, dtype, shape, storedByteLength: sizeOf(shape) * bytes, readStored });
}

/** Reads elements of a storage, counted from its start. */
type ReadRun = (start: number, end: number) => Promise<TypedArray>;

function runReader(source: ByteSource, record: ZipRecord, where: string, { storedType }: TorchTensor): ReadRun {
  const { bytes } = storedTypes[storedType];
  return async (start, end) =>
    decodeElements(where, storedType, await source.read(record.start + start * bytes, record.start + end * bytes));
}

/** Reads the span of the storage that the view touches, and picks the elements out in row-major order. */
async function gather(tensor: TorchTensor, readRun: ReadRun, start: number, end: number): Promise<TypedArray> {
  const { shape, strides, offset, storedType } = tensor;
  const out = new (arrayOf(storedTypes[storedType].dtype))(end - start);
  if (sizeOf(shape) === 0 || start === end) return out;
  const last = shape.reduce((sum, size, axis) => sum + (size - 1) * strides[axis]!, offset);
  const span = await readRun(offset, last + 1);
  const dense = denseStrides(shape);
  for (let i = start; i < end; i++) {
    let at = 0;
    for (let axis = 0; axis < shape.length; axis++) {
      at += (Math.floor(i / dense[axis]!) % shape[axis]!) * strides[axis]!;
    }
    out[i - start] = span[at]!;
  }
  return out;
}
