import { expect, it } from "vitest";
import { ggufTypes } from "./gguf-types.ts";
import { readSafetensors } from "./safetensors.ts";

const golden = new URL("../../test/fixtures/ggml-blocks/blocks.safetensors", import.meta.url).pathname;

it.each(["Q8_0", "Q4_0", "Q5_0", "Q4_K", "Q6_K"] as const)(
  "%s gives the very values that llama.cpp reads",
  async (type) => {
    const file = await readSafetensors(golden);
    const blocks = file.tensors.get(`${type.toLowerCase()}.blocks`)!;
    const bytes = (await blocks.read()) as Uint8Array<ArrayBuffer>;
    const { block, bytes: size, decode } = ggufTypes[type];
    expect(bytes.length).toBe((1024 / block) * size);
    expect(decode(bytes)).toEqual(await file.tensors.get(`${type.toLowerCase()}.values`)!.read());
    await file.close();
  },
);
