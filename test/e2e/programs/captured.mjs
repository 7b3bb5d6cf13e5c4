// SPDX-License-Identifier: Apache-2.0
// A module that the capture programs import.

export const base = 10
export const scale = n => n * base
export class Scaled {
  constructor(n) {
    this.n = n
  }
  value() {
    return scale(this.n)
  }
}
