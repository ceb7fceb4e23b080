import { add, cos, div, exp, expm1, mul, neg, sin, square, sub } from "../../ops/elementwise/index.ts";
import { concat, slice } from "../../ops/movement/index.ts";
import type { Tensor } from "../../tensor/tensor.ts";

/** Complex numbers as two tensors of one shape, whose last axis has size 1; as one tensor that axis is (real, imaginary). */
export interface ComplexTensor {
  readonly re: Tensor;
  readonly im: Tensor;
}

/** @param x - [... 2] */
export function complexOf(x: Tensor): ComplexTensor {
  return { re: slice(x, { axis: -1, end: 1 }), im: slice(x, { axis: -1, start: 1 }) };
}

/** @returns [... 2] */
export function joined({ re, im }: ComplexTensor): Tensor {
  return concat([re, im], -1);
}

export function complexSub(a: ComplexTensor, b: ComplexTensor): ComplexTensor {
  return { re: sub(a.re, b.re), im: sub(a.im, b.im) };
}

export function complexMul(a: ComplexTensor, b: ComplexTensor): ComplexTensor {
  return {
    re: sub(mul(a.re, b.re), mul(a.im, b.im)),
    im: add(mul(a.re, b.im), mul(a.im, b.re)),
  };
}

/** a / b */
export function complexDiv(a: ComplexTensor, b: ComplexTensor): ComplexTensor {
  const size = add(square(b.re), square(b.im));
  return {
    re: div(add(mul(a.re, b.re), mul(a.im, b.im)), size),
    im: div(sub(mul(a.im, b.re), mul(a.re, b.im)), size),
  };
}

export function conjugate({ re, im }: ComplexTensor): ComplexTensor {
  return { re, im: neg(im) };
}

/** A real tensor or number times a complex one. */
export function scaled(a: ComplexTensor, by: Tensor | number): ComplexTensor {
  return { re: mul(a.re, by), im: mul(a.im, by) };
}

export function plusReal({ re, im }: ComplexTensor, real: Tensor | number): ComplexTensor {
  return { re: add(re, real), im };
}

/** exp(x) - 1 without cancellation where x is small: exp(a) cos(b) - 1 = (exp(a) - 1) cos(b) - 2 sin(b / 2)^2. */
export function complexExpm1({ re, im }: ComplexTensor): ComplexTensor {
  return {
    re: sub(mul(expm1(re), cos(im)), mul(square(sin(mul(im, 0.5))), 2)),
    im: mul(exp(re), sin(im)),
  };
}

export function complexAdd(a: ComplexTensor, b: ComplexTensor): ComplexTensor {
  return { re: add(a.re, b.re), im: add(a.im, b.im) };
}

export function complexExp({ re, im }: ComplexTensor): ComplexTensor {
  const size = exp(re);
  return { re: mul(size, cos(im)), im: mul(size, sin(im)) };
}
