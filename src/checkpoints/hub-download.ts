import { type ContentHash, contentHash, type HubBlob, type HubFile, type HubStore, type PartialBlob } from "#platform";
import { HubError } from "../tensor/errors.ts";
import { protocolError } from "./hub-errors.ts";
import { fileUrl } from "./hub-listing.ts";
import { type HubClient, type HubResponse, request, subjectOf, withRetries } from "./hub-request.ts";

/** A file to fetch, and where to. */
export interface Download {
  readonly client: HubClient;
  readonly store: HubStore;
  /** the model's folder in the store */
  readonly folder: string;
  readonly commit: string;
  readonly file: HubFile;
  /** told how many of the file's bytes have arrived, earlier attempts included */
  readonly onBytes: (byteLength: number) => void;
}

/**
 * Brings one file's content into the store, going on where an earlier download broke off.
 *
 * The address holds the commit and the partial is named by the content's hash, so the rest that a Range request brings
 * belongs to the bytes already there; the hash over all of them is what proves it. (If-Range can't be used:
 * the content network's etags are not the hub's, so it would always send everything again.)
 *
 * @throws HubError if the bytes can't be had or aren't what the hub announced; AbortError if the signal fired
 */
export async function downloadFile(download: Download): Promise<void> {
  const { client, store, folder, file } = download;
  const partial = await store.openPartial(folder, file.blob, client.signal);
  if (!partial) return;
  try {
    const resumed = partial.byteLength > 0;
    if ((await fill(download, partial)) === file.blob.hash) return await partial.commit();
    await partial.reset();
    // Bytes of an earlier attempt may be what is wrong, say after a power cut: once more from the start.
    if (resumed && (await fill(download, partial)) === file.blob.hash) return await partial.commit();
    await partial.reset();
    throw hashError(download);
  } finally {
    await partial.close();
  }
}

/** Completes the partial and gives the hash of all its bytes. */
async function fill(download: Download, partial: PartialBlob): Promise<string> {
  const { client, file, onBytes } = download;
  const { byteLength } = file.blob;
  if (partial.byteLength > byteLength) await partial.reset();
  const hash = await hashOf(file.blob, partial);
  onBytes(partial.byteLength);
  const attempt = () => fetchRest(download, partial, hash).catch((error) => explainRange(download, partial, error));
  if (partial.byteLength < byteLength) await withRetries(client, attempt, () => partial.byteLength);
  return hash.digest();
}

async function hashOf(blob: HubBlob, partial: PartialBlob): Promise<ContentHash> {
  const hash = contentHash(blob.algorithm === "sha256" ? "sha256" : "sha1");
  if (blob.algorithm === "git-sha1") hash.update(new TextEncoder().encode(`blob ${blob.byteLength}\0`));
  if (partial.byteLength > 0) for await (const bytes of partial.read()) hash.update(bytes);
  return hash;
}

async function fetchRest(download: Download, partial: PartialBlob, hash: ContentHash): Promise<void> {
  const { client, commit, file, onBytes } = download;
  const what = `file "${file.path}"`;
  const from = partial.byteLength;
  await request(client, { method: "GET", url: fileUrl(client, commit, file.path), what, from }, async (response) => {
    // An answer from the start repeats what is there already.
    let skip = from - startOf(download, response, from);
    for await (const bytes of response.body) {
      const rest = bytes.subarray(Math.min(skip, bytes.byteLength));
      skip -= bytes.byteLength - rest.byteLength;
      if (partial.byteLength + rest.byteLength > file.blob.byteLength) await tooLong(download, partial);
      hash.update(rest);
      await partial.write(rest);
      onBytes(partial.byteLength);
    }
    if (partial.byteLength < file.blob.byteLength) throw tooShort(download, partial.byteLength);
  });
}

/** A server that has nothing from there on (416) holds a shorter file: what is kept can't be a part of the right one. */
async function explainRange(download: Download, partial: PartialBlob, error: unknown): Promise<never> {
  if (!(error instanceof HubError) || error.facts["status"] !== 416) throw error;
  const { byteLength } = partial;
  await partial.reset();
  throw lengthError(download, `the file ended after ${byteLength}; nothing was kept`, { actualBytes: byteLength });
}

/** Where the answer's first byte stands in the file. */
function startOf(download: Download, response: HubResponse, from: number): number {
  if (response.status !== 206) return 0;
  const range = response.headers.get("content-range");
  // Browsers hide the header where the content network doesn't list it; the hash still watches.
  if (range === null) return from;
  const [, start, total] = /^bytes (\d+)-\d+\/(\d+|\*)$/.exec(range) ?? [];
  const { byteLength } = download.file.blob;
  if (Number(start) === from && (total === "*" || Number(total) === byteLength)) return from;
  const subject = subjectOf(download.client, `file "${download.file.path}"`);
  throw protocolError(subject, `bytes ${from}- of ${byteLength} were asked for`, `content-range ${range.slice(0, 80)}`);
}

async function tooLong(download: Download, partial: PartialBlob): Promise<never> {
  await partial.reset();
  throw lengthError(download, "more arrived; nothing was kept", {});
}

function tooShort(download: Download, actualBytes: number): HubError {
  const facts = { actualBytes, retryable: true };
  return lengthError(download, `the answer ended after ${actualBytes}; what has arrived is kept`, facts);
}

function lengthError(download: Download, got: string, facts: object): HubError {
  const { id } = download.client;
  const { path, blob } = download.file;
  return new HubError(
    `hub ${id}: file "${path}" must have ${blob.byteLength} bytes as listed; ${got}; try again, ` +
      "and if it persists check HF_ENDPOINT and proxies",
    { id, path, expectedBytes: blob.byteLength, ...facts },
  );
}

function hashError(download: Download): HubError {
  const { id } = download.client;
  const { path, blob } = download.file;
  const name = blob.algorithm === "sha256" ? "SHA-256" : "git SHA-1";
  return new HubError(
    `hub ${id}: file "${path}" must have ${name} ${blob.hash}; other bytes arrived; nothing was kept, ` +
      "try again, and if it persists suspect a proxy or a damaged upload",
    { id, path, expectedHash: blob.hash },
  );
}
