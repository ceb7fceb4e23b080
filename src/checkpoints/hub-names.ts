import { HubError } from "../tensor/errors.ts";

const COMMIT = /^[0-9a-f]{40}$/;
const ID_PART = /^[A-Za-z0-9_](?:[A-Za-z0-9._-]*[A-Za-z0-9_])?$/;
const REVISION_PART = /^[A-Za-z0-9_+@][A-Za-z0-9._+@-]*$/;
const LONGEST_ID = 96;
const LONGEST_REVISION = 200;
const LONGEST_PATH = 1024;

/** Tells whether `revision` is a whole commit hash, which never moves. */
export function isCommit(revision: string): boolean {
  return COMMIT.test(revision);
}

/**
 * Checks a model's name, `ORGANISATION/NAME` or a bare `NAME`.
 *
 * The rules are the hub's own: letters, digits, `_`, `-`, `.`; neither `--` (the cache joins parts with it) nor `..`.
 *
 * @throws HubError if the name cannot be one
 */
export function checkModelId(id: string): void {
  const parts = typeof id === "string" ? id.split("/") : [];
  const fits = parts.length >= 1 && parts.length <= 2 && id.length <= LONGEST_ID && parts.every(isIdPart);
  if (fits) return;
  throw new HubError(
    `hub: a model id must read ORGANISATION/NAME in letters, digits, "_", "-" and "."; ` +
      `got ${JSON.stringify(id)}; copy the name from the model's page`,
    { id },
  );
}

function isIdPart(part: string): boolean {
  return ID_PART.test(part) && !part.includes("--") && !part.includes("..") && !part.endsWith(".git");
}

/**
 * Checks a revision: a branch, a tag, `refs/pr/1` or a commit hash. It becomes a file name under `refs/`.
 *
 * @throws HubError if git could not have such a name
 */
export function checkRevision(revision: string): void {
  const parts = typeof revision === "string" ? revision.split("/") : [];
  const fits = parts.length >= 1 && revision.length <= LONGEST_REVISION && parts.every(isRevisionPart);
  if (fits) return;
  throw new HubError(
    `hub: a revision must be a branch, a tag or a commit; got ${JSON.stringify(revision)}; "main" is the usual one`,
    { revision },
  );
}

function isRevisionPart(part: string): boolean {
  return REVISION_PART.test(part) && !part.includes("..");
}

/** Tells whether a file name stays below the folder it is joined to, on every operating system. */
export function isSafePath(path: unknown): path is string {
  if (typeof path !== "string" || path.length === 0 || path.length > LONGEST_PATH) return false;
  // A colon would name a drive or an alternate stream on Windows; control characters have no honest use.
  // biome-ignore lint/suspicious/noControlCharactersInRegex: these are the characters to refuse
  if (/[\\:\u0000-\u001f\u007f]/.test(path)) return false;
  return path.split("/").every((part) => part !== "" && part !== "." && part !== "..");
}

/** Checks a file name that the hub or an index gave. @throws HubError if it could leave the cache folder */
export function checkFilePath(path: unknown, where: string): asserts path is string {
  if (isSafePath(path)) return;
  const shown = JSON.stringify(path)?.slice(0, 200);
  throw new HubError(
    `${where}: file names must be relative paths without ".."; got ${shown}; do not trust this model`,
    { path },
  );
}

/** The model's folder in the cache: `models--ORGANISATION--NAME`. */
export function modelFolder(id: string): string {
  return `models--${id.replaceAll("/", "--")}`;
}

/** A file name or revision as it stands in an address: every part escaped, slashes kept. */
export function escapePath(path: string): string {
  return path.split("/").map(encodeURIComponent).join("/");
}
