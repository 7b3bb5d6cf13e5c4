// SPDX-License-Identifier: Apache-2.0
// The lease this worker runs under: what its tasks hold, and giving the CPU back while a task waits in get or wait.

import type { LeaseStart, WorkerId } from '../wire/messages.js'
import { setAccelerators, setAssignedResources } from './accelerators.js'
import type { Runtime } from './runtime.js'

export class Lease {
  private leaseId = 0
  private owner: WorkerId | null = null
  private waits = 0
  private onResumed: (() => void)[] = []

  constructor(private readonly runtime: Runtime) {}

  started(owner: WorkerId, message: LeaseStart): void {
    this.leaseId = message.leaseId
    this.owner = owner
    this.waits = 0
    setAccelerators(message.gpuIds)
    setAssignedResources(message.resources)
  }

  resumed(leaseId: number): void {
    if (leaseId !== this.leaseId) return
    const all = this.onResumed
    this.onResumed = []
    for (const each of all) each()
  }

  /** Waits with the CPU given back; goes on only once it is there again. */
  async waiting<T>(promise: Promise<T>): Promise<T> {
    const { leaseId, runtime } = this
    if (leaseId === 0) return promise
    if (this.waits++ === 0) {
      runtime.send(runtime.node, { is: 'blocked', leaseId })
      if (this.owner !== null) runtime.send(this.owner, { is: 'leaseBlocked', leaseId })
    }
    try {
      return await promise
    } finally {
      if (leaseId === this.leaseId && --this.waits === 0) {
        runtime.send(runtime.node, { is: 'unblock', leaseId })
        await new Promise<void>((resolve) => this.onResumed.push(resolve))
      }
    }
  }
}
