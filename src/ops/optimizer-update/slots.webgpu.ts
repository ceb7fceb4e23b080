import {
  type Bound,
  denseParts,
  type GpuBinding,
  type Program,
  type WebgpuKernelContext,
} from "../../backends/webgpu/index.ts";
import type { Tensor } from "../../tensor/tensor.ts";

/** Threads of a workgroup of programs that work on many tensors. */
export const SLOT_WORKGROUP = 256;

/** Dense tensors of one size that an update works on together, by role: a parameter and its gradient, say. */
export type SlotTensors = Readonly<Record<string, Tensor>>;

/** Roles of a program's tensors, and which of them it changes. */
export interface Roles {
  readonly written: readonly string[];
  readonly read: readonly string[];
}

/** What a dispatch takes: as many tensors as it can bind, each with the workgroups that share its elements. */
export interface SlotDispatch {
  readonly slots: readonly SlotTensors[];
  /** Indices of the slots among all that were given. */
  readonly indices: readonly number[];
  /** Elements are taken four at a time. */
  readonly isWide: boolean;
  readonly bound: Bound[];
  /** Values of {@link slotParams}. */
  readonly values: Record<string, number>;
  readonly groups: number;
}

/**
 * Shares tensors out over dispatches, as many to one as may be bound: an update of a model with hundreds of small parameters is a few
 * dispatches. Tensors whose elements come in whole groups of four go together.
 *
 * @param others - further bindings of the program
 * @param perGroup - groups of four, or elements where they do not come in such, that a workgroup takes
 */
export function slotDispatches(
  context: WebgpuKernelContext,
  { written, read }: Roles,
  all: readonly SlotTensors[],
  others: number,
  perGroup: number,
): SlotDispatch[] {
  const roles = [...written, ...read];
  const most = Math.max(1, Math.floor((context.limits.maxStorageBuffersPerShaderStage - others) / roles.length));
  const byWidth = { wide: [] as number[], narrow: [] as number[] };
  const pieces = all.flatMap((slot, index) => piecesOf(context, roles, slot).map((piece) => ({ slot: piece, index })));
  pieces.forEach(({ slot }, i) => {
    if (slot[roles[0]!]!.size === 0) return;
    const isWide = roles.every((role) => slot[role]!.size % 4 === 0 && slot[role]!.offset % 4 === 0);
    byWidth[isWide ? "wide" : "narrow"].push(i);
  });
  const dispatches: SlotDispatch[] = [];
  for (const [width, indices] of Object.entries(byWidth)) {
    for (let first = 0; first < indices.length; first += most) {
      const own = indices.slice(first, first + most).map((i) => pieces[i]!);
      dispatches.push(dispatchOf(roles, own, width === "wide", perGroup));
    }
  }
  return dispatches;
}

/** The tensors of a slot, in parts where they are larger than a binding may be. */
function piecesOf(context: WebgpuKernelContext, roles: readonly string[], slot: SlotTensors): readonly SlotTensors[] {
  if (!context.hasLarge) return [slot];
  const parts = denseParts(
    context,
    roles.map((role) => slot[role]!),
  );
  return parts.map((part) => Object.fromEntries(roles.map((role, k) => [role, part[k]!])));
}

function dispatchOf(
  roles: readonly string[],
  pieces: readonly { readonly slot: SlotTensors; readonly index: number }[],
  isWide: boolean,
  perGroup: number,
): SlotDispatch {
  const unit = isWide ? 4 : 1;
  const slots = pieces.map(({ slot }) => slot);
  const indices = pieces.map(({ index }) => index);
  const values: Record<string, number> = {};
  let groups = 0;
  slots.forEach((slot, k) => {
    const { size } = slot[roles[0]!]!;
    for (const role of roles) values[`${role}At${k}`] = slot[role]!.offset / unit;
    values[`count${k}`] = size / unit;
    values[`first${k}`] = groups;
    groups += Math.ceil(size / unit / perGroup);
    values[`end${k}`] = groups;
  });
  const bound = slots.flatMap((slot) => roles.map((role) => slot[role]!));
  return { slots, indices, isWide, bound, values, groups };
}

/** Bindings of the slots' tensors, in the order of {@link SlotDispatch.bound}. */
export function slotBindings({ written, read }: Roles, slots: number, isWide: boolean): GpuBinding[] {
  const type = isWide ? "vec4<f32>" : "f32";
  return numbers(slots).flatMap((k) => [
    ...written.map((role) => ({ name: `${role}${k}`, type, write: true }) as const),
    ...read.map((role) => ({ name: `${role}${k}`, type }) as const),
  ]);
}

/** Where each slot's elements and workgroups lie. */
export function slotParams({ written, read }: Roles, slots: number): Program["params"] {
  return numbers(slots).flatMap((k) => [
    ...(["count", "first", "end"] as const).map((name) => `${name}${k}:u32` as const),
    ...[...written, ...read].map((role) => `${role}At${k}:u32` as const),
  ]);
}

/**
 * WGSL that runs a slot's code in its workgroups.
 *
 * @param code - statements for slot `k`, which see `own`, the number of the workgroup within the slot
 */
export function eachSlot(slots: number, code: (k: number) => string): string {
  return numbers(slots)
    .map((k) => `if (group < p.end${k}) { let own = group - p.first${k}; ${code(k)} }`)
    .join("\n  else ");
}

/** Slots from 0. */
export function numbers(count: number): number[] {
  return Array.from({ length: count }, (_, k) => k);
}
