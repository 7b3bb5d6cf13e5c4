// SPDX-License-Identifier: Apache-2.0
// Placement groups as this process knows them: what the head tells of those that somebody here waits for.

import { type Entry, STATE } from '../core/owner/entry.js'
import { PlacementGroupRemovedError } from '../errors.js'
import type { GroupSpec, GroupState, GroupView, Where } from '../wire/messages.js'
import { ObjectRef } from './ref.js'
import type { Runtime } from './runtime.js'

/** The group that takes in what a task or actor with that place submits. */
export function capturedBy(where: Where | null): string | null {
  const strategy = where?.strategy
  return strategy?.is === 'group' && strategy.capture ? strategy.groupId : null
}

interface Known {
  view: GroupView | null
  /** Called once each, when it is there, or with why it never will be. */
  waiters: Set<(error: Error | null) => void>
}

export class Groups {
  private readonly known = new Map<string, Known>()
  /** The group that the value of each ready() waits for. */
  private readonly awaited = new WeakMap<Entry, string>()

  constructor(private readonly runtime: Runtime) {}

  create(spec: GroupSpec): void {
    this.runtime.send(this.runtime.node, { is: 'groupCreate', spec })
    this.runtime.mesh.scheduleFlush()
  }

  remove(groupId: string): void {
    this.runtime.send(this.runtime.node, { is: 'groupRemove', groupId })
    // Who asks from now on asks the head, which hears of this first.
    const known = this.known.get(groupId)
    if (known !== undefined) known.view = null
    this.runtime.mesh.scheduleFlush()
  }

  /** Calls back once all bundles of the group are there, at once if they are. Gives what takes that back. */
  whenReady(groupId: string, then: (error: Error | null) => void): () => void {
    const known = this.watched(groupId)
    if (known.view?.phase === 'created') then(null)
    else known.waiters.add(then)
    return () => known.waiters.delete(then)
  }

  /** A ref whose value is there when the group is. */
  ready(groupId: string): ObjectRef<undefined> {
    const { runtime } = this
    const entry = runtime.owner.promised()
    const ref = new ObjectRef<undefined>(entry, runtime)
    this.awaited.set(entry, groupId)
    this.whenReady(groupId, error => {
      if (runtime.closed || entry.dropped || entry.state !== STATE.pending) return
      const outcome = error === null ? ({ form: 'plain', value: undefined } as const) : ({ form: 'failed', error } as const)
      runtime.act({ is: 'settle', entry, outcome })
      runtime.mesh.scheduleFlush()
    })
    return ref
  }

  /** Somebody here waits for one that is not there yet. */
  get areAwaited(): boolean {
    return [...this.known.values()].some(({ waiters }) => waiters.size > 0)
  }

  awaitedBy(entry: Entry): string | null {
    return this.awaited.get(entry) ?? null
  }

  told({ groupId, view }: GroupState): void {
    const known = this.known.get(groupId)
    if (known === undefined) return
    known.view = view
    if (view !== null && view.phase !== 'created' && view.phase !== 'removed') return
    const why = view === null ? 'there is no such group any more' : view.phase === 'removed' ? (view.why ?? 'it was removed') : null
    const error = why === null ? null : new PlacementGroupRemovedError(`the placement group ${groupId} is gone: ${why}`)
    if (error !== null) this.known.delete(groupId)
    this.end(known, error)
  }

  /** The session is over. */
  fail(error: Error): void {
    for (const known of this.known.values()) this.end(known, error)
    this.known.clear()
  }

  private end(known: Known, error: Error | null): void {
    const waiters = [...known.waiters]
    known.waiters.clear()
    for (const each of waiters) each(error)
  }

  private watched(groupId: string): Known {
    let known = this.known.get(groupId)
    if (known === undefined || known.view === null) {
      known ??= { view: null, waiters: new Set() }
      this.known.set(groupId, known)
      this.runtime.send(this.runtime.node, { is: 'groupWatch', groupId })
      this.runtime.mesh.scheduleFlush()
    }
    return known
  }
}
