// SPDX-License-Identifier: Apache-2.0
// A module that the capture programs import.

export const base = 10
export type Name = 'shape' | 'other'
export const scale = (n: number): number => n * base
export class Scaled {
  readonly n: number
  constructor(n: number) {
    this.n = n
  }
  value(): number {
    return scale(this.n)
  }
}
