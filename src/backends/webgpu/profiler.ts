import type { KernelTime } from "../../tensor/device.ts";

/** QUERY_RESOLVE and COPY_SRC. */
const RESOLVED_USAGE = 0x200 | 0x4;
/** MAP_READ and COPY_DST. */
const STAGING_USAGE = 0x1 | 0x8;
/** The most queries that one set may have. */
const QUERIES = 4096;

interface QueryPage {
  readonly queries: GPUQuerySet;
  /** Of each pair of queries. */
  readonly labels: { readonly op: string; readonly program: string }[];
}

/** Times of dispatches by the device's own clock: each gets a compute pass of its own, with a query before it and one after. */
export class Profiler {
  readonly #device: GPUDevice;
  readonly #pages: QueryPage[] = [];

  constructor(device: GPUDevice) {
    this.#device = device;
  }

  /** How the pass of one dispatch is to be begun. */
  next(op: string, program: string): GPUComputePassDescriptor {
    let page = this.#pages.at(-1);
    if (!page || 2 * page.labels.length === QUERIES) {
      page = { queries: this.#device.createQuerySet({ type: "timestamp", count: QUERIES }), labels: [] };
      this.#pages.push(page);
    }
    const at = 2 * page.labels.length;
    page.labels.push({ op, program });
    const timestampWrites = { querySet: page.queries, beginningOfPassWriteIndex: at, endOfPassWriteIndex: at + 1 };
    return { label: program, timestampWrites };
  }

  /** Times of everything that was submitted, by op and program, the longest first. */
  async read(): Promise<KernelTime[]> {
    const times = new Map<string, KernelTime & { count: number; milliseconds: number }>();
    for (const { queries, labels } of this.#pages) {
      const stamps = await this.#resolve(queries, 2 * labels.length);
      labels.forEach(({ op, program }, i) => {
        const key = `${op}|${program}`;
        const row = times.get(key) ?? { op, program, count: 0, milliseconds: 0 };
        row.count++;
        row.milliseconds += Number(stamps[2 * i + 1]! - stamps[2 * i]!) / 1e6;
        times.set(key, row);
      });
      queries.destroy();
    }
    this.#pages.length = 0;
    return [...times.values()].sort((a, b) => b.milliseconds - a.milliseconds);
  }

  async #resolve(queries: GPUQuerySet, count: number): Promise<BigUint64Array> {
    const resolved = this.#device.createBuffer({ size: 8 * count, usage: RESOLVED_USAGE });
    const staging = this.#device.createBuffer({ size: 8 * count, usage: STAGING_USAGE });
    const encoder = this.#device.createCommandEncoder();
    encoder.resolveQuerySet(queries, 0, count, resolved, 0);
    encoder.copyBufferToBuffer(resolved, 0, staging, 0, 8 * count);
    this.#device.queue.submit([encoder.finish()]);
    await staging.mapAsync(1);
    const stamps = new BigUint64Array(staging.getMappedRange().slice(0));
    for (const buffer of [resolved, staging]) buffer.destroy();
    return stamps;
  }
}
