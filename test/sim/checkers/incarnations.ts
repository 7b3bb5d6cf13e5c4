// SPDX-License-Identifier: Apache-2.0
// Checker: each time an actor starts it is in one process, after that of the time before is gone, and no more often than it may.

import type { ActorStart, WorkerId } from '#lib/wire/messages.js'

export class Incarnations {
  /** By actor: its processes, the first first. */
  readonly #processes = new Map<string, WorkerId[]>()

  constructor(
    private readonly faults: string[],
    /** Dead, or on a node that was declared dead, which may not know it yet. */
    private readonly isGone: (process: WorkerId) => boolean,
  ) {}

  starts(process: WorkerId, { spec: { actorId, maxRestarts }, incarnation }: ActorStart): void {
    // It was stopped while its node was declared dead, and has not heard of that.
    if (this.isGone(process)) return
    let processes = this.#processes.get(actorId)
    if (processes === undefined) this.#processes.set(actorId, (processes = []))
    const what = `start ${incarnation} of actor ${actorId} in ${process}`
    if (maxRestarts >= 0 && incarnation > maxRestarts) this.faults.push(`${what}: it restarts at most ${maxRestarts} times`)
    if ((processes[incarnation] ?? process) !== process) this.faults.push(`${what}: it was in ${processes[incarnation]}`)
    for (const [i, each] of processes.entries())
      if (each !== undefined && each !== process && !this.isGone(each)) this.faults.push(`${what}: start ${i} still lives in ${each}`)
    processes[incarnation] = process
  }
}
