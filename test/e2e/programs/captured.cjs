// SPDX-License-Identifier: Apache-2.0
// A module that the capture programs import.

const base = 10
const scale = n => n * base
class Scaled {
  constructor(n) {
    this.n = n
  }
  value() {
    return scale(this.n)
  }
}
module.exports = { base, scale, Scaled }
