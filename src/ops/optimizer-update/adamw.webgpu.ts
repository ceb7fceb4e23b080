import { type Program, programNamed, type WebgpuKernel } from "../../backends/webgpu/index.ts";
import { type AdamwParams, adamwSlots } from "./operations.ts";
import {
  eachSlot,
  numbers,
  type Roles,
  SLOT_WORKGROUP,
  slotBindings,
  slotDispatches,
  slotParams,
} from "./slots.webgpu.ts";

const roles: Roles = { written: ["parameter", "mean", "square"], read: ["gradient"] };
const shared = ["beta1:f32", "rest1:f32", "beta2:f32", "rest2:f32", "correction:f32", "epsilon:f32"] as const;

/** `given` tells which of the numbers on the device there are. */
function adamwProgram(slots: number, isWide: boolean, given: readonly string[]): Program {
  const key = [slots, isWide ? "by four" : "", ...given].filter(Boolean).join(" ");
  return programNamed(`adamwUpdate ${key}`, () => ({
    bindings: [
      ...slotBindings(roles, slots, isWide),
      ...given.map((name) => ({ name, type: name === "skip" ? "i32" : "f32" }) as const),
    ],
    params: [
      ...shared,
      ...given.map((name) => `${name}At:u32` as const),
      ...slotParams(roles, slots),
      ...numbers(slots).flatMap((k) => [`kept${k}:f32`, `rate${k}:f32`] as const),
    ],
    workgroup: SLOT_WORKGROUP,
    declarations: `alias T = ${isWide ? "vec4<f32>" : "f32"};`,
    body: `
  ${given.includes("skip") ? "if (skip[p.skipAt] != 0) { return; }" : ""}
  let factor = ${given.includes("scale") ? "scale[p.scaleAt]" : "1.0"};
  ${eachSlot(slots, updateCode)}`,
  }));
}

const updateCode = (k: number): string => {
  const at = (role: string): string => `${role}${k}[p.${role}At${k} + i]`;
  return `
    let i = own * ${SLOT_WORKGROUP}u + lane;
    if (i >= p.count${k}) { return; }
    let g = ${at("gradient")} * factor;
    let m = fma(T(p.rest1), g, p.beta1 * ${at("mean")});
    let v = fma(p.rest2 * g, g, p.beta2 * ${at("square")});
    ${at("mean")} = m;
    ${at("square")} = v;
    ${at("parameter")} = ${at("parameter")} * p.kept${k} - p.rate${k} * m / fma(sqrt(v), T(p.correction), T(p.epsilon));
  `;
};

/** One step of AdamW on all parameters, several of them to a dispatch. */
export const adamwUpdate: WebgpuKernel = (context, { inputs, params }) => {
  const { beta1, beta2, epsilon, step, learningRates, weightDecays } = params as AdamwParams;
  const given = ["scale", "skip"].filter((name) => inputs[name] !== undefined);
  const numbersOnDevice = given.map((name) => inputs[name]!);
  const common = {
    ...{ beta1, rest1: 1 - beta1, beta2, rest2: 1 - beta2, epsilon, correction: 1 / Math.sqrt(1 - beta2 ** step) },
    ...Object.fromEntries(given.map((name, i) => [`${name}At`, numbersOnDevice[i]!.offset])),
  };
  for (const dispatch of slotDispatches(context, roles, adamwSlots(inputs), given.length, SLOT_WORKGROUP)) {
    const { slots, indices, isWide, bound, values, groups } = dispatch;
    const rates = Object.fromEntries(
      indices.flatMap((index, k) => [
        [`kept${k}`, 1 - learningRates[index]! * weightDecays[index]!],
        [`rate${k}`, learningRates[index]! / (1 - beta1 ** step)],
      ]),
    );
    const program = adamwProgram(slots.length, isWide, given);
    context.dispatch(program, [...bound, ...numbersOnDevice], { ...common, ...values, ...rates }, groups);
  }
};
