import { createHash } from "node:crypto";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

/** What a fake hub can do wrong. */
export type Fault =
  | { kind: "status"; status: number; headers?: Record<string, string> }
  /** sends `after` bytes of the body, then nothing more */
  | { kind: "stall"; after: number }
  /** sends `after` bytes of the body, then closes the connection */
  | { kind: "cut"; after: number }
  /** answers range requests with the whole file */
  | { kind: "ignore-range" }
  /** answers range requests with the range one byte further on */
  | { kind: "wrong-range" }
  /** sends other bytes of the same length */
  | { kind: "garble" }
  /** sends this body, with an honest Content-Length, instead of the file */
  | { kind: "body"; body: string | Uint8Array };

/** A request that the fake hub answered. */
export interface SeenRequest {
  readonly server: "hub" | "cdn";
  readonly method: string;
  /** decoded path with its query */
  readonly path: string;
  readonly range: string | undefined;
  readonly authorization: string | undefined;
  /** bytes of the body handed to the connection */
  bytesSent: number;
}

/** A model on the fake hub. */
export interface FakeModel {
  readonly files: Readonly<Record<string, string | Uint8Array>>;
  /** names of files kept in LFS and served through a redirect to the content network; default: those of 1 KiB and up */
  readonly large?: readonly string[];
  /** commit of branch `main`; default: a hash of the contents */
  readonly commit?: string;
  /** the listing leaves out hashes and sizes, as some mirrors do */
  readonly bareListing?: boolean;
  /** requests need this token */
  readonly token?: string;
}

/** A model hub on 127.0.0.1 that behaves like huggingface.co, or misbehaves on request. */
export interface FakeHub {
  readonly url: string;
  readonly cdnUrl: string;
  readonly requests: SeenRequest[];
  /** Publishes a model, or a new commit of it. */
  publish(id: string, model: FakeModel): string;
  /**
   * Lets the next `times` requests (default: all) for a file fail; `listing` is the list of files.
   * A large file's fault strikes its bytes on the content network, except "status", which strikes on the hub.
   */
  fail(path: string, fault: Fault, times?: number): void;
  /** Ends all faults. */
  heal(): void;
  /** Bytes of this file's content sent so far. */
  bytesSent(path: string): number;
  stop(): Promise<void>;
}

interface StoredFile {
  readonly bytes: Uint8Array;
  readonly large: boolean;
  readonly hash: string;
}

interface StoredModel extends FakeModel {
  readonly commit: string;
  readonly stored: ReadonlyMap<string, StoredFile>;
}

interface PlannedFault {
  readonly fault: Fault;
  left: number;
}

/** Starts a fake hub, and a content network on a second port, that is another origin. */
export async function startFakeHub(): Promise<FakeHub> {
  const hub = new Hub();
  const [hubServer, cdnServer] = await Promise.all([
    listen((request, response) => hub.answerHub(request, response)),
    listen((request, response) => hub.answerCdn(request, response)),
  ]);
  hub.url = addressOf(hubServer);
  hub.cdnUrl = addressOf(cdnServer);
  hub.servers.push(hubServer, cdnServer);
  return hub;
}

class Hub implements FakeHub {
  url = "";
  cdnUrl = "";
  readonly servers: Server[] = [];
  readonly requests: SeenRequest[] = [];
  readonly #models = new Map<string, StoredModel>();
  readonly #faults = new Map<string, PlannedFault>();

  publish(id: string, model: FakeModel): string {
    const stored = new Map(Object.entries(model.files).map(([path, content]) => [path, store(model, path, content)]));
    const contents = JSON.stringify([...stored].map(([path, file]) => [path, file.hash]));
    const commit = model.commit ?? createHash("sha1").update(contents).digest("hex");
    this.#models.set(id, { ...model, commit, stored });
    return commit;
  }

  fail(path: string, fault: Fault, times = Number.POSITIVE_INFINITY): void {
    this.#faults.set(path, { fault, left: times });
  }

  heal(): void {
    this.#faults.clear();
  }

  bytesSent(path: string): number {
    const sent = this.requests.filter((request) => request.path.endsWith(`/${path}`));
    return sent.reduce((sum, request) => sum + request.bytesSent, 0);
  }

  async stop(): Promise<void> {
    for (const server of this.servers) server.closeAllConnections();
    await Promise.all(this.servers.map((server) => new Promise((done) => server.close(done))));
  }

  answerHub(request: IncomingMessage, response: ServerResponse): void {
    const seen = this.#see("hub", request);
    const [, listed = "", revision = ""] = /^\/api\/models\/(.+)\/revision\/([^?]+)/.exec(seen.path) ?? [];
    const [, owner = "", commit = "", path = ""] =
      /^\/((?:[^/]+\/)?[^/]+)\/resolve\/([0-9a-f]{40})\/(.+)$/.exec(seen.path) ?? [];
    const model = this.#models.get(listed || owner);
    const file = model?.commit === commit ? model.stored.get(path) : undefined;
    if (!model) refuse(response, 404, "RepoNotFound");
    else if (model.token !== undefined && !seen.authorization) refuse(response, 401, "GatedRepo");
    else if (model.token !== undefined && seen.authorization !== `Bearer ${model.token}`)
      refuse(response, 403, "GatedRepo");
    else if (listed) this.#sendListing(model, revision, seen, response);
    else if (file) this.#resolve(commit, path, file, seen, response);
    else refuse(response, 404, "EntryNotFound");
  }

  answerCdn(request: IncomingMessage, response: ServerResponse): void {
    const seen = this.#see("cdn", request);
    const [, hash = "", path = ""] = /^\/lfs\/([0-9a-f]{64})\/(.+)$/.exec(seen.path) ?? [];
    const stored = [...this.#models.values()].flatMap((model) => [...model.stored.values()]);
    const found = stored.find((file) => file.hash === hash);
    // As on the real one, the content network's own etag has nothing to do with the hub's.
    response.setHeader("etag", `"cdn-${hash.slice(0, 8)}"`);
    if (found) sendBytes(found.bytes, this.#take(path), seen, response);
    else refuse(response, 404, "Gone");
  }

  #sendListing(model: StoredModel, revision: string, seen: SeenRequest, response: ServerResponse): void {
    const fault = this.#take("listing");
    const siblings = [...model.stored].map(([path, file]) => describe(path, file, model.bareListing === true));
    response.setHeader("content-type", "application/json");
    if (fault?.kind === "status") refuse(response, fault.status, "Fault", fault.headers);
    else if (revision !== "main" && revision !== model.commit) refuse(response, 404, "RevisionNotFound");
    else sendBytes(new TextEncoder().encode(JSON.stringify({ sha: model.commit, siblings })), fault, seen, response);
  }

  #resolve(commit: string, path: string, file: StoredFile, seen: SeenRequest, response: ServerResponse): void {
    const planned = this.#faults.get(path)?.fault;
    response.setHeader("x-repo-commit", commit);
    if (planned?.kind === "status") {
      this.#take(path);
      refuse(response, planned.status, "Fault", planned.headers);
    } else if (file.large) {
      const location = `${this.cdnUrl}/lfs/${file.hash}/${encodeURIComponent(path)}`;
      response.setHeader("x-linked-etag", `"${file.hash}"`);
      response.setHeader("x-linked-size", file.bytes.length);
      response.writeHead(302, { location }).end(`Found. Redirecting to ${location}`);
    } else {
      response.setHeader("etag", `"${file.hash}"`);
      sendBytes(file.bytes, this.#take(path), seen, response);
    }
  }

  #see(server: "hub" | "cdn", request: IncomingMessage): SeenRequest {
    const { range, authorization } = request.headers;
    const seen = {
      server,
      method: request.method ?? "",
      path: decodeURIComponent(request.url ?? ""),
      range,
      authorization,
      bytesSent: 0,
    };
    this.requests.push(seen);
    return seen;
  }

  #take(path: string): Fault | undefined {
    const planned = this.#faults.get(path);
    if (!planned || planned.left <= 0) return undefined;
    planned.left -= 1;
    if (planned.left === 0) this.#faults.delete(path);
    return planned.fault;
  }
}

function store(model: FakeModel, path: string, content: string | Uint8Array): StoredFile {
  const bytes = typeof content === "string" ? new TextEncoder().encode(content) : content;
  const large = model.large ? model.large.includes(path) : bytes.length >= 1024;
  return { bytes, large, hash: large ? createHash("sha256").update(bytes).digest("hex") : gitHash(bytes) };
}

/** A file's entry in the list of files. */
function describe(rfilename: string, file: StoredFile, bare: boolean): object {
  if (bare) return { rfilename };
  const size = file.bytes.length;
  if (!file.large) return { rfilename, size, blobId: file.hash };
  const pointer = gitHash(new TextEncoder().encode(`oid sha256:${file.hash}\nsize ${size}\n`));
  return { rfilename, size, blobId: pointer, lfs: { sha256: file.hash, size, pointerSize: 130 } };
}

/** The name that git gives to a file's content. */
export function gitHash(bytes: Uint8Array): string {
  return createHash("sha1").update(`blob ${bytes.length}\0`).update(bytes).digest("hex");
}

function sendBytes(content: Uint8Array, fault: Fault | undefined, seen: SeenRequest, response: ServerResponse): void {
  let bytes = content;
  if (fault?.kind === "body")
    bytes = typeof fault.body === "string" ? new TextEncoder().encode(fault.body) : fault.body;
  if (fault?.kind === "garble") bytes = bytes.map((byte) => byte ^ 0x55);
  const body = startRange(bytes, fault, seen, response);
  response.setHeader("content-length", body.length);
  const early = fault?.kind === "stall" || fault?.kind === "cut";
  const part = body.subarray(0, early ? fault.after : body.length);
  if (seen.method !== "HEAD") seen.bytesSent = part.length;
  if (seen.method === "HEAD") {
    response.end();
  } else if (early) {
    response.flushHeaders();
    response.write(part, fault.kind === "cut" ? () => setImmediate(() => response.destroy()) : () => {});
  } else {
    response.end(part);
  }
}

/** Writes status and range headers, and gives the part of the file that was asked for. */
function startRange(
  bytes: Uint8Array,
  fault: Fault | undefined,
  seen: SeenRequest,
  response: ServerResponse,
): Uint8Array {
  const start = Number(/^bytes=(\d+)-$/.exec(seen.range ?? "")?.[1] ?? 0);
  if (start === 0 || fault?.kind === "ignore-range") return bytes;
  if (start >= bytes.length) {
    response.statusCode = 416;
    response.setHeader("content-range", `bytes */${bytes.length}`);
    return new Uint8Array(0);
  }
  const shift = fault?.kind === "wrong-range" ? 1 : 0;
  response.statusCode = 206;
  response.setHeader("content-range", `bytes ${start + shift}-${bytes.length - 1}/${bytes.length}`);
  return bytes.subarray(start + shift);
}

function refuse(response: ServerResponse, status: number, code: string, headers: Record<string, string> = {}): void {
  response.writeHead(status, { "x-error-code": code, "content-type": "application/json", ...headers });
  response.end(JSON.stringify({ error: code }));
}

function listen(answer: (request: IncomingMessage, response: ServerResponse) => void): Promise<Server> {
  const server = createServer(answer);
  return new Promise((done) => server.listen(0, "127.0.0.1", () => done(server)));
}

function addressOf(server: Server): string {
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}
