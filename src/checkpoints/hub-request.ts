import { pause } from "#platform";
import { AbortError } from "../tensor/errors.ts";
import {
  connectionError,
  type HubSubject,
  isRetryable,
  protocolError,
  retryAfterMs,
  stallError,
  statusError,
} from "./hub-errors.ts";

// Own code instead of @huggingface/hub: that package neither resumes a broken download, nor detects a stall, nor checks
// hashes, nor retries, and those are most of what is here; the hub's protocol itself is two addresses and four headers.

/** How to talk to a hub. */
export interface HubClient {
  readonly id: string;
  /** address without a trailing slash */
  readonly endpoint: string;
  readonly token?: string;
  readonly redirects: "manual" | "follow";
  readonly stallTimeoutMs: number;
  readonly retries: number;
  readonly retryDelayMs: number;
  readonly signal?: AbortSignal;
}

/** One request to a hub. */
export interface HubRequest {
  readonly method: "GET" | "HEAD";
  readonly url: string;
  /** what is asked for, for messages */
  readonly what: string;
  /** first byte wanted; the answer may still start at 0 */
  readonly from?: number;
  /** Stop at a redirect that leaves the hub and answer with the redirect itself; its headers describe the file. */
  readonly stayOnHub?: boolean;
}

/** An answer whose body can be read with stalls detected. */
export interface HubResponse {
  readonly status: number;
  readonly headers: Headers;
  readonly body: AsyncIterable<Uint8Array>;
}

const MOST_REDIRECTS = 5;
const LONGEST_WAIT_MS = 60_000;
const LONGEST_BACKOFF_MS = 8_000;
/** An attempt that brought this much was progress, and doesn't count towards `retries`. */
const PROGRESS_BYTES = 1 << 20;

/** What an error about this client's model can tell. */
export function subjectOf(client: HubClient, what: string): HubSubject {
  return { id: client.id, endpoint: client.endpoint, hasToken: client.token !== undefined, what };
}

/**
 * Sends a request, follows redirects, and hands the answer to `use`; the connection is closed afterwards.
 *
 * The token goes to the hub's own origin only. One attempt: wrap it in {@link withRetries}.
 *
 * @throws HubError for a failed connection, a stall or an answer other than success; AbortError if the signal fired
 */
export async function request<T>(
  client: HubClient,
  asked: HubRequest,
  use: (response: HubResponse) => Promise<T>,
): Promise<T> {
  const watch = new StallWatch(client, asked);
  try {
    const response = await follow(client, asked, watch);
    const body = readBody(response, watch);
    return await use({ status: response.status, headers: response.headers, body });
  } finally {
    watch.close();
  }
}

async function follow(client: HubClient, asked: HubRequest, watch: StallWatch): Promise<Response> {
  const home = new URL(client.endpoint).origin;
  let url = new URL(asked.url);
  for (let hop = 0; hop <= MOST_REDIRECTS; hop += 1) {
    watch.host = url.host;
    const headers = headersFor(client, asked, url.origin === home);
    const { method } = asked;
    const response = await watch.during(
      fetch(url, { method, headers, redirect: client.redirects, signal: watch.signal }),
    );
    if (response.status < 300 || response.status >= 400) return checkStatus(client, asked, response);
    const next = redirectTarget(client, asked, response, url);
    if (asked.stayOnHub && next.origin !== home) return response;
    await response.body?.cancel();
    url = next;
  }
  throw protocolError(subjectOf(client, asked.what), `at most ${MOST_REDIRECTS} redirects are followed`, "more");
}

function headersFor(client: HubClient, asked: HubRequest, atHome: boolean): Record<string, string> {
  const headers: Record<string, string> = {};
  // Compressed answers would have neither the declared length nor meaningful ranges.
  if (client.redirects === "manual") headers["accept-encoding"] = "identity";
  if (client.token !== undefined && atHome) headers["authorization"] = `Bearer ${client.token}`;
  if (asked.from) headers["range"] = `bytes=${asked.from}-`;
  return headers;
}

function checkStatus(client: HubClient, asked: HubRequest, response: Response): Response {
  if (response.ok) return response;
  throw statusError(subjectOf(client, asked.what), response);
}

function redirectTarget(client: HubClient, asked: HubRequest, response: Response, from: URL): URL {
  const location = response.headers.get("location");
  const target = location && URL.canParse(location, from) ? new URL(location, from) : undefined;
  if (target && (target.protocol === "https:" || target.protocol === "http:")) return target;
  throw protocolError(subjectOf(client, asked.what), "a redirect must name an http address", `${response.status}`);
}

async function* readBody(response: Response, watch: StallWatch): AsyncGenerator<Uint8Array> {
  if (!response.body) return;
  const reader = response.body.getReader();
  try {
    for (;;) {
      const { done, value } = await watch.during(reader.read());
      if (done) return;
      yield value;
    }
  } finally {
    await reader.cancel().catch(() => {});
  }
}

/** Ends one request when the caller aborts, when nothing arrives for `stallTimeoutMs`, or when it is done. */
class StallWatch {
  host = "";
  readonly #client: HubClient;
  readonly #asked: HubRequest;
  readonly #controller = new AbortController();
  readonly #onAbort = () => this.#controller.abort();
  #stalled = false;

  constructor(client: HubClient, asked: HubRequest) {
    this.#client = client;
    this.#asked = asked;
    if (client.signal?.aborted) this.#controller.abort();
    client.signal?.addEventListener("abort", this.#onAbort, { once: true });
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  /** Waits for the network. Time spent elsewhere, say on writing to a slow disk, is no stall. */
  async during<T>(network: Promise<T>): Promise<T> {
    const timer = setTimeout(() => {
      this.#stalled = true;
      this.#controller.abort();
    }, this.#client.stallTimeoutMs);
    try {
      return await network;
    } catch (error) {
      throw this.#explain(error);
    } finally {
      clearTimeout(timer);
    }
  }

  close(): void {
    this.#client.signal?.removeEventListener("abort", this.#onAbort);
    // Drops the connection if the body was not read to its end; harmless otherwise.
    this.#controller.abort();
  }

  #explain(error: unknown): Error {
    const subject = subjectOf(this.#client, this.#asked.what);
    if (this.#client.signal?.aborted) return abortError(this.#client);
    if (this.#stalled) return stallError(subject, this.host, this.#client.stallTimeoutMs);
    return connectionError(subject, this.host, error);
  }
}

function abortError(client: HubClient): AbortError {
  const cause = client.signal?.reason;
  return new AbortError(
    `hub ${client.id}: aborted by the caller; what has arrived is kept`,
    { id: client.id },
    { cause },
  );
}

/**
 * Runs `attempt` until it succeeds, fails for good, or has failed `retries` times more than the first without progress.
 *
 * Waits `retryDelayMs`, then twice that, and so on up to 8 s, or as long as the hub asks if that is under a minute.
 *
 * @param progress - bytes received in all; a retry is free if it grew by a mebibyte
 */
export async function withRetries<T>(
  client: HubClient,
  attempt: () => Promise<T>,
  progress: () => number = () => 0,
): Promise<T> {
  for (let failures = 0, before = progress(); ; ) {
    try {
      return await attempt();
    } catch (error) {
      failures = progress() - before >= PROGRESS_BYTES ? 1 : failures + 1;
      before = progress();
      const asked = retryAfterMs(error) ?? 0;
      if (!isRetryable(error) || failures > client.retries || asked > LONGEST_WAIT_MS) throw error;
      const backoff = Math.min(client.retryDelayMs * 2 ** (failures - 1), LONGEST_BACKOFF_MS);
      await pause(Math.max(backoff, asked), client.signal, `hub ${client.id}`);
    }
  }
}
