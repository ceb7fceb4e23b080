import { fileURLToPath } from "node:url";
import { pathKind } from "./files.ts";

/** The folder that holds `package.json`; this file lies three folders below it, as source and as built. */
const packageRoot = new URL("../../../", import.meta.url);

const shippedName = /^\w[\w.-]*$/;

/**
 * Where a model lies on this machine: the path itself if there is a folder or file, else the folder of a model that is
 * shipped as `models/NAME` beside the package.
 *
 * @param source - a path or the name of a shipped model
 * @returns undefined if it is neither
 */
export async function findModelPath(source: string): Promise<string | undefined> {
  if (await pathKind(source)) return source;
  if (!shippedName.test(source)) return undefined;
  const shipped = fileURLToPath(new URL(`models/${source}`, packageRoot));
  return (await pathKind(shipped)) === "folder" ? shipped : undefined;
}
