/**
 * `mamba.ts/tensor`: tensors, devices, scopes, errors, random numbers.
 *
 * @module
 */
export { type DeviceOptions, openDevice, type WasmOptions } from "../ops/devices.ts";
export * from "../tensor/index.ts";
