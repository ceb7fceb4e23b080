import { CheckpointError } from "../tensor/errors.ts";
import { PickleFunction, PickleObject, PickleTuple, type PickleValue } from "./pickle-values.ts";
import { type StoredType, storedTypes } from "./stored-types.ts";
import { checkShape, excerpt } from "./tensor-entry.ts";

/** A class of PyTorch storages; `untyped` ones are bytes whose type their tensors tell. */
export class TorchStorageClass extends PickleObject {
  readonly storedType: StoredType;
  readonly untyped: boolean;

  constructor(storedType: StoredType, untyped = false) {
    super();
    this.storedType = storedType;
    this.untyped = untyped;
  }
}

/** A `torch.dtype`. */
export class TorchDtype extends PickleObject {
  readonly name: string;
  /** Undefined for types that cannot be read; they may still be mentioned. */
  readonly storedType: StoredType | undefined;

  constructor(name: string, storedType: StoredType | undefined) {
    super();
    this.name = name;
    this.storedType = storedType;
  }
}

/** A run of elements in a record of the archive, which tensors are views of. */
export class TorchStorage extends PickleObject {
  /** Name of the record below `data/`. */
  readonly key: string;
  readonly storedType: StoredType;
  readonly untyped: boolean;
  /** Number of elements. */
  readonly length: number;

  constructor(key: string, storedType: StoredType, untyped: boolean, length: number) {
    super();
    this.key = key;
    this.storedType = storedType;
    this.untyped = untyped;
    this.length = length;
  }
}

/** A strided view of a storage; offset and strides count elements. */
export class TorchTensor extends PickleObject {
  readonly storage: TorchStorage;
  readonly storedType: StoredType;
  readonly offset: number;
  readonly shape: readonly number[];
  readonly strides: readonly number[];

  constructor(storage: TorchStorage, storedType: StoredType, layout: TorchLayout) {
    super();
    this.storage = storage;
    this.storedType = storedType;
    this.offset = layout.offset;
    this.shape = layout.shape;
    this.strides = layout.strides;
  }
}

interface TorchLayout {
  readonly offset: number;
  readonly shape: readonly number[];
  readonly strides: readonly number[];
}

/**
 * Resolves a persistent id: `("storage", class, key, location, length)`. Where the storage lived is ignored.
 *
 * @throws CheckpointError if it is anything else
 */
export function torchStorage(where: string, id: PickleValue): TorchStorage {
  const [kind, storageClass, key, , length] = id instanceof PickleTuple && id.items.length === 5 ? id.items : [];
  const known = kind === "storage" && storageClass instanceof TorchStorageClass && typeof key === "string";
  if (!known || !isSize(length)) {
    throw wrong(where, 'a persistent id must be ("storage", class, key, location, length)', "got something else");
  }
  return new TorchStorage(key, storageClass.storedType, storageClass.untyped, length);
}

/**
 * The functions and constants that a PyTorch weights file may name. Each is ours; `where` is for messages.
 *
 * @returns undefined for a name that is not allowed
 */
export function torchGlobal(where: string, name: string): PickleValue | undefined {
  const rebuild = rebuilders[name];
  if (rebuild) return new PickleFunction(name, (args) => rebuild(where, args));
  const storage = /^torch(?:\.storage)?\.(\w+)Storage$/.exec(name)?.[1];
  if (storage === "Untyped") return new TorchStorageClass("U8", true);
  if (storage !== undefined && Object.hasOwn(storageTypes, storage)) {
    return new TorchStorageClass(storageTypes[storage]!);
  }
  const dtype = /^torch\.(\w+)$/.exec(name)?.[1];
  if (dtype !== undefined && Object.hasOwn(dtypes, dtype)) return new TorchDtype(dtype, dtypes[dtype]);
  return undefined;
}

const storageTypes: Readonly<Record<string, StoredType>> = {
  Double: "F64",
  Float: "F32",
  Half: "F16",
  BFloat16: "BF16",
  Long: "I64",
  Int: "I32",
  Short: "I16",
  Char: "I8",
  Byte: "U8",
  Bool: "BOOL",
};

const dtypes: Readonly<Record<string, StoredType | undefined>> = {
  float64: "F64",
  float32: "F32",
  float16: "F16",
  bfloat16: "BF16",
  int64: "I64",
  int32: "I32",
  uint32: "U32",
  int16: "I16",
  int8: "I8",
  uint8: "U8",
  bool: "BOOL",
  complex64: undefined,
  complex128: undefined,
};

type Rebuild = (where: string, args: readonly PickleValue[]) => PickleValue;

const rebuilders: Readonly<Record<string, Rebuild | undefined>> = Object.assign(Object.create(null), {
  "collections.OrderedDict": (where, args) =>
    args.length ? fail(where, "an OrderedDict must begin empty") : new Map(),
  "torch.Size": (where, [sizes]) => (sizes instanceof PickleTuple ? sizes : fail(where, "torch.Size takes a tuple")),
  "torch.device": (_, [kind]) => (typeof kind === "string" ? kind : "device"),
  "torch._utils._rebuild_tensor": rebuildTensor,
  "torch._utils._rebuild_tensor_v2": rebuildTensor,
  "torch._utils._rebuild_tensor_v3": rebuildTypedTensor,
  "torch._utils._rebuild_parameter": rebuildParameter,
  "torch._utils._rebuild_parameter_with_state": rebuildParameter,
} satisfies Record<string, Rebuild>);

/** Arguments: storage, offset, sizes, strides; what follows (gradients, hooks) is ignored. */
function rebuildTensor(where: string, [storage, offset, sizes, strides]: readonly PickleValue[]): TorchTensor {
  if (!(storage instanceof TorchStorage)) throw fail(where, "a tensor must have a storage");
  if (storage.untyped) throw fail(where, "a tensor on an untyped storage must tell its type");
  return new TorchTensor(storage, storage.storedType, checkLayout(where, storage.length, offset, sizes, strides));
}

/** Arguments: storage, offset, sizes, strides, gradient flag, hooks, dtype. */
function rebuildTypedTensor(where: string, args: readonly PickleValue[]): TorchTensor {
  const [storage, offset, sizes, strides, , , dtype] = args;
  if (!(storage instanceof TorchStorage)) throw fail(where, "a tensor must have a storage");
  if (!(dtype instanceof TorchDtype)) throw fail(where, "a tensor on an untyped storage must tell its type");
  const { storedType } = dtype;
  if (!storedType) throw fail(where, `a tensor must have a type that can be read; this is ${dtype.name}`);
  const bytes = storage.length * storedTypes[storage.storedType].bytes;
  const length = Math.floor(bytes / storedTypes[storedType].bytes);
  return new TorchTensor(storage, storedType, checkLayout(where, length, offset, sizes, strides));
}

function rebuildParameter(where: string, [data]: readonly PickleValue[]): PickleValue {
  return data instanceof TorchTensor ? data : fail(where, "a parameter must be made of a tensor");
}

/**
 * Holds a view against its storage: every element inside, and no more elements than the storage has. The latter
 * refuses views that repeat elements, which would let a small file ask for any amount of memory.
 */
function checkLayout(
  where: string,
  length: number,
  offset: PickleValue | undefined,
  sizes: PickleValue | undefined,
  strides: PickleValue | undefined,
): TorchLayout {
  const { shape, count } = checkShape(`${where}: a tensor`, sizes instanceof PickleTuple ? sizes.items : undefined);
  const steps = strides instanceof PickleTuple ? strides.items : [];
  if (!isSize(offset) || steps.length !== shape.length || !steps.every(isSize)) {
    throw wrong(where, "a tensor must have an offset and a stride for each axis", `got ${excerpt([offset, steps])}`);
  }
  const last = shape.reduce((sum, size, axis) => sum + (size - 1) * (steps[axis] as number), offset);
  if (count > 0 && (count > length || last >= length)) {
    const came = `shape [${shape.join(" ")}] reaches element ${last} of ${length}`;
    throw wrong(where, "a tensor must lie within its storage without repeating elements", came);
  }
  return { offset, shape, strides: steps as number[] };
}

function isSize(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}

function wrong(where: string, must: string, came: string): CheckpointError {
  return new CheckpointError(`${where}: ${must}; ${came}; save the weights again, best as safetensors`);
}

function fail(where: string, must: string): never {
  throw wrong(where, must, "it does not");
}
