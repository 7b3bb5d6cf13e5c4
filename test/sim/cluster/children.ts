// SPDX-License-Identifier: Apache-2.0
// The child processes of a simulated daemon: started a while after they are asked for, and ended by themselves, by the
// daemon, or by chance. Of an end the daemon hears a while later.

import type { WorkerId } from '#lib/wire/messages.js'
import type { Random } from '../random.js'
import type { Life } from './life.js'

interface Child {
  readonly key: string
  readonly pid: number
  workerId: WorkerId | null
  /** It ends before it has said who it is. */
  doomed: boolean
}

export interface Exit {
  key: string
  workerId: WorkerId | null
  killed: boolean
}

export class Children {
  readonly #byKey = new Map<string, Child>()
  #nextPid = 1000

  constructor(
    private readonly life: Life,
    private readonly random: Random,
    /** Makes the process of that child. */
    private readonly start: (pid: number) => WorkerId,
    private readonly exited: (exit: Exit) => void,
  ) {}

  spawn(key: string): number {
    const child: Child = { key, pid: this.#nextPid++, workerId: null, doomed: false }
    this.#byKey.set(key, child)
    this.life.after(this.random.around(20), () => {
      if (!child.doomed) child.workerId = this.start(child.pid)
    })
    return child.pid
  }

  keyOf(workerId: WorkerId): string | null {
    for (const child of this.#byKey.values()) if (child.workerId === workerId) return child.key
    return null
  }

  /** Gives the process that ends now. */
  kill(key: string): WorkerId | null {
    const child = this.#byKey.get(key)
    if (child === undefined) return null
    if (child.workerId !== null) return child.workerId
    if (!child.doomed) this.#end(child, true)
    child.doomed = true
    return null
  }

  /** The process of that child is no more. */
  ended(workerId: WorkerId, killed: boolean): void {
    for (const child of this.#byKey.values()) if (child.workerId === workerId) return this.#end(child, killed)
  }

  #end(child: Child, killed: boolean): void {
    const { key, workerId } = child
    this.#byKey.delete(key)
    this.life.after(this.random.around(1), () => this.exited({ key, workerId, killed }))
  }
}
