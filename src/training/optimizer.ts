import { adamwUpdateAll, sgdUpdate } from "../ops/optimizer-update/index.ts";
import { ConfigError, StateError } from "../tensor/errors.ts";
import { flattenParameters, type Parameters } from "../tensor/parameters.ts";
import { formatShape } from "../tensor/shape.ts";
import { type Tensor, zeros } from "../tensor/tensor.ts";
import { type ParameterGroup, settingsOf } from "./groups.ts";

/** What one update takes besides gradients. */
export interface OptimizerStep {
  /** From the schedule. */
  readonly learningRate: number;
  /** [1], multiplies every gradient: clipping and loss scaling, without a read-back. */
  readonly scale?: Tensor;
  /** int32 [1]; where it is not 0 nothing changes. */
  readonly skip?: Tensor;
}

/** Changes parameters in place. */
export interface Optimizer {
  readonly name: string;
  /** Updates taken so far. */
  readonly step: number;
  /** Takes one step; gradients stay the caller's. */
  update(parameters: Parameters, gradients: Parameters, options: OptimizerStep): void;
  /** Takes back the count of the last update, which `skip` had left without effect. */
  uncount(): void;
  /** Its tensors by name, for a checkpoint. */
  tensors(): ReadonlyMap<string, Tensor>;
  /**
   * Takes over tensors of a checkpoint; the optimizer owns them afterwards.
   *
   * @throws StateError if a name or a shape is not one of `parameters`
   */
  restore(step: number, tensors: ReadonlyMap<string, Tensor>, parameters: Parameters): void;
  /** Frees its tensors. Idempotent. */
  dispose(): void;
}

/** Options of {@link adamW}. */
export interface AdamWOptions {
  /** Decay rates of the moments; default 0.9 and 0.95. */
  readonly betas?: readonly [number, number];
  /** Default 1e-8. */
  readonly epsilon?: number;
  /** Default 0.1, for parameters that decay: see {@link decaysByDefault}. */
  readonly weightDecay?: number;
  /** Rules for some parameters; the first that matches counts. */
  readonly groups?: readonly ParameterGroup[];
}

/** Options of {@link sgd}. */
export interface SgdOptions {
  /** Default 0.9. */
  readonly momentum?: number;
  /** Default 0. */
  readonly weightDecay?: number;
  readonly groups?: readonly ParameterGroup[];
}

/**
 * AdamW: adaptive moments with decoupled weight decay.
 *
 * @throws ConfigError if an option is out of its range
 * @see Loshchilov & Hutter 2019, algorithm 2; the update itself is `adamwUpdate` of `mamba.ts/ops`
 */
export function adamW(options: AdamWOptions = {}): Optimizer {
  const { betas = [0.9, 0.95], epsilon = 1e-8, weightDecay = 0.1, groups = [] } = options;
  for (const beta of betas) checkRange("adamW", "betas", beta, 0, 1);
  checkRange("adamW", "epsilon", epsilon, 0, Number.POSITIVE_INFINITY);
  checkRange("adamW", "weightDecay", weightDecay, 0, Number.POSITIVE_INFINITY);
  const settings = { weightDecay, groups };
  return new SlotOptimizer("adamW", ["mean", "square"], settings, (updates, common) => {
    const all = updates.map(({ slots, ...update }) => ({ ...update, mean: slots["mean"]!, square: slots["square"]! }));
    adamwUpdateAll(all, { beta1: betas[0], beta2: betas[1], epsilon, ...common });
  });
}

/**
 * Gradient descent with momentum.
 *
 * @throws ConfigError if an option is out of its range
 */
export function sgd(options: SgdOptions = {}): Optimizer {
  const { momentum = 0.9, weightDecay = 0, groups = [] } = options;
  checkRange("sgd", "momentum", momentum, 0, 1);
  checkRange("sgd", "weightDecay", weightDecay, 0, Number.POSITIVE_INFINITY);
  const names = momentum > 0 ? ["velocity"] : [];
  return new SlotOptimizer("sgd", names, { weightDecay, groups }, (updates, { scale, skip }) => {
    for (const { parameter, gradient, slots, learningRate, weightDecay: decay } of updates) {
      sgdUpdate(parameter, gradient, slots["velocity"], { learningRate, momentum, weightDecay: decay, scale, skip });
    }
  });
}

function checkRange(where: string, name: string, value: number, low: number, high: number): void {
  if (typeof value === "number" && value >= low && value <= high) return;
  throw new ConfigError(`${where}: ${name} must be from ${low} to ${high}; got ${value}; change it`, { name, value });
}

/** One parameter's update. */
interface Update {
  readonly parameter: Tensor;
  readonly gradient: Tensor;
  readonly slots: Readonly<Record<string, Tensor>>;
  readonly learningRate: number;
  readonly weightDecay: number;
}

/** What is the same for all parameters. */
interface Common {
  readonly step: number;
  readonly scale?: Tensor;
  readonly skip?: Tensor;
}

type Apply = (updates: readonly Update[], common: Common) => void;

/** An optimizer that keeps some tensors of the parameter's shape beside each. */
class SlotOptimizer implements Optimizer {
  readonly name: string;
  readonly #slotNames: readonly string[];
  readonly #settings: { readonly weightDecay: number; readonly groups: readonly ParameterGroup[] };
  readonly #apply: Apply;
  readonly #slots = new Map<string, Record<string, Tensor>>();
  #step = 0;

  constructor(
    name: string,
    slotNames: readonly string[],
    settings: { readonly weightDecay: number; readonly groups: readonly ParameterGroup[] },
    apply: Apply,
  ) {
    this.name = name;
    this.#slotNames = slotNames;
    this.#settings = settings;
    this.#apply = apply;
  }

  get step(): number {
    return this.#step;
  }

  update(parameters: Parameters, gradients: Parameters, { learningRate, scale, skip }: OptimizerStep): void {
    this.#step++;
    const own = flattenParameters(gradients);
    const updates: Update[] = [];
    for (const [name, parameter] of flattenParameters(parameters)) {
      const gradient = own.get(name);
      if (!gradient) continue;
      const settings = settingsOf(name, parameter, this.#settings.groups, this.#settings.weightDecay);
      updates.push({
        parameter,
        gradient,
        slots: this.#slotsOf(name, parameter),
        learningRate: settings.learningRate(learningRate),
        weightDecay: settings.weightDecay,
      });
    }
    this.#apply(updates, { step: this.#step, scale, skip });
  }

  uncount(): void {
    this.#step--;
  }

  #slotsOf(name: string, parameter: Tensor): Record<string, Tensor> {
    const known = this.#slots.get(name);
    if (known) return known;
    const { device, dtype, shape } = parameter;
    const made = Object.fromEntries(
      this.#slotNames.map((slot) => {
        const fresh = zeros(shape, { device, dtype });
        // kept beyond whatever scope the step runs in
        const kept = fresh.alias();
        fresh.dispose();
        return [slot, kept];
      }),
    );
    this.#slots.set(name, made);
    return made;
  }

  tensors(): ReadonlyMap<string, Tensor> {
    const all = new Map<string, Tensor>();
    for (const [name, slots] of this.#slots) {
      for (const [slot, tensor] of Object.entries(slots)) all.set(`${slot}.${name}`, tensor);
    }
    return all;
  }

  restore(step: number, tensors: ReadonlyMap<string, Tensor>, parameters: Parameters): void {
    const shapes = flattenParameters(parameters);
    const found = new Map<string, Record<string, Tensor>>();
    for (const [key, tensor] of tensors) {
      const dot = key.indexOf(".");
      const [slot, name] = [key.slice(0, dot), key.slice(dot + 1)];
      const parameter = shapes.get(name);
      if (!parameter || !this.#slotNames.includes(slot) || parameter.shape.join() !== tensor.shape.join()) {
        const expected = parameter ? formatShape(parameter.shape) : "no such parameter";
        throw new StateError(
          `${this.name}: a restored state must fit the parameters; got ${key} ${formatShape(tensor.shape)} for ${expected}; resume with the configuration that was saved`,
          { name: key },
        );
      }
      found.set(name, { ...found.get(name), [slot]: tensor });
    }
    for (const [name, slots] of found) {
      const missing = this.#slotNames.find((slot) => !slots[slot]);
      if (missing === undefined) continue;
      throw new StateError(
        `${this.name}: a restored state must be whole; ${missing}.${name} is missing; resume from another checkpoint`,
        { name: `${missing}.${name}` },
      );
    }
    this.dispose();
    this.#step = step;
    for (const [name, slots] of found) this.#slots.set(name, slots);
  }

  dispose(): void {
    for (const slots of this.#slots.values()) for (const tensor of Object.values(slots)) tensor.dispose();
    this.#slots.clear();
  }
}
