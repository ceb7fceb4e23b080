import { CheckpointError } from "../tensor/errors.ts";
import { type ByteSource, decodeUtf8 } from "./source.ts";
import { excerpt } from "./tensor-entry.ts";

/** A record of a zip archive: `byteLength` bytes that begin at `start` of the file, not compressed. */
export interface ZipRecord {
  readonly name: string;
  readonly start: number;
  readonly byteLength: number;
}

/** The records of a zip archive by name. */
export interface ZipArchive {
  has(name: string): boolean;
  names(): Iterable<string>;
  /**
   * Finds a record's bytes.
   *
   * @throws CheckpointError if it is missing, compressed, encrypted, or lies outside the file
   */
  locate(name: string): Promise<ZipRecord>;
}

/** What the directory says about a record. */
interface DirectoryEntry {
  readonly name: string;
  readonly flags: number;
  readonly method: number;
  readonly compressedLength: number;
  readonly byteLength: number;
  readonly headerStart: number;
  /** Where the next record or the directory begins: the record must end before. */
  readonly limit: number;
}

/** Fixed parts of the format's structures, in bytes, and their signatures. */
const endLength = 22;
const end64Length = 56;
const locator64Length = 20;
const entryLength = 46;
const localLength = 30;
/** A directory beyond this lists no model's tensors (each takes about 100 bytes). */
const longestDirectory = 64 * 2 ** 20;
const signatures = { local: 0x04034b50, entry: 0x02014b50, end: 0x06054b50, end64: 0x06064b50, locator64: 0x07064b50 };

/**
 * Reads the directory of a zip archive whose records are stored without compression, as `torch.save` writes them.
 * Archives and records over 4 GiB (zip64) are understood. Checksums are not verified.
 *
 * @throws CheckpointError if the archive is damaged
 * @see PKWARE APPNOTE 6.3, sections 4.3 and 4.5.3
 */
export async function readZipArchive(source: ByteSource): Promise<ZipArchive> {
  const { start, byteLength, count } = await findDirectory(source);
  const bytes = await source.read(start, start + byteLength);
  const entries = parseDirectory(source.name, new DataView(bytes.buffer), count, start);
  return {
    has: (name) => entries.has(name),
    names: () => entries.keys(),
    async locate(name) {
      const entry = entries.get(name);
      if (!entry) throw damaged(source.name, `the archive must hold ${excerpt(name)}`, "it does not", { record: name });
      return locate(source, entry);
    },
  };
}

interface DirectoryPlace {
  readonly start: number;
  readonly byteLength: number;
  readonly count: number;
}

async function findDirectory(source: ByteSource): Promise<DirectoryPlace> {
  const tailStart = Math.max(0, source.byteLength - endLength - 0xffff);
  const tail = new DataView((await source.read(tailStart, source.byteLength)).buffer);
  const at = findEnd(tail);
  if (at === undefined) {
    throw damaged(source.name, "a zip archive must end with its directory", "there is none", {});
  }
  let place = { count: tail.getUint16(at + 10, true), ...pair(tail, at + 12) };
  let limit = tailStart + at;
  if (place.count === 0xffff || place.byteLength === 0xffffffff || place.start === 0xffffffff) {
    const zip64 = await findDirectory64(source, limit);
    if (zip64) [place, limit] = [zip64.place, zip64.at];
  }
  if (place.start + place.byteLength > limit || place.count * entryLength > place.byteLength) {
    const came = `${place.count} entries in ${place.byteLength} bytes from ${place.start}`;
    throw damaged(source.name, "the archive's directory must fit the file", came, { ...place });
  }
  if (place.byteLength > longestDirectory) {
    throw damaged(source.name, "the archive's directory must be at most 64 MiB", `got ${place.byteLength} bytes`, {
      ...place,
    });
  }
  return place;
}

/** The end record's comment reaches exactly to the end of the file, which tells it from chance bytes. */
function findEnd(tail: DataView): number | undefined {
  for (let at = tail.byteLength - endLength; at >= 0; at--) {
    if (tail.getUint32(at, true) !== signatures.end) continue;
    if (at + endLength + tail.getUint16(at + 20, true) === tail.byteLength) return at;
  }
  return undefined;
}

function pair(view: DataView, at: number): { byteLength: number; start: number } {
  return { byteLength: view.getUint32(at, true), start: view.getUint32(at + 4, true) };
}

async function findDirectory64(
  source: ByteSource,
  end: number,
): Promise<{ place: DirectoryPlace; at: number } | undefined> {
  if (end < locator64Length) return undefined;
  const locator = new DataView((await source.read(end - locator64Length, end)).buffer);
  if (locator.getUint32(0, true) !== signatures.locator64) return undefined;
  const at = readUint64(source.name, locator, 8);
  if (at + end64Length > end) {
    throw damaged(source.name, "the archive's directory must lie in the file", `its end is at ${at}`, { at });
  }
  const record = new DataView((await source.read(at, at + end64Length)).buffer);
  if (record.getUint32(0, true) !== signatures.end64) {
    throw damaged(source.name, "the archive must have a zip64 end record", `there is none at ${at}`, { at });
  }
  const [count, byteLength, start] = [32, 40, 48].map((offset) => readUint64(source.name, record, offset));
  return { place: { count: count!, byteLength: byteLength!, start: start! }, at };
}

function parseDirectory(
  file: string,
  view: DataView,
  count: number,
  directoryStart: number,
): Map<string, DirectoryEntry> {
  const entries: DirectoryEntry[] = [];
  let at = 0;
  for (let i = 0; i < count; i++) {
    if (at + entryLength > view.byteLength || view.getUint32(at, true) !== signatures.entry) {
      throw damaged(file, `the archive's directory must have ${count} entries`, `entry ${i} is not there`, {
        entry: i,
      });
    }
    const [nameLength, extraLength, commentLength] = [28, 30, 32].map((offset) => view.getUint16(at + offset, true));
    const next = at + entryLength + nameLength! + extraLength! + commentLength!;
    if (next > view.byteLength) {
      throw damaged(file, "the archive's directory must hold its names", `entry ${i} ends outside`, { entry: i });
    }
    entries.push(parseEntry(file, view, at, nameLength!, extraLength!));
    at = next;
  }
  return boundEntries(file, entries, directoryStart);
}

function parseEntry(file: string, view: DataView, at: number, nameLength: number, extraLength: number): DirectoryEntry {
  const nameStart = view.byteOffset + at + entryLength;
  const name = decodeUtf8(`${file}: record name`, new Uint8Array(view.buffer, nameStart, nameLength));
  const fields = [view.getUint32(at + 24, true), view.getUint32(at + 20, true), view.getUint32(at + 42, true)];
  const extra = new DataView(view.buffer, nameStart + nameLength, extraLength);
  const [byteLength, compressedLength, headerStart] = widen(file, name, fields, extra);
  return {
    name,
    flags: view.getUint16(at + 8, true),
    method: view.getUint16(at + 10, true),
    byteLength: byteLength!,
    compressedLength: compressedLength!,
    headerStart: headerStart!,
    limit: 0,
  };
}

/** Replaces fields that are all ones by the 64-bit values of the zip64 extra field, which holds only those, in order. */
function widen(file: string, name: string, fields: readonly number[], extra: DataView): number[] {
  const wide = findExtra(extra, 0x0001);
  let at = 0;
  return fields.map((field) => {
    if (field !== 0xffffffff) return field;
    if (!wide || at + 8 > wide.byteLength) {
      throw damaged(file, `record ${excerpt(name)} must have its zip64 sizes`, "they are missing", { record: name });
    }
    at += 8;
    return readUint64(file, wide, at - 8);
  });
}

function findExtra(extra: DataView, id: number): DataView | undefined {
  for (let at = 0; at + 4 <= extra.byteLength; ) {
    const length = extra.getUint16(at + 2, true);
    if (at + 4 + length > extra.byteLength) return undefined;
    if (extra.getUint16(at, true) === id) return new DataView(extra.buffer, extra.byteOffset + at + 4, length);
    at += 4 + length;
  }
  return undefined;
}

/** Gives every record the start of the next one as its limit, so that no two can share bytes. */
function boundEntries(file: string, entries: DirectoryEntry[], directoryStart: number): Map<string, DirectoryEntry> {
  const byName = new Map<string, DirectoryEntry>();
  const ordered = entries.sort((a, b) => a.headerStart - b.headerStart);
  ordered.forEach((entry, i) => {
    const { name } = entry;
    if (byName.has(name)) throw damaged(file, "record names must differ", `${excerpt(name)} repeats`, { record: name });
    byName.set(name, { ...entry, limit: Math.min(ordered[i + 1]?.headerStart ?? directoryStart, directoryStart) });
  });
  return byName;
}

async function locate(source: ByteSource, entry: DirectoryEntry): Promise<ZipRecord> {
  const { name, flags, method, byteLength, compressedLength, headerStart, limit } = entry;
  const where = `${source.name}: record ${excerpt(name)}`;
  if (method !== 0 || flags & 1 || byteLength !== compressedLength) {
    const what = flags & 1 ? "encrypted" : `compressed with method ${method}`;
    const message = `${where}: must be stored as it is; it is ${what}; save the checkpoint again with torch.save`;
    throw new CheckpointError(message, { record: name, method, flags });
  }
  if (headerStart + localLength > limit) {
    throw damaged(where, "must lie in the file", `it begins at ${headerStart}`, { record: name, headerStart });
  }
  const local = new DataView((await source.read(headerStart, headerStart + localLength)).buffer);
  const start = headerStart + localLength + local.getUint16(26, true) + local.getUint16(28, true);
  if (local.getUint32(0, true) !== signatures.local || start + byteLength > limit) {
    const facts = { record: name, headerStart, byteLength };
    throw damaged(where, "must lie before the next one", `${byteLength} bytes from ${start} to ${limit}`, facts);
  }
  return { name, start, byteLength };
}

function readUint64(file: string, view: DataView, at: number): number {
  const value = view.getBigUint64(at, true);
  if (value > BigInt(Number.MAX_SAFE_INTEGER)) {
    throw damaged(file, "sizes in the archive must be below 2^53", `got ${value}`, { value });
  }
  return Number(value);
}

function damaged(where: string, must: string, came: string, facts: Record<string, unknown>): CheckpointError {
  return new CheckpointError(`${where}: ${must}; ${came}; the file is damaged or incomplete, fetch it again`, facts);
}
