import { type ByteSource, checkFileName, checkRange, type FileSet, fileError } from "./files.ts";

/** How to ask a web server. */
export interface UrlOptions {
  /** Stands in for the global `fetch`. */
  fetch?: (url: string, init: RequestInit) => Promise<Response>;
  headers?: Readonly<Record<string, string>>;
  signal?: AbortSignal;
}

/**
 * Opens a web resource for reading by HTTP range requests.
 *
 * A server that ignores ranges sends everything at once; the bytes are then kept in memory.
 *
 * @throws MambaError with code `FILE` and the fact `status` if the server refuses
 */
export async function openUrlSource(url: string | URL, options: UrlOptions = {}): Promise<ByteSource> {
  const address = String(url);
  const probe = await request(address, 0, 1, options);
  if (probe.status === 200) return wholeSource(address, await readBody(address, probe));
  const total = totalLength(address, probe);
  const version = probe.headers.get("etag");
  await probe.body?.cancel();
  return {
    name: address,
    byteLength: total,
    async read(start, end) {
      checkRange(address, total, start, end);
      if (start === end) return new Uint8Array(0);
      const response = await request(address, start, end, options);
      if (response.status !== 206 || response.headers.get("etag") !== version) {
        throw fileError(address, "must not change while it is read; it did; start again", { status: response.status });
      }
      return readBody(address, response, end - start);
    },
    async close() {},
  };
}

/**
 * The files below a web address. They cannot be listed; `has` asks the server.
 *
 * @param base - address of the folder, with or without a slash at its end
 */
export function openUrlFolder(base: string | URL, options: UrlOptions = {}): FileSet {
  const folder = String(base).replace(/\/*$/, "/");
  const address = (file: string): string => {
    checkFileName(file);
    return folder + file.split("/").map(encodeURIComponent).join("/");
  };
  return {
    name: folder,
    list: async () => [],
    async has(file) {
      const response = await send(address(file), { method: "HEAD", ...init(options) }, options);
      if (response.ok) return true;
      if (response.status === 404 || response.status === 410) return false;
      throw refused(address(file), response);
    },
    open: (file) => openUrlSource(address(file), options),
  };
}

function init(options: UrlOptions): RequestInit {
  return { headers: { ...options.headers }, ...(options.signal && { signal: options.signal }) };
}

async function request(url: string, start: number, end: number, options: UrlOptions): Promise<Response> {
  const range = { Range: `bytes=${start}-${end - 1}`, ...options.headers };
  const response = await send(url, { ...init(options), headers: range }, options);
  if (response.ok || response.status === 416) return response;
  await response.body?.cancel();
  throw refused(url, response);
}

async function send(url: string, init: RequestInit, options: UrlOptions): Promise<Response> {
  try {
    return await (options.fetch ?? fetch)(url, init);
  } catch (cause) {
    if (options.signal?.aborted) throw cause;
    throw fileError(url, "the server must answer; it did not; check the address and the network", {}, cause);
  }
}

function refused(url: string, response: Response): Error {
  const { status, statusText } = response;
  return fileError(url, `the server must send it; it answered ${status} ${statusText}; check the address`, { status });
}

function totalLength(url: string, response: Response): number {
  const total = /^bytes (?:\*|\d+-\d+)\/(\d+)$/.exec(response.headers.get("content-range") ?? "")?.[1];
  if (total !== undefined) return Number(total);
  throw fileError(
    url,
    "a range answer must carry a readable Content-Range; it has none; let the server expose that header",
    { status: response.status },
  );
}

/** Collects a body, refusing more bytes than were asked for before they pile up. */
async function readBody(url: string, response: Response, expected?: number): Promise<Uint8Array<ArrayBuffer>> {
  const parts: Uint8Array[] = [];
  let received = 0;
  const reader = response.body?.getReader();
  for (let part = await reader?.read(); part && !part.done; part = await reader!.read()) {
    parts.push(part.value);
    received += part.value.length;
    if (expected !== undefined && received > expected) {
      await reader!.cancel();
      break;
    }
  }
  if (expected !== undefined && received !== expected) {
    throw fileError(url, `the answer must be ${expected} bytes long; got ${received}; try again`, {
      expected,
      received,
    });
  }
  const out = new Uint8Array(received);
  let at = 0;
  for (const part of parts) {
    out.set(part, at);
    at += part.length;
  }
  return out;
}

function wholeSource(name: string, bytes: Uint8Array<ArrayBuffer>): ByteSource {
  return {
    name,
    byteLength: bytes.length,
    async read(start, end) {
      checkRange(name, bytes.length, start, end);
      return bytes.slice(start, end);
    },
    async close() {},
  };
}
