/** Folder with the executable `chromium` and its libraries; null where it cannot run. */
export function unpackBrowser(): Promise<string | null>;
