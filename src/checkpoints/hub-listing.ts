import type { HubBlob } from "#platform";
import { protocolError } from "./hub-errors.ts";
import { checkFilePath, escapePath, isCommit } from "./hub-names.ts";
import { type HubClient, type HubResponse, request, subjectOf, withRetries } from "./hub-request.ts";

/** What a hub says about a model at a revision. */
export interface HubListing {
  readonly commit: string;
  /** every file's name, with its content's name where the hub told it */
  readonly files: ReadonlyMap<string, HubBlob | undefined>;
}

const WHAT = "the list of files";
const LARGEST_LISTING_BYTES = 32 << 20;
const MOST_FILES = 100_000;
const SHA256 = /^[0-9a-f]{64}$/;
const SHA1 = /^[0-9a-f]{40}$/;

/**
 * Lists a model's files: `GET /api/models/ID/revision/REVISION?blobs=true`.
 *
 * @throws HubError if the hub does not answer, or its answer is malformed, hostile or absurdly large
 */
export function listModel(client: HubClient, revision: string): Promise<HubListing> {
  const url = `${client.endpoint}/api/models/${escapePath(client.id)}/revision/${encodeURIComponent(revision)}?blobs=true`;
  return withRetries(client, () =>
    request(client, { method: "GET", url, what: WHAT }, async (response) =>
      parseListing(client, await readText(client, response)),
    ),
  );
}

async function readText(client: HubClient, response: HubResponse): Promise<string> {
  const decoder = new TextDecoder();
  let text = "";
  let byteLength = 0;
  for await (const bytes of response.body) {
    byteLength += bytes.byteLength;
    if (byteLength > LARGEST_LISTING_BYTES) {
      throw fault(client, `the answer must be at most ${LARGEST_LISTING_BYTES} bytes`, "more");
    }
    text += decoder.decode(bytes, { stream: true });
  }
  return text + decoder.decode();
}

function parseListing(client: HubClient, text: string): HubListing {
  const answer = parseJson(client, text);
  const { sha, siblings } = answer;
  if (typeof sha !== "string" || !isCommit(sha)) {
    throw fault(client, "sha must be a commit of 40 hexadecimal digits", show(sha));
  }
  if (!Array.isArray(siblings)) throw fault(client, "siblings must be a list", show(siblings));
  if (siblings.length > MOST_FILES) {
    throw fault(client, `a model may have at most ${MOST_FILES} files`, `${siblings.length}`);
  }
  const files = new Map<string, HubBlob | undefined>();
  for (const sibling of siblings) {
    const entry = asRecord(sibling);
    const path = entry["rfilename"];
    checkFilePath(path, `hub ${client.id}`);
    files.set(path, blobOf(entry));
  }
  return { commit: sha, files };
}

function parseJson(client: HubClient, text: string): Record<string, unknown> {
  try {
    return asRecord(JSON.parse(text));
  } catch {
    throw fault(client, "the answer must be JSON", show(text));
  }
}

function asRecord(value: unknown): Record<string, unknown> {
  return typeof value === "object" && value !== null ? (value as Record<string, unknown>) : {};
}

function blobOf(entry: Record<string, unknown>): HubBlob | undefined {
  const lfs = asRecord(entry["lfs"]);
  return makeBlob(lfs["sha256"] ?? lfs["oid"] ?? entry["blobId"], lfs["size"] ?? entry["size"]);
}

/** A blob from an etag or object name and a length; undefined if they are of another form. */
function makeBlob(name: unknown, byteLength: unknown): HubBlob | undefined {
  if (typeof name !== "string" || typeof byteLength !== "number") return undefined;
  if (!Number.isSafeInteger(byteLength) || byteLength < 0) return undefined;
  const hash = name.replace(/^W\//, "").replaceAll('"', "").toLowerCase();
  if (SHA256.test(hash)) return { algorithm: "sha256", hash, byteLength };
  return SHA1.test(hash) ? { algorithm: "git-sha1", hash, byteLength } : undefined;
}

/** A file's address at a commit. */
export function fileUrl(client: HubClient, commit: string, path: string): string {
  return `${client.endpoint}/${escapePath(client.id)}/resolve/${commit}/${escapePath(path)}`;
}

/**
 * Asks for a file's hash and length by HEAD, for hubs and mirrors whose listing leaves them out.
 *
 * Large files answer with a redirect whose `x-linked-etag` is the SHA-256 and `x-linked-size` the length.
 *
 * @throws HubError if the hub does not answer or names no hash
 */
export function describeFile(client: HubClient, commit: string, path: string): Promise<HubBlob> {
  const what = `file "${path}"`;
  const asked = { method: "HEAD", url: fileUrl(client, commit, path), what, stayOnHub: true } as const;
  return withRetries(client, () =>
    request(client, asked, async ({ headers }) => {
      const name = headers.get("x-linked-etag") ?? headers.get("etag");
      const size = headers.get("x-linked-size") ?? headers.get("content-length");
      const blob = makeBlob(name, size === null ? undefined : Number(size));
      if (blob) return blob;
      const must = "the hub must tell a file's hash (etag) and length";
      throw protocolError(subjectOf(client, what), must, `${show(name)} and ${show(size)}`);
    }),
  );
}

function fault(client: HubClient, must: string, got: string): Error {
  return protocolError(subjectOf(client, WHAT), must, got);
}

function show(value: unknown): string {
  return JSON.stringify(value)?.slice(0, 80) ?? "nothing";
}
