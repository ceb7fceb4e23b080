import { type FileSet, type HubFile, type HubStore, hubEnvironment, openHubStore } from "#platform";
import { ConfigError, HubError, throwIfAborted } from "../tensor/errors.ts";
import { downloadFile } from "./hub-download.ts";
import { isRetryable } from "./hub-errors.ts";
import { describeFile, type HubListing, listModel } from "./hub-listing.ts";
import { checkModelId, checkRevision, isCommit, modelFolder } from "./hub-names.ts";
import { type HubProgress, HubProgressReporter } from "./hub-progress.ts";
import type { HubClient } from "./hub-request.ts";
import { type HubFilter, selectFiles } from "./hub-select.ts";

export type { HubFilter, HubProgress };

/** Options of {@link pullModel} and {@link hubFiles}. */
export interface HubOptions {
  /** branch, tag or commit; default `main` */
  revision?: string;
  /** access token, sent to the hub's own address only; default: environment variable `HF_TOKEN` */
  token?: string;
  /** default: `HF_HUB_CACHE`, else `HF_HOME/hub`, else `~/.cache/huggingface/hub`; in a browser the cache's name */
  cacheDir?: string;
  /** default: `HF_ENDPOINT`, else `https://huggingface.co` */
  endpoint?: string;
  /** which files; default: configuration, tokenizer and weights */
  files?: HubFilter;
  /** use what is cached and ask nobody; default: whether `HF_HUB_OFFLINE` is set */
  localFilesOnly?: boolean;
  /** called as bytes arrive */
  progress?: (event: HubProgress) => void;
  /** called when something is amiss that doesn't stop the pull; default: `console.warn` */
  warn?: (message: string) => void;
  signal?: AbortSignal;
  /** give up on a connection that brings nothing for so long; default 30,000 ms */
  stallTimeoutMs?: number;
  /** how often a failed request is tried again; default 5 */
  retries?: number;
  /** wait before the first retry, doubled for each further one up to 8 s; default 500 ms */
  retryDelayMs?: number;
}

/** A model that lies whole in the cache. */
export interface PulledModel {
  /** the folder with its files */
  path: string;
  /** the commit that the files belong to */
  revision: string;
  /** names of the files, relative to `path` */
  files: string[];
}

interface Pull {
  readonly client: HubClient;
  readonly store: HubStore;
  readonly folder: string;
  readonly revision: string;
  readonly options: HubOptions;
}

const LARGEST_INDEX_BYTES = 64 << 20;
const IMPATIENCE_MS = 10_000;

/**
 * Downloads a model from a hub, or finds it in the cache, and tells where its files are.
 *
 * The cache is the one of Python's `huggingface_hub`: `models--ORG--NAME/{blobs,refs,snapshots}`. Files become visible
 * only when whole and checked against the hub's hash; a download that broke off goes on where it stopped. If the hub
 * can't be reached and the revision was pulled before, the cached files are used and `warn` is told.
 *
 * ```ts
 * const { path } = await pullModel("state-spaces/mamba-130m-hf");
 * ```
 *
 * @param id - `ORGANISATION/NAME`
 * @throws HubError for a wrong name, a refused or failed download, or damaged bytes; AbortError if `signal` fired
 */
export async function pullModel(id: string, options: HubOptions = {}): Promise<PulledModel> {
  const pull = preparePull(id, options);
  const { commit, files } = await runPull(pull);
  return { path: pull.store.snapshotPath(pull.folder, commit), revision: commit, files };
}

/**
 * Like {@link pullModel}, but gives the files ready to read, in Node and in the browser, where they are kept in the
 * Cache API (in memory where the page has none, as without HTTPS).
 */
export async function hubFiles(id: string, options: HubOptions = {}): Promise<FileSet> {
  const pull = preparePull(id, options);
  const { commit } = await runPull(pull);
  return pull.store.openSnapshot(pull.folder, commit);
}

function preparePull(id: string, options: HubOptions): Pull {
  const revision = options.revision ?? "main";
  checkModelId(id);
  checkRevision(revision);
  throwIfAborted(options.signal, `hub ${id}`);
  const environment = hubEnvironment();
  const token = (options.token ?? environment.token)?.trim();
  const client: HubClient = {
    id,
    endpoint: checkEndpoint(options.endpoint ?? environment.endpoint ?? "https://huggingface.co"),
    ...(token ? { token } : {}),
    redirects: environment.redirects,
    stallTimeoutMs: options.stallTimeoutMs ?? 30_000,
    retries: options.retries ?? 5,
    retryDelayMs: options.retryDelayMs ?? 500,
    ...(options.signal ? { signal: options.signal } : {}),
  };
  const localFilesOnly = options.localFilesOnly ?? environment.offline;
  const store = openHubStore(options.cacheDir);
  return { client, store, folder: modelFolder(id), revision, options: { ...options, localFilesOnly } };
}

function checkEndpoint(endpoint: string): string {
  const url = URL.canParse(endpoint) ? new URL(endpoint) : undefined;
  if (url && (url.protocol === "https:" || url.protocol === "http:")) return endpoint.replace(/\/+$/, "");
  throw new ConfigError(
    `hub: endpoint must be an http address; got ${JSON.stringify(endpoint)}; the usual one is https://huggingface.co`,
    { endpoint },
  );
}

async function runPull(pull: Pull): Promise<{ commit: string; files: string[] }> {
  const cached = await findCached(pull);
  if (pull.options.localFilesOnly) return cached ?? Promise.reject(notCached(pull));
  let listing: HubListing;
  try {
    listing = await listModel(cached ? impatient(pull.client) : pull.client, pull.revision);
  } catch (error) {
    if (!cached || !isRetryable(error)) throw error;
    const warn = pull.options.warn ?? console.warn;
    warn(`${error.message.split(";")[0]}: using the cached commit ${cached.commit.slice(0, 12)} of "${pull.revision}"`);
    return cached;
  }
  const files = await planFiles(pull, listing);
  await fetchAll(pull, listing.commit, files);
  await pull.store.publish(pull.folder, { commit: listing.commit, revision: pull.revision, files });
  return { commit: listing.commit, files: files.map((file) => file.path) };
}

/** With a cached copy at hand, nobody should wait long for a hub that is away. */
function impatient(client: HubClient): HubClient {
  return { ...client, retries: 0, stallTimeoutMs: Math.min(client.stallTimeoutMs, IMPATIENCE_MS) };
}

/** The commit and files of an earlier pull, if the cache holds everything that this one wants. */
async function findCached(pull: Pull): Promise<{ commit: string; files: string[] } | undefined> {
  const { client, store, folder, revision, options } = pull;
  const commit = isCommit(revision) ? revision : await store.commitOf(folder, revision);
  if (commit === undefined) return undefined;
  const listed = await store.listSnapshot(folder, commit);
  const readIndex = (path: string) => store.readSnapshotFile(folder, commit, path);
  try {
    const files = await selectFiles(client.id, listed, options.files, readIndex);
    return files.length > 0 ? { commit, files } : undefined;
  } catch (error) {
    if (error instanceof HubError) return undefined;
    throw error;
  }
}

function notCached({ client, store, revision }: Pull): HubError {
  return new HubError(
    `hub ${client.id}: revision "${revision}" must lie whole in ${store.location} when only local files may be used; ` +
      "it does not; pull it once with the network on and localFilesOnly and HF_HUB_OFFLINE off",
    { id: client.id, revision, location: store.location },
  );
}

async function planFiles(pull: Pull, listing: HubListing): Promise<HubFile[]> {
  const describe = async (path: string): Promise<HubFile> => ({
    path,
    blob: listing.files.get(path) ?? (await describeFile(pull.client, listing.commit, path)),
  });
  const readIndex = async (path: string) => readIndexFile(pull, listing.commit, await describe(path));
  const selected = await selectFiles(pull.client.id, [...listing.files.keys()], pull.options.files, readIndex);
  const files: HubFile[] = [];
  for (const path of selected) files.push(await describe(path));
  return files;
}

async function readIndexFile(pull: Pull, commit: string, file: HubFile): Promise<Uint8Array> {
  const { client, store, folder } = pull;
  if (file.blob.byteLength > LARGEST_INDEX_BYTES) {
    throw new HubError(
      `hub ${client.id}: ${file.path} must be at most ${LARGEST_INDEX_BYTES} bytes; it has ${file.blob.byteLength}; ` +
        "do not trust this model",
      { id: client.id, path: file.path },
    );
  }
  if (!(await store.hasBlob(folder, file.blob))) {
    await downloadFile({ client, store, folder, commit, file, onBytes: () => {} });
  }
  return store.readBlob(folder, file.blob);
}

async function fetchAll(pull: Pull, commit: string, files: readonly HubFile[]): Promise<void> {
  const { client, store, folder } = pull;
  const reporter = new HubProgressReporter(files, pull.options.progress);
  for (const file of files) {
    throwIfAborted(client.signal, `hub ${client.id}`);
    if (!(await store.hasBlob(folder, file.blob))) {
      const onBytes = (byteLength: number) => reporter.onBytes(file, byteLength);
      await downloadFile({ client, store, folder, commit, file, onBytes });
    }
    reporter.onDone(file);
  }
}
