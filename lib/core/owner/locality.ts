// SPDX-License-Identifier: Apache-2.0
// Where the data of a task is: tasks go to the node that holds most of what they read, where that is much. Only those that
// may run anywhere, by DEFAULT: whoever says where a task runs knows better.

import { limits } from '../../options.js'
import type { NodeId, SchedulingClass } from '../../wire/messages.js'
import { STATE } from './entry.js'
import type { Task } from './task.js'

/** The class that such tasks wait in: as their own, but with a node that is asked first. Equal keys are one object. */
export class Locality {
  readonly #own: NodeId
  readonly #near = new Map<string, SchedulingClass>()

  constructor(own: NodeId) {
    this.#own = own
  }

  /** The class of a task whose arguments are there; the first answer for a task stays. */
  classOf({ scheduling, args }: Task): SchedulingClass {
    if (args instanceof Uint8Array || scheduling.where !== null || scheduling.near !== null) return scheduling
    const nodeId = this.#nodeWithMost(args)
    return nodeId === null ? scheduling : this.#classNear(scheduling, nodeId)
  }

  /** Null: this node, or nowhere enough to matter. */
  #nodeWithMost(args: Exclude<Task['args'], Uint8Array>): NodeId | null {
    const bytes = new Map<NodeId, number>()
    for (const argument of args) {
      // Where those of other owners are only these know.
      if (argument instanceof Uint8Array || argument.state !== STATE.stored || argument.owner !== null) continue
      for (const nodeId of argument.nodes ?? [this.#own]) bytes.set(nodeId, (bytes.get(nodeId) ?? 0) + argument.sizeBytes)
    }
    let best = this.#own
    for (const [nodeId, size] of bytes) if (size > (bytes.get(best) ?? 0)) best = nodeId
    const gain = (bytes.get(best) ?? 0) - (bytes.get(this.#own) ?? 0)
    return best !== this.#own && gain >= limits.localityBytesMin ? best : null
  }

  #classNear(scheduling: SchedulingClass, near: NodeId): SchedulingClass {
    const key = `${scheduling.key} near:${near}`
    const known = this.#near.get(key)
    if (known !== undefined) return known
    const variant = { ...scheduling, key, near }
    this.#near.set(key, variant)
    if (this.#near.size > limits.nearClassesKept) this.#near.delete([...this.#near.keys()][0] as string)
    return variant
  }
}
