/** Fetches a URL. */
export function fetchResource(url: string | URL): Promise<Response> {
  return fetch(url);
}
