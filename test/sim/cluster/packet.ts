// SPDX-License-Identifier: Apache-2.0
// What travels between machines: frames gathered over a turn, as data.

import type { Control, WorkerId } from '#lib/wire/messages.js'
import type { Frame } from '../frames.js'

/** For a process of another node; passed on unopened. */
export interface Route {
  is: 'route'
  from: WorkerId
  to: WorkerId
  frame: Frame
}

export class Packet {
  constructor(readonly items: ({ is: 'control'; message: Control } | Route)[]) {}

  /** As if each had the same size. */
  get byteLength(): number {
    return 100 * this.items.length
  }
}
