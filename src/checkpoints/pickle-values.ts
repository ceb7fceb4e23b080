/** What a pickle can hold here. */
export type PickleValue =
  | null
  | boolean
  | number
  | bigint
  | string
  | Uint8Array
  | PickleValue[]
  | PickleTuple
  | PickleDict
  | PickleObject;

/** A Python dict; keys are compared as Map compares them. */
export type PickleDict = Map<PickleValue, PickleValue>;

/** A Python tuple. */
export class PickleTuple {
  readonly items: readonly PickleValue[];

  constructor(items: readonly PickleValue[]) {
    this.items = items;
  }
}

/** The base of what the reader of a format lets a pickle hold besides plain values. */
export abstract class PickleObject {}

/** A name from the allow-list that a pickle may call: our own function, never Python's. */
export class PickleFunction extends PickleObject {
  readonly name: string;
  readonly call: (args: readonly PickleValue[]) => PickleValue;

  constructor(name: string, call: (args: readonly PickleValue[]) => PickleValue) {
    super();
    this.name = name;
    this.call = call;
  }
}
