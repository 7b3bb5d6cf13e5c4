// SPDX-License-Identifier: Apache-2.0
// The simulated cluster: its machines, what runs on them, and everything that will happen, from one seed.

import type { Actor } from '#lib/core/head/actor.js'
import type { Machine } from '#lib/core/machine.js'
import { nodeOf } from '#lib/ids.js'
import type { NodeId, WorkerId } from '#lib/wire/messages.js'
import type { Observed, ObservedNode } from '../checkers/observed.js'
import { Runs } from '../checkers/runs.js'
import { SimDriver } from '../driver.js'
import type { SimProcess } from '../process.js'
import { Random } from '../random.js'
import { Agenda } from './agenda.js'
import type { Skew } from './life.js'
import { nodeIdOf } from './names.js'
import { plan } from './nemesis.js'
import { SimNode } from './node.js'
import type { Settings } from './settings.js'

export class SimCluster implements Observed {
  readonly agenda = new Agenda()
  readonly random: Random
  readonly byId = new Map<NodeId, SimNode>()
  readonly drivers: { driver: SimDriver; node: SimNode; seed: number }[] = []
  /** What must not have happened, as words. */
  readonly faults: string[] = []
  readonly runs = new Runs(this.faults)
  killed = 0

  constructor(
    readonly seed: number,
    readonly settings: Settings,
    /** Of the programs. */
    seeds: readonly number[],
  ) {
    this.random = new Random(seed ^ 0x5eed)
    for (let i = 0; i < settings.nodes; i++) this.join()
    const nodes = [...this.byId.values()]
    for (const [i, each] of seeds.entries()) this.#drive(nodes[i % nodes.length] as SimNode, each)
    plan(this, new Random(seed ^ 0x4e3e))
  }

  /** A new machine joins. */
  join(): SimNode {
    const node = new SimNode(this, nodeIdOf(this.byId.size + 1))
    this.byId.set(node.nodeId, node)
    return node
  }

  /** How the clock of a machine goes. */
  skew(): Skew {
    const { skew } = this.settings
    return { rate: 1 + (this.random.next() * 2 - 1) * skew, offset: 1000 * this.random.next() * skew }
  }

  faulty(what: string): void {
    this.faults.push(what)
  }

  missing(what: string): void {
    // A ref on its way through a process that is killed may come too late; otherwise nothing may be missing.
    if (this.killed === 0) this.faults.push(`${what} is missing`)
  }

  // Observed -----------------------------------------------------------------------------------------------------------

  *living(): Generator<SimProcess> {
    for (const { processes } of this.byId.values()) for (const { process } of processes.values()) yield process
  }

  process(id: WorkerId): SimProcess | undefined {
    return this.byId.get(nodeOf(id))?.processes.get(id)?.process
  }

  *nodes(): Generator<ObservedNode> {
    for (const { life, daemon, total, stored } of this.byId.values()) if (life.alive) yield { machine: daemon.node, total, stored }
  }

  *actors(): Generator<Actor> {
    for (const { daemon } of this.byId.values()) yield* daemon.head.actors.all()
  }

  // --------------------------------------------------------------------------------------------------------------------

  check(machine: Pick<Machine<unknown, unknown>, 'invariants'>): void {
    machine.invariants()
  }

  /** After everything that happens. */
  happened(): void {}

  #drive(node: SimNode, seed: number): void {
    const { process, pulse } = node.host('driver', 1)
    const driver = new SimDriver(process, seed, this.settings.depth)
    this.drivers.push({ driver, node, seed })
    pulse.driver = driver
    pulse.look()
  }
}
