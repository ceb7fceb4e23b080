/** Reads a file whole. @throws MambaError with code `FILE` if it cannot be read */
export async function readFile(path: string): Promise<Uint8Array<ArrayBuffer>> {
  const { openFileSource } = await import("#platform");
  const source = await openFileSource(path);
  try {
    return await source.read(0, source.byteLength);
  } finally {
    await source.close();
  }
}
