/** In place of `test/kit/software-gpu.ts`: Chromium has SwiftShader, and its flags choose it. */
export async function useSoftwareGpu(): Promise<void> {}
