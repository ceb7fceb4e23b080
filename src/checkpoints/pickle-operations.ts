import type { PickleMachine } from "./pickle-machine.ts";
import { type PickleDict, PickleFunction, PickleTuple, type PickleValue } from "./pickle-values.ts";

/** What one operation of a pickle does to the machine. */
export type PickleOperation = (machine: PickleMachine) => void;

/**
 * The operations that `torch.save` uses, and the plain-value ones of protocols 2 to 5, by their code. Left out on
 * purpose: everything that makes objects of classes (INST, OBJ, NEWOBJ, EXT), sets, and the text forms of protocol 0.
 */
export const operations: ReadonlyMap<number, PickleOperation> = new Map<number, PickleOperation>([
  // framing
  [0x80, protocol],
  [0x95, (m) => void m.number(8, () => 0)],
  // constants
  [0x4e, (m) => m.push(null)],
  [0x88, (m) => m.push(true)],
  [0x89, (m) => m.push(false)],
  // numbers
  [0x4b, (m) => m.push(m.byte())],
  [0x4d, (m) => m.push(m.uint16())],
  [0x4a, (m) => m.push(m.number(4, (view, at) => view.getInt32(at, true)))],
  [0x8a, (m) => m.push(integer(m, m.byte()))],
  [0x47, (m) => m.push(m.number(8, (view, at) => view.getFloat64(at)))],
  // text and bytes
  [0x8c, (m) => m.push(m.text(m.byte()))],
  [0x58, (m) => m.push(m.text(m.uint32()))],
  [0x8d, (m) => m.push(m.text(m.uint64()))],
  [0x55, (m) => m.push(m.text(m.byte()))],
  [0x54, (m) => m.push(m.text(m.uint32()))],
  [0x43, (m) => m.push(m.take(m.byte()))],
  [0x42, (m) => m.push(m.take(m.uint32()))],
  [0x8e, (m) => m.push(m.take(m.uint64()))],
  // tuples
  [0x29, (m) => m.push(new PickleTuple([]))],
  [0x85, (m) => m.push(new PickleTuple(m.popMany(1)))],
  [0x86, (m) => m.push(new PickleTuple(m.popMany(2)))],
  [0x87, (m) => m.push(new PickleTuple(m.popMany(3)))],
  [0x74, (m) => m.push(new PickleTuple(m.popToMark()))],
  // lists
  [0x5d, (m) => m.push([])],
  [0x6c, (m) => m.push(m.popToMark())],
  [0x61, (m) => append(m, m.popMany(1))],
  [0x65, (m) => append(m, m.popToMark())],
  // dicts
  [0x7d, (m) => m.push(new Map())],
  [0x64, (m) => m.push(setItems(m, new Map(), m.popToMark()))],
  [0x73, (m) => update(m, m.popMany(2))],
  [0x75, (m) => update(m, m.popToMark())],
  // stack and memo
  [0x28, (m) => m.mark()],
  [0x30, (m) => void m.pop()],
  [0x31, (m) => void m.popToMark()],
  [0x32, (m) => m.push(m.peek())],
  [0x71, (m) => m.remember(m.byte())],
  [0x72, (m) => m.remember(m.uint32())],
  [0x94, (m) => m.remember()],
  [0x68, (m) => m.recall(m.byte())],
  [0x6a, (m) => m.recall(m.uint32())],
  // imported names, calls, and what lies outside the pickle
  [0x63, (m) => m.import(m.line(), m.line())],
  [0x93, stackGlobal],
  [0x52, reduce],
  [0x62, build],
  [0x51, (m) => m.push(m.rules.persistent(m.pop()))],
]);

function protocol(machine: PickleMachine): void {
  const version = machine.byte();
  if (version < 2 || version > 5) throw machine.fail(`its protocol must be 2 to 5; got ${version}`);
}

/** An integer of `length` bytes, two's complement; a bigint only where a number would round it. */
function integer(machine: PickleMachine, length: number): number | bigint {
  if (length > 8) throw machine.fail(`integers must have at most 8 bytes; got ${length}`);
  let value = 0n;
  const bytes = machine.take(length);
  for (let i = length - 1; i >= 0; i--) value = (value << 8n) | BigInt(bytes[i]!);
  value = BigInt.asIntN(8 * length, value);
  return Number.isSafeInteger(Number(value)) ? Number(value) : value;
}

function append(machine: PickleMachine, values: readonly PickleValue[]): void {
  const list = machine.peek();
  if (!Array.isArray(list)) throw machine.fail("only a list can be appended to");
  for (const value of values) list.push(value);
}

function update(machine: PickleMachine, items: readonly PickleValue[]): void {
  const dict = machine.peek();
  if (!(dict instanceof Map)) throw machine.fail("only a dict has items");
  setItems(machine, dict, items);
}

function setItems(machine: PickleMachine, dict: PickleDict, items: readonly PickleValue[]): PickleDict {
  if (items.length % 2) throw machine.fail("a dict must have a value for each key");
  for (let i = 0; i < items.length; i += 2) {
    const key = items[i]!;
    if (Array.isArray(key) || key instanceof Map) throw machine.fail("a dict's key cannot be a list or dict");
    dict.set(key, items[i + 1]!);
  }
  return dict;
}

function stackGlobal(machine: PickleMachine): void {
  const [module, name] = machine.popMany(2);
  if (typeof module !== "string" || typeof name !== "string") throw machine.fail("an imported name must be text");
  machine.import(module, name);
}

function reduce(machine: PickleMachine): void {
  const [callee, args] = machine.popMany(2);
  if (!(callee instanceof PickleFunction) || !(args instanceof PickleTuple)) {
    throw machine.fail("only the functions a weights file needs can be called, with a tuple of arguments");
  }
  machine.push(callee.call(args.items));
}

/** A state dict carries version numbers as attributes; they say nothing about the tensors and are dropped. */
function build(machine: PickleMachine): void {
  machine.pop();
  if (!(machine.peek() instanceof Map)) throw machine.fail("only a dict may carry attributes");
}
