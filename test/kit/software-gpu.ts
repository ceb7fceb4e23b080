import { existsSync } from "node:fs";
import { join } from "node:path";
import { unpackBrowser } from "../../scripts/browser.mjs";

/** RTLD_NOW, RTLD_GLOBAL and RTLD_NODELETE. */
const KEEP_LOADED = 0x2 | 0x100 | 0x1000;

/**
 * Puts SwiftShader, Vulkan on the CPU, where Dawn finds it; call it before a WebGPU device is opened. A driver that is chosen by
 * VK_DRIVER_FILES stays, and with MAMBA_TEST_GPU=system whatever the system has is used.
 */
export async function useSoftwareGpu(): Promise<void> {
  if (process.env["VK_DRIVER_FILES"] || process.env["MAMBA_TEST_GPU"] === "system") return;
  const folder = await unpackBrowser();
  if (!folder) return;
  const driver = join(folder, "vk_swiftshader_icd.json");
  if (!existsSync(driver)) return;
  process.env["VK_ICD_FILENAMES"] = driver;
  process.env["VK_DRIVER_FILES"] = driver;
  // for processes that are started from here
  process.env["LD_LIBRARY_PATH"] = [folder, process.env["LD_LIBRARY_PATH"]].filter(Boolean).join(":");
  try {
    // no addon, so this throws; but the library stays loaded, and Dawn finds it by its name
    process.dlopen({ exports: {} }, join(folder, "libvulkan.so.1"), KEEP_LOADED);
  } catch {}
}
