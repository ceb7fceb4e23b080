/**
 * What ties model, checkpoint, tokenizer and generation together.
 *
 * @module
 */
export { CausalLM, type CausalLMParts, type HostLogits, type Prompt } from "./causal-lm.ts";
export { Classifier, largestClasses, type Sequences } from "./classifier.ts";
export { isClassifierConfig, loadClassifier, saveClassifier } from "./classifier-file.ts";
export { type LoadMambaOptions, type LoadProgress, loadMamba } from "./load-mamba.ts";
export { findModelFiles, openTokenizer, type PretrainedOptions, type PretrainedSource } from "./open-pretrained.ts";
export { type ParameterToSave, type SaveMambaOptions, saveMamba } from "./save-mamba.ts";
export { isTransformerConfig, loadTransformer, saveTransformer } from "./transformer-file.ts";
export { type Verification, type VerifiedQuantity, verifyLanguageModel, verifyLimits } from "./verify.ts";
export { classifyAll, verifyClassifier } from "./verify-classifier.ts";
