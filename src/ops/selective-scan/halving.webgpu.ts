/**
 * Sums of several values over the threads that `masks` tell apart. In each exchange a thread keeps one half of the values and gets its
 * partner's share of them; the last one left is added up whole.
 *
 * @param step - of the thread, by which what is made is named
 * @param side - how the condition of a mask is named: whether a thread keeps the second half
 * @returns statements, and the names of what is left in a thread
 */
export function sumByHalves(
  given: readonly string[],
  masks: readonly number[],
  step: number,
  side: string,
): { readonly code: readonly string[]; readonly left: readonly string[] } {
  const code: string[] = [];
  let values = given;
  for (const mask of masks) {
    const half = values.length / 2;
    const isHalved = values.length > 1;
    values = (isHalved ? values.slice(0, half) : values).map((value, i) => {
      const name = `sum${step}_${mask}_${i}`;
      const other = values[half + i];
      code.push(
        isHalved
          ? `let ${name} = select(${value}, ${other}, ${side}${mask}) + subgroupShuffleXor(select(${other}, ${value}, ${side}${mask}), ${mask}u);`
          : `let ${name} = ${value} + subgroupShuffleXor(${value}, ${mask}u);`,
      );
      return name;
    });
  }
  return { code, left: values };
}
