import { readFile } from "node:fs/promises";

/** Fetches a URL; `file:` URLs, which `fetch` does not take here, are read. */
export async function fetchResource(url: string | URL): Promise<Response> {
  if (!String(url).startsWith("file:")) return fetch(url);
  return new Response(await readFile(new URL(url)));
}
