// What the official kernels took on one H100 80GB: mamba_ssm 2.3.2 under PyTorch 2.11 and CUDA 13, November 2026, medians.

/** Milliseconds of a selective scan with 16 states, D, z, bias and softplus, by batch, length and channels. */
export const officialScan = {
  "8,2048,2048": { forward: 1.229, both: 4.394, forwardHalf: 0.648, bothHalf: 3.332 },
  "1,2048,1536": { forward: 0.171, both: 0.588, forwardHalf: 0.086, bothHalf: 0.484 },
  "1,65536,1536": { forward: 4.068, both: 13.89, forwardHalf: 2.271, bothHalf: 10.76 },
};

/** Tokens a second of mamba-130m; training at 8 x 2048 with bfloat16 autocast, its peak in bytes. */
export const officialModel = {
  training: 146_000,
  trainingFloat32: 106_000,
  trainingPeak: 19.1e9,
  prefill: 125_000,
  prefillFloat32: 69_000,
  decode: { 1: 1150, 64: 58_700 },
};
