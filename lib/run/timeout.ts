// SPDX-License-Identifier: Apache-2.0
// Time limits of any length. Node's own timers count in 31 bits of milliseconds, and fire at once beyond.

const LONGEST_MS = 2 ** 31 - 1

/** A time limit that has not passed yet; Infinity never does. */
export class Timeout {
  private timer: NodeJS.Timeout | undefined

  constructor(
    private leftMs: number,
    private readonly expired: () => void,
  ) {
    this.arm()
  }

  clear(): void {
    clearTimeout(this.timer)
  }

  private arm(): void {
    if (this.leftMs === Number.POSITIVE_INFINITY) return
    const stepMs = Math.min(this.leftMs, LONGEST_MS)
    this.leftMs -= stepMs
    this.timer = setTimeout(() => (this.leftMs > 0 ? this.arm() : this.expired()), stepMs)
  }
}
