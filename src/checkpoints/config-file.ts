import type { MambaConfig } from "../models/config.ts";
import { ConfigError } from "../tensor/errors.ts";
import { ConfigFields } from "./config-fields.ts";
import { huggingFaceConfig, readHuggingFaceConfig } from "./config-huggingface.ts";
import { readOriginalConfig } from "./config-original.ts";

/**
 * Reads a Mamba-1 model's `config.json` in either dialect: Hugging Face's, told by `model_type` (`mamba` or
 * `falcon_mamba`), or that of state-spaces/mamba, told by `d_model`, `n_layer` or `ssm_cfg` without it.
 *
 * Unknown keys are ignored, as newer programs write more of them; keys that are not there have the default of the dialect.
 *
 * @param json - the parsed file
 * @throws ConfigError naming the key whose value cannot be, contradicts another key, or asks for what is not supported
 */
export function readMambaConfig(json: unknown): MambaConfig {
  const fields = new ConfigFields(json);
  if (fields.has("model_type")) return readHuggingFaceConfig(fields);
  if (["d_model", "n_layer", "ssm_cfg"].some((key) => fields.has(key))) return readOriginalConfig(fields);
  throw new ConfigError(
    "config.json: must be that of a Mamba model, with model_type (Hugging Face) or d_model and n_layer " +
      "(state-spaces/mamba); it has none of these; check the file",
    { key: "model_type" },
  );
}

/**
 * A configuration as the content of a `config.json` in Hugging Face's dialect. {@link readMambaConfig} gives the same
 * configuration back.
 */
export function writeMambaConfig(config: MambaConfig): Record<string, unknown> {
  return huggingFaceConfig(config);
}
