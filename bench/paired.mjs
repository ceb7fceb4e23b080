// Alternating measurements of long-lived programs, and statistics on their ratios: those of `mamba bench`.
export { machine, startProgram } from "../dist/cli/bench/program.js";
export { comparePairs, median, medianInterval } from "../dist/cli/bench/statistics.js";
