// SPDX-License-Identifier: Apache-2.0
// One machine of the simulated cluster: its daemon's machines as they ship, its store, its processes, rings between them,
// and its links.

import { Member, type MemberEffect, type MemberEvent } from '#lib/core/node/member.js'
import { Node } from '#lib/core/node/node.js'
import { toAmounts } from '#lib/core/resources.js'
import { HEAD_ID, nodeOf, objectId } from '#lib/ids.js'
import { Orphans, type OrphansHost } from '#lib/run/orphans.js'
import {
  type ActorSeat,
  type ActorStart,
  type Control,
  type NodeDied,
  type NodeId,
  PROTOCOL_VERSION,
  type View,
  type WorkerId,
} from '#lib/wire/messages.js'
import { TOKEN } from '../../fakes/cluster.js'
import { checkPlace, checkSeat } from '../checkers/groups.js'
import type { ObservedNode } from '../checkers/observed.js'
import { encodeError } from '../errors.js'
import type { CallFrame, Frame, Surroundings, TaskFrame } from '../frames.js'
import { ObjectStore, sizeOf } from '../object-store.js'
import { SimProcess } from '../process.js'
import { Children, type Exit } from './children.js'
import type { SimCluster } from './cluster.js'
import { Life } from './life.js'
import { processIdOf } from './names.js'
import { Pulse } from './pulse.js'
import { HEAD_NODE, type RelayHost, SimRelay } from './relay.js'
import { Rings } from './rings.js'
import { SimTransfer } from './transfer.js'
import type { ObjectWatch } from './watch.js'

/** A process of this node, with what makes it go. */
export interface Hosted {
  readonly process: SimProcess
  readonly life: Life
  readonly pulse: Pulse
}

export class SimNode implements Surroundings, RelayHost {
  /** The daemon, as processes address it. */
  readonly node: WorkerId
  readonly life: Life
  readonly member: Member
  readonly relay: SimRelay
  readonly store: ObjectStore
  readonly isAlone = false
  readonly watch: ObjectWatch
  readonly transfer: SimTransfer
  readonly processes = new Map<WorkerId, Hosted>()
  readonly total: Record<string, number>
  /** Ids of what is in its store. */
  readonly stored: ObservedNode['stored'] = { has: id => this.store.has(id), [Symbol.iterator]: () => this.store.ids()[Symbol.iterator]() }
  readonly #children: Children
  readonly #rings: Rings
  readonly #claims = new Map<string, Int32Array>()
  readonly orphans: Orphans
  /** By chance, and the daemon has not heard of it. */
  readonly #killed = new Set<WorkerId>()
  #nextSlot = 1
  #tickAt = Number.POSITIVE_INFINITY

  constructor(
    readonly cluster: SimCluster,
    readonly nodeId: NodeId,
  ) {
    const { settings, random } = cluster
    this.node = processIdOf(nodeId, 0)
    const { agenda, moves } = cluster
    this.watch = cluster.watch
    this.store = new ObjectStore(
      settings.storeCapacity,
      id => moves.dropped(nodeId, id),
      () => agenda.now,
    )
    this.orphans = new Orphans(this.#orphansHost())
    this.transfer = new SimTransfer(this)
    this.life = new Life(cluster.agenda, cluster.skew())
    this.total = { CPU: settings.cpus }
    this.member = this.#member()
    this.#children = new Children(
      this.life,
      random,
      pid => this.host('worker', pid).process.id,
      exit => this.#exited(exit),
    )
    this.#rings = new Rings(
      random,
      settings.localDelay,
      id => (id === this.node ? this.life : this.processes.get(id)?.life),
      (from, to, frame) => this.#arrived(from, to, frame),
    )
    this.relay = new SimRelay(cluster, this)
    this.handle({ is: 'tick' })
    this.handle({ is: 'memory', totals: { usedBytes: 0, totalBytes: 1, where: 'the machine', kernelKills: 0 } })
    this.relay.links.open(HEAD_NODE)
  }

  #orphansHost(): OrphansHost {
    return {
      self: this.node,
      nodeId: this.nodeId,
      contains: id => this.store.has(id),
      sealed: () => [...this.store.ids()].map((id): [string, number] => [id, sizeOf(id)]),
      remove: id => this.store.delete(id),
      promote: id => this.store.promote(id),
      living: () => new Set(this.processes.keys()),
      processes: () => [...this.member.node.processes()],
      isAlone: false,
      others: () => this.transfer.others(),
      send: (to, message) => void this.send(this.node, to, { is: 'control', message }),
      sendToNode: (nodeId, message) => void this.relay.toNode(nodeId, message),
      answered: id => void this.transfer.sought(id),
      now: () => this.life.now,
      later: (ms, then) => this.life.at(this.life.now + ms, then),
      encodeError: encodeError,
    }
  }

  #member(): Member {
    const { nodeId, total, node: daemonId } = this
    const { cpus } = this.cluster.settings
    const node = new Node({
      nodeId,
      nodeIp: '127.0.0.1',
      sessionDir: '/s',
      token: TOKEN,
      total: toAmounts(total),
      gpuIds: [],
      labels: {},
      prestart: cpus,
      environment: null,
      job: null,
      founded: false,
    })
    const view = { nodeId, daemonId, hostname: nodeId, address: `tcp://${nodeId}:1`, dataAddress: '', labels: {}, gpuIds: [] }
    return new Member(node, {
      node: { ...view, total: toAmounts(total) },
      encodeError: encodeError,
    })
  }

  /** A process comes up on this node and says hello. */
  host(kind: 'driver' | 'worker', pid: number): Hosted {
    const process = new SimProcess(this, processIdOf(this.nodeId, this.#nextSlot++), kind === 'driver')
    const life = new Life(this.cluster.agenda, this.life.skew)
    const pulse = new Pulse(process, life, this.cluster.random, this.cluster.settings.pace, each => this.#happened(each))
    const hosted = { process, life, pulse }
    this.processes.set(process.id, hosted)
    const { id: workerId, job } = process
    process.control(this.node, { is: 'hello', protocol: PROTOCOL_VERSION, workerId, pid, kind, token: TOKEN, job })
    pulse.look()
    return hosted
  }

  /** The machine is no more, with all that runs on it. */
  crash(): void {
    this.cluster.killed += this.processes.size
    for (const { actorId, incarnation } of this.seats()) this.cluster.restarts.died(actorId, incarnation, false)
    this.vanish()
  }

  /** As `crash`, and nobody minds. */
  vanish(): void {
    for (const { life } of this.processes.values()) life.alive = false
    this.cluster.ended(this.nodeId)
    this.processes.clear()
    this.life.alive = false
    this.cluster.network.detach(this.nodeId, this.relay.links, true)
  }

  /** Actors that have a process here. */
  seats(): ActorSeat[] {
    return this.member.node.lives().actors
  }

  /** The process of that id is no more: it was killed, or ended by its daemon, or left. */
  end(workerId: WorkerId, how: 'killed' | 'decreed' | 'left'): void {
    const hosted = this.processes.get(workerId)
    if (hosted === undefined) return
    const killed = how !== 'left'
    // With its job, which is over.
    if (how === 'killed') this.cluster.killed++
    else if (how === 'decreed') this.cluster.decreed(hosted.process)
    if (killed) this.#died(workerId, how === 'decreed')
    if (how === 'killed') this.#killed.add(workerId)
    if (killed) this.cluster.ended(workerId)
    hosted.life.alive = false
    this.processes.delete(workerId)
    this.#rings.end(workerId)
    this.#children.ended(workerId, killed)
  }

  /** The actor that has its process there, if one has. */
  #died(workerId: WorkerId, decreed: boolean): void {
    const seat = this.seats().find(each => each.workerId === workerId)
    if (seat !== undefined) this.cluster.restarts.died(seat.actorId, seat.incarnation, decreed)
  }

  /** A driver ends without a word: its daemon finds that out a while later. */
  close(workerId: WorkerId): void {
    const hosted = this.processes.get(workerId)
    if (hosted === undefined) return
    this.cluster.jobEnds(hosted.process)
    hosted.life.alive = false
    this.processes.delete(workerId)
    this.#rings.end(workerId)
    this.life.after(this.cluster.random.around(20), () => {
      this.drain(workerId, this.node)
      this.handle({ is: 'peerClosed', workerId, reason: 'its process ended' })
    })
  }

  /** What a process has done may have made it ready for more. */
  #happened(process: SimProcess): void {
    this.processes.get(process.id)?.pulse.look()
  }

  // Surroundings of its processes --------------------------------------------------------------------------------------

  get name(): string {
    return this.nodeId
  }

  storedAt(id: string): number | null {
    return this.store.since(id)
  }

  get machine(): Node {
    return this.member.node
  }

  get now(): number {
    return this.life.now
  }

  claims(from: WorkerId, to: WorkerId): Int32Array {
    let words = this.#claims.get(from + to)
    if (words === undefined) this.#claims.set(from + to, (words = new Int32Array(256)))
    return words
  }

  /** Of a process elsewhere nobody here knows. */
  alive(process: WorkerId): boolean {
    return nodeOf(process) !== this.nodeId || this.processes.has(process)
  }

  send(from: WorkerId, to: WorkerId, frame: Frame): boolean {
    if (to !== this.node && !this.alive(to)) return false
    if (nodeOf(to) === this.nodeId) this.#rings.push(from, to, { from, to, frame })
    else if (from === this.node) this.relay.forward({ is: 'route', from, to, frame })
    else this.#rings.push(from, this.node, { from, to, frame })
    return true
  }

  drain(from: WorkerId, to: WorkerId): void {
    this.#rings.drain(from, to)
  }

  chance(probability: number): boolean {
    return this.cluster.random.chance(probability)
  }

  later(process: WorkerId, ms: number, then: () => void): void {
    const hosted = this.processes.get(process)
    hosted?.life.after(ms, () => {
      then()
      this.#happened(hosted.process)
    })
  }

  leave(process: WorkerId): void {
    this.end(process, 'left')
  }

  get makesActors(): boolean {
    return this.cluster.settings.actors
  }

  get cancels(): boolean {
    return this.cluster.settings.cancels
  }

  get restarts(): boolean {
    return this.cluster.settings.restarts
  }

  get retries(): boolean {
    return this.cluster.settings.retries
  }

  get legacies(): boolean {
    return this.cluster.settings.legacies
  }

  kills(actorId: string): void {
    this.cluster.executed.add(actorId)
  }

  get actorsStore(): boolean {
    return this.cluster.settings.actorsStore
  }

  isEnding(process: SimProcess): boolean {
    return this.cluster.isEnding(process)
  }

  actorStarts(process: WorkerId, start: ActorStart): void {
    this.cluster.incarnations.starts(process, start)
    this.cluster.restarts.starts(start)
    const problem = checkSeat(this.cluster, this, start)
    if (problem !== null) this.faulty(problem)
  }

  callRuns(caller: WorkerId, { task, retries }: CallFrame): void {
    this.cluster.executions.runs(caller, task, retries)
  }

  faulty(what: string): void {
    this.cluster.faulty(what)
  }

  neverRuns(task: string): void {
    this.cluster.runs.never(task)
  }

  begins(caller: WorkerId, { task, retries, group }: TaskFrame, process: WorkerId): void {
    const problem = checkPlace(this, process, group)
    if (problem !== null) this.faulty(problem)
    this.cluster.runs.begins(objectId(caller, task))
    this.cluster.executions.runs(caller, task, retries)
    this.cluster.hounds.begins(objectId(caller, task), retries, () => this.end(process, 'killed'))
  }

  isPut(id: string): void {
    this.cluster.losses.puts.add(id)
  }

  failed(text: string, process: SimProcess): void {
    if (!this.cluster.isEnding(process)) this.cluster.losses.failed(text)
  }

  missing(what: string): void {
    this.cluster.missing(what)
  }

  // Between rings and links --------------------------------------------------------------------------------------------

  lives(process: WorkerId): boolean {
    return this.processes.has(process)
  }

  toProcess(from: WorkerId, to: WorkerId, frame: Frame): void {
    this.#rings.push(this.node, to, { from, to, frame })
  }

  toAll(message: Control): void {
    for (const id of this.processes.keys()) this.toProcess(this.node, id, { is: 'control', message })
  }

  toDaemon(from: WorkerId, message: Control): void {
    if (from === HEAD_ID) return this.handle({ is: 'fromHead', message })
    if (this.orphans.heard(from, message) || this.transfer.heard(from, message)) return
    this.handle({ is: 'message', from, message })
  }

  linked(peer: NodeId, up: boolean): void {
    if (peer === HEAD_NODE) this.handle({ is: up ? 'headUp' : 'headDown' })
  }

  restarted(peer: NodeId): void {
    if (peer === HEAD_NODE) this.handle({ is: 'headRestarted' })
  }

  // The daemon ---------------------------------------------------------------------------------------------------------

  handle(event: MemberEvent): void {
    const out: MemberEffect[] = []
    this.member.handle(event, this.life.now, out)
    this.cluster.check(this.member)
    for (const effect of out) if (this.life.alive) this.#carryOut(effect)
    this.#tick()
  }

  #carryOut(effect: MemberEffect): void {
    if (effect.is === 'send') this.send(this.node, effect.to, { is: 'control', message: effect.message })
    else if (effect.is === 'sendHead') this.relay.toNode(HEAD_NODE, effect.message)
    else if (effect.is === 'spawn') this.handle({ is: 'spawned', key: effect.key, pid: this.#children.spawn(effect.key) })
    else if (effect.is === 'kill') this.#kill(effect.key)
    else if (effect.is === 'processGone') {
      this.orphans.died(effect.workerId)
      this.relay.processDied(effect.workerId, effect.death)
    } else if (effect.is === 'reap') this.#reap(effect.workerId)
    else if (effect.is === 'end') this.cluster.leaves(this, effect.reason)
    // It hears so, and ends.
    else if (effect.is === 'jobOver') this.life.after(this.cluster.random.around(5), () => this.close(effect.driver))
    else if (effect.is === 'fenced') this.cluster.fenced(this, effect.why)
    else if (effect.is === 'cluster') this.#overheard(effect.message)
  }

  #overheard(message: View | NodeDied): void {
    this.orphans.heard(HEAD_ID, message)
    this.transfer.heard(HEAD_ID, message)
    if (message.is === 'view') this.orphans.met()
    if (message.is === 'nodeDied') this.relay.nodeDied(message.nodeId, message.why)
  }

  #reap(workerId: WorkerId | null): void {
    if (workerId === null) return
    this.orphans.reaped()
    this.transfer.workerDied(workerId)
  }

  #kill(key: string): void {
    const workerId = this.#children.kill(key)
    if (workerId !== null) this.end(workerId, 'decreed')
  }

  #exited({ key, workerId, killed }: Exit): void {
    if (workerId !== null) this.drain(workerId, this.node)
    // It may have got an actor since it was dead.
    if (workerId !== null && this.#killed.delete(workerId)) this.#died(workerId, false)
    const how = { exitCode: killed ? null : 0, signal: killed ? 'SIGKILL' : null, stderrTail: '', kernelKills: 0 }
    this.handle({ is: 'workerExited', key, ...how })
  }

  #tick(): void {
    const due = this.member.deadline()
    if (due === null || due >= this.#tickAt) return
    this.#tickAt = due
    this.life.at(due, () => {
      if (this.#tickAt !== due) return
      this.#tickAt = Number.POSITIVE_INFINITY
      this.handle({ is: 'tick' })
    })
  }

  #arrived(from: WorkerId, to: WorkerId, frame: Frame): void {
    if (to === this.node) {
      if (frame.is === 'control') this.toDaemon(from, frame.message)
    } else if (nodeOf(to) !== this.nodeId) this.relay.forward({ is: 'route', from, to, frame })
    else {
      const hosted = this.processes.get(to)
      if (hosted === undefined) return
      // Bad news is handled after everything that came before it, on whichever ring.
      const news: Control | null = frame.is === 'control' ? frame.message : null
      if (news?.is === 'workerDied') this.drain(news.workerId, to)
      if (news?.is === 'refused') return this.close(to)
      if (news?.is === 'actorState') this.cluster.visits.detached.told(news.view)
      hosted.process.receive(from, frame)
      this.#happened(hosted.process)
    }
  }
}
