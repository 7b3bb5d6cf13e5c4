// SPDX-License-Identifier: Apache-2.0
// Who is to hear of which actor, both ways round. The head has all, each node those of its own processes, which it tells
// the head again after that was restarted.

import { nodeOf } from '../../ids.js'
import type { NodeId, WorkerId } from '../../wire/messages.js'
import { assert } from '../assert.js'

export class Watchers {
  /** By the id that was asked about, which may be an alias, or that of an actor not created yet. */
  readonly #byActor = new Map<string, Set<WorkerId>>()
  readonly #byProcess = new Map<WorkerId, Set<string>>()

  add(actorId: string, process: WorkerId): void {
    addTo(this.#byActor, actorId, process)
    addTo(this.#byProcess, process, actorId)
  }

  get size(): number {
    return this.#byActor.size + this.#byProcess.size
  }

  of(actorId: string): Iterable<WorkerId> {
    return this.#byActor.get(actorId) ?? []
  }

  *all(): Generator<[string, WorkerId]> {
    for (const [actorId, processes] of this.#byActor) for (const process of processes) yield [actorId, process]
  }

  remove(actorId: string, process: WorkerId): void {
    removeFrom(this.#byActor, actorId, process)
    removeFrom(this.#byProcess, process, actorId)
  }

  /** Nothing changes any more for those who asked about that id. */
  drop(actorId: string): void {
    for (const process of this.of(actorId)) removeFrom(this.#byProcess, process, actorId)
    this.#byActor.delete(actorId)
  }

  processGone(process: WorkerId): void {
    for (const actorId of this.#byProcess.get(process) ?? []) removeFrom(this.#byActor, actorId, process)
    this.#byProcess.delete(process)
  }

  nodeGone(nodeId: NodeId): void {
    for (const process of [...this.#byProcess.keys()]) if (nodeOf(process) === nodeId) this.processGone(process)
  }

  invariants(): void {
    for (const [actorId, processes] of this.#byActor) {
      for (const process of processes) assert(this.#byProcess.get(process)?.has(actorId), 'a watcher does not know what it watches')
    }
  }
}

function addTo(map: Map<string, Set<string>>, key: string, value: string): void {
  const set = map.get(key)
  if (set === undefined) map.set(key, new Set([value]))
  else set.add(value)
}

function removeFrom(map: Map<string, Set<string>>, key: string, value: string): void {
  const set = map.get(key)
  if (set?.delete(value) && set.size === 0) map.delete(key)
}
