// SPDX-License-Identifier: Apache-2.0
// The simulated cluster: its machines, what runs on them, and everything that will happen, from one seed.

import type { Actor } from '#lib/core/head/actor.js'
import type { Machine } from '#lib/core/machine.js'
import { nodeOf, objectId } from '#lib/ids.js'
import type { JobSpec, NodeId, WorkerId } from '#lib/wire/messages.js'
import { Ends } from '../checkers/ends.js'
import { Executions } from '../checkers/executions.js'
import { Incarnations } from '../checkers/incarnations.js'
import { Moves } from '../checkers/moves.js'
import type { ExpectedEnd, Observed, ObservedGroup, ObservedNode } from '../checkers/observed.js'
import { Restarts } from '../checkers/restarts.js'
import { Runs } from '../checkers/runs.js'
import { SimDriver } from '../driver.js'
import type { SimProcess } from '../process.js'
import { Random } from '../random.js'
import { Agenda } from './agenda.js'
import { DataNetwork } from './data.js'
import { leave } from './endings.js'
import { SimHead } from './head.js'
import { Hounds } from './hounds.js'
import type { Skew } from './life.js'
import { Losses } from './losses.js'
import { nodeIdOf } from './names.js'
import { plan } from './nemesis.js'
import { Network } from './network.js'
import { SimNode } from './node.js'
import type { Settings } from './settings.js'
import { Visits } from './visits.js'
import { ObjectWatch } from './watch.js'

/** Why a node is gone that has left as it was asked to. */
const DRAINED = 'it was drained'

export class SimCluster implements Observed {
  readonly agenda = new Agenda()
  readonly random: Random
  readonly network: Network
  readonly head: SimHead
  readonly data = new DataNetwork(this)
  readonly byId = new Map<NodeId, SimNode>()
  readonly drivers: { driver: SimDriver; node: SimNode }[] = []
  /** What must not have happened, as words. */
  readonly faults: string[] = []
  readonly runs = new Runs(this.faults)
  readonly losses = new Losses(this)
  readonly ends = new Ends()
  readonly watch = new ObjectWatch(this)
  readonly visits = new Visits(this)
  readonly hounds: Hounds
  readonly executions = new Executions(this.faults)
  readonly incarnations = new Incarnations(this.faults, process => this.#isGone(process))
  readonly restarts = new Restarts(this.faults, (actorId, incarnation) => this.#wasOnDeadNode(actorId, incarnation))
  readonly moves = new Moves(this.faults)
  /** Nodes that were to be drained. */
  readonly draining = new Set<NodeId>()
  /** Jobs whose driver has ended by itself: nobody of the others may notice. */
  readonly #endedJobs = new Set<string>()
  /** Actors that bodies have killed, with all their answers. */
  readonly executed = new Set<string>()
  readonly #expected = new Map<WorkerId, ExpectedEnd>()
  killed = 0
  readonly isSwept = true
  #epochs = 0

  constructor(
    readonly seed: number,
    readonly settings: Settings,
    /** Of the programs. */
    seeds: readonly number[],
  ) {
    this.random = new Random(seed ^ 0x5eed)
    this.hounds = new Hounds(this, new Random(seed ^ 0x40d5))
    this.network = new Network(this.agenda, this.random, settings)
    this.head = new SimHead(this)
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

  /** That process, or node, is dead, or taken for dead. */
  ended(id: WorkerId | NodeId): void {
    this.ends.ended(id, this.agenda.now)
    for (const lost of this.byId.get(id)?.stored ?? []) this.watch.borrows.robbed(lost)
  }

  /** From then on what was there may be gone, though the node may live and not know it. */
  declaredDead(nodeId: NodeId, why: string): void {
    this.ended(nodeId)
    if (this.byId.get(nodeId)?.life.alive && why !== DRAINED) this.killed++
  }

  /** A daemon ends by itself. */
  leaves(node: SimNode, reason: string): void {
    if (reason === DRAINED) leave(this, node)
    else this.faulty(`the session ended: ${reason}`)
  }

  /** The job of that driver is over. */
  jobEnds({ job, id }: SimProcess): void {
    this.ended(id)
    this.#endedJobs.add((job as JobSpec).jobId)
  }

  /** With its job, or with its node, which was drained: it may go at any moment, and with it what it owns. */
  isEnding({ job, id }: SimProcess): boolean {
    if (job !== null && this.#endedJobs.has(job.jobId)) return true
    return this.draining.has(nodeOf(id)) && !this.head.machine.nodes.isAlive(nodeOf(id))
  }

  /** It is ended by its daemon. */
  decreed(process: SimProcess): void {
    if (this.#isExecuted(process)) this.#expected.set(process.id, 'executed')
    else if (this.isEnding(process)) this.#expected.set(process.id, 'with its job')
    else this.killed++
  }

  /** It may have run tasks before it became an actor, and own what these submitted: that goes with it. */
  #isExecuted({ actor, id, owner }: SimProcess): boolean {
    if (actor === null || !this.executed.has(actor.actorId)) return false
    const owned = [...owner.references.owned.keys()]
    return owned.every(seq => this.losses.puts.has(objectId(id, seq)))
  }

  endOf(process: WorkerId): ExpectedEnd | null {
    return this.#expected.get(process) ?? null
  }

  /** It was declared dead, and heard of it: it ends, and comes back as another. */
  fenced(node: SimNode, why: string): void {
    if (why.endsWith(DRAINED)) this.faulty(`drain: node ${node.nodeId} was drained, and comes back as another`)
    node.crash()
    this.agenda.after(this.random.around(20), () => this.join())
  }

  /** A number that no link has had. */
  nextEpoch(): number {
    return ++this.#epochs
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

  get isLossy(): boolean {
    return this.losses.vanished.size > 0
  }

  // Observed -----------------------------------------------------------------------------------------------------------

  *living(): Generator<SimProcess> {
    for (const { processes } of this.byId.values()) for (const { process } of processes.values()) yield process
  }

  process(id: WorkerId): SimProcess | undefined {
    return this.byId.get(nodeOf(id))?.processes.get(id)?.process
  }

  *nodes(): Generator<ObservedNode> {
    for (const node of this.byId.values()) if (node.life.alive) yield node
  }

  actors(): Iterable<Actor> {
    return this.head.machine.actors.all()
  }

  groups(): Iterable<ObservedGroup> {
    return this.head.machine.groups.rows() as ObservedGroup[]
  }

  named(name: string, namespace: string): string | null {
    return this.head.machine.actors.named(name, namespace)?.actorId ?? null
  }

  // --------------------------------------------------------------------------------------------------------------------

  check(machine: Pick<Machine<unknown, unknown>, 'invariants'>): void {
    machine.invariants()
  }

  #isGone(process: WorkerId): boolean {
    return this.process(process) === undefined || !this.head.machine.nodes.isAlive(nodeOf(process))
  }

  #wasOnDeadNode(actorId: string, incarnation: number): boolean {
    return [...this.byId.values()].some(
      node =>
        !this.head.machine.nodes.isAlive(node.nodeId) &&
        node.seats().some(seat => seat.actorId === actorId && seat.incarnation === incarnation),
    )
  }

  #drive(node: SimNode, seed: number): void {
    const { process, pulse } = node.host('driver', 1)
    const driver = new SimDriver(process, seed, this.settings.depth)
    this.drivers.push({ driver, node })
    pulse.driver = driver
    pulse.look()
  }
}
