import { HubError } from "../tensor/errors.ts";

/** What an error about a model on a hub can tell. */
export interface HubSubject {
  readonly id: string;
  readonly endpoint: string;
  /** `the list of files` or `file "config.json"` */
  readonly what: string;
  readonly hasToken: boolean;
}

/** Tells whether trying again may help: the network, a stall, the hub's own trouble. */
export function isRetryable(error: unknown): error is HubError {
  return error instanceof HubError && error.facts["retryable"] === true;
}

/** How long the hub asked us to wait, if it did. */
export function retryAfterMs(error: unknown): number | undefined {
  const value = error instanceof HubError ? error.facts["retryAfterMs"] : undefined;
  return typeof value === "number" ? value : undefined;
}

/** The error for an answer other than success. */
export function statusError(subject: HubSubject, response: Response): HubError {
  const { status } = response;
  const reason = response.headers.get("x-error-code") ?? undefined;
  const waitMs = parseRetryAfter(response.headers.get("retry-after"));
  const answer = `${subject.endpoint} answered ${status}${reason ? ` ${reason.slice(0, 60)}` : ""}`;
  const message = `hub ${subject.id}: ${subject.what} must be readable; ${answer}; ${advice(subject, status, waitMs)}`;
  return new HubError(message, {
    id: subject.id,
    status,
    reason,
    retryable: status === 429 || status === 408 || status >= 500,
    retryAfterMs: waitMs,
  });
}

function advice(subject: HubSubject, status: number, waitMs: number | undefined): string {
  const page = `${subject.endpoint}/${subject.id}`;
  if (status === 401 && subject.hasToken) {
    return `check the name, and that HF_TOKEN is still valid and may read ${page}`;
  }
  if (status === 401) {
    return `check the name; if the model is private or gated, accept its licence at ${page} and set HF_TOKEN`;
  }
  if (status === 403) {
    const token = subject.hasToken ? "with the account of your HF_TOKEN" : "and set HF_TOKEN";
    return `the model is gated: accept its licence at ${page} ${token}`;
  }
  if (status === 404) return `check the name and the revision at ${page}`;
  if (status === 429) {
    const wait = waitMs === undefined ? "later" : `in ${Math.ceil(waitMs / 1000)} s`;
    return `too many requests: try again ${wait}${subject.hasToken ? "" : ", or set HF_TOKEN for a higher limit"}`;
  }
  if (status >= 500) return "the hub is in trouble: try again later, what has arrived is kept";
  return "check the endpoint and the name";
}

/** Reads a Retry-After header: seconds, or a date. */
export function parseRetryAfter(header: string | null, now: number = Date.now()): number | undefined {
  if (!header) return undefined;
  const seconds = Number(header);
  const waitMs = Number.isFinite(seconds) ? seconds * 1000 : Date.parse(header) - now;
  return Number.isFinite(waitMs) ? Math.max(0, waitMs) : undefined;
}

/** The error for a connection that failed or broke off. */
export function connectionError(subject: HubSubject, host: string, cause: unknown): HubError {
  const reason = causeOf(cause);
  return new HubError(
    `hub ${subject.id}: ${subject.what} must be reachable; the connection to ${host} failed (${reason}); ` +
      "check the network and HF_ENDPOINT, then try again: what has arrived is kept",
    { id: subject.id, host, reason, retryable: true },
    { cause },
  );
}

function causeOf(error: unknown): string {
  const inner = error instanceof Error && error.cause instanceof Error ? error.cause : error;
  const code = (inner as { code?: unknown } | undefined)?.code;
  return typeof code === "string" ? code : inner instanceof Error ? inner.message : String(inner);
}

/** The error for a connection over which nothing came for too long. */
export function stallError(subject: HubSubject, host: string, timeoutMs: number): HubError {
  return new HubError(
    `hub ${subject.id}: ${subject.what} must keep arriving; nothing came from ${host} for ${timeoutMs} ms; ` +
      "try again: what has arrived is kept (stallTimeoutMs sets the patience)",
    { id: subject.id, host, timeoutMs, retryable: true },
  );
}

/** The error for an answer that breaks the hub's protocol. */
export function protocolError(subject: HubSubject, must: string, got: string, facts = {}): HubError {
  return new HubError(
    `hub ${subject.id}: ${subject.what}: ${must}; got ${got}; check HF_ENDPOINT, or report it to the hub`,
    { id: subject.id, ...facts },
  );
}
