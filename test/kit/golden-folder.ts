/** The folder of test/fixtures that holds the golden of a model: weights that were saved in two dialects have one. */
export function goldenFolder(model: string): string {
  return model === "original-mamba-bin-f32" ? "hf-mamba-tied" : model;
}
