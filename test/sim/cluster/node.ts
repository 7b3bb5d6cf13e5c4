// SPDX-License-Identifier: Apache-2.0
// One machine of the simulated cluster: its daemon's machines as they ship, its store, its processes, and rings between
// them.

import { Head } from '#lib/core/head/head.js'
import { Daemon, type DaemonEffect, type DaemonEvent } from '#lib/core/node/daemon.js'
import { Node } from '#lib/core/node/node.js'
import { toAmounts } from '#lib/core/resources.js'
import { nodeOf } from '#lib/ids.js'
import { type Control, type NodeId, PROTOCOL_VERSION, type WorkerId } from '#lib/wire/messages.js'
import { TOKEN } from '../../fakes/cluster.js'
import type { ObservedNode } from '../checkers/observed.js'
import type { Encoded, Frame, Surroundings } from '../frames.js'
import { SimProcess } from '../process.js'
import { Children, type Exit } from './children.js'
import type { SimCluster } from './cluster.js'
import { Life } from './life.js'
import { processIdOf } from './names.js'
import { Pipe } from './pipe.js'
import { Pulse } from './pulse.js'

/** A process of this node, with what makes it go. */
export interface Hosted {
  readonly process: SimProcess
  readonly life: Life
  readonly pulse: Pulse
}

type FromProcess = { from: WorkerId; frame: Frame }

export class SimNode implements Surroundings {
  /** The daemon, as processes address it. */
  readonly node: WorkerId
  readonly life: Life
  readonly daemon: Daemon
  readonly store = new Map<string, Encoded>()
  readonly processes = new Map<WorkerId, Hosted>()
  readonly total: Record<string, number>
  readonly children: Children
  readonly #pipes = new Map<string, Pipe<FromProcess>>()
  readonly #claims = new Map<string, Int32Array>()
  #nextSlot = 1
  #tickAt = Number.POSITIVE_INFINITY

  constructor(
    readonly cluster: SimCluster,
    readonly nodeId: NodeId,
  ) {
    const { settings } = cluster
    this.node = processIdOf(nodeId, 0)
    this.life = new Life(cluster.agenda, cluster.skew())
    this.total = { CPU: settings.cpus }
    const common = { nodeId }
    const options = {
      nodeIp: '127.0.0.1',
      sessionDir: '/s',
      token: TOKEN,
      total: toAmounts(this.total),
      gpuIds: [],
      labels: {},
      prestart: settings.cpus,
      environment: null,
      job: null,
      founded: false,
    }
    const place = { nodeId, address: '127.0.0.1', labels: {}, resources: () => this.daemon.node.resources() }
    const head = Head.embedded({ encodeError: error => new TextEncoder().encode(error.message) }, place)
    this.daemon = new Daemon(new Node({ ...common, ...options }), head)
    this.children = new Children(
      this.life,
      cluster.random,
      pid => this.host('worker', pid).process.id,
      exit => this.#exited(exit),
    )
    this.handle({ is: 'tick' })
    this.handle({ is: 'memory', totals: { usedBytes: 0, totalBytes: 1, where: 'the machine', kernelKills: 0 } })
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

  /** What a process has done may have made it ready for more. */
  #happened(process: SimProcess): void {
    this.processes.get(process.id)?.pulse.look()
    this.cluster.happened()
  }

  // Surroundings of its processes --------------------------------------------------------------------------------------

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
    this.#pipe(from, to).push({ from, frame })
    return true
  }

  drain(from: WorkerId, to: WorkerId): void {
    this.#pipes.get(from + to)?.drain()
    this.#pipes.delete(from + to)
  }

  chance(probability: number): boolean {
    return this.cluster.random.chance(probability)
  }

  leave(process: WorkerId): void {
    this.end(process, false)
  }

  get makesActors(): boolean {
    return this.cluster.settings.actors
  }

  get cancels(): boolean {
    return this.cluster.settings.cancels
  }

  faulty(what: string): void {
    this.cluster.faulty(what)
  }

  neverRuns(task: string): void {
    this.cluster.runs.never(task)
  }

  begins(task: string): void {
    this.cluster.runs.begins(task)
  }

  missing(what: string): void {
    this.cluster.missing(what)
  }

  /** Ids of what is in its store. */
  get stored(): ObservedNode['stored'] {
    return { has: id => this.store.has(id), [Symbol.iterator]: () => this.store.keys() }
  }

  // The daemon ---------------------------------------------------------------------------------------------------------

  handle(event: DaemonEvent): void {
    const out: DaemonEffect[] = []
    this.daemon.handle(event, this.life.now, out)
    this.cluster.check(this.daemon)
    for (const effect of out) this.#carryOut(effect)
    this.#tick()
    this.cluster.happened()
  }

  /** The process of that id is no more. */
  end(workerId: WorkerId, killed: boolean): void {
    const hosted = this.processes.get(workerId)
    if (hosted === undefined) return
    if (killed) this.cluster.killed++
    hosted.life.alive = false
    this.processes.delete(workerId)
    for (const [key, pipe] of this.#pipes) if (key.endsWith(workerId)) pipe.clear()
    this.children.ended(workerId, killed)
  }

  #carryOut(effect: DaemonEffect): void {
    if (effect.is === 'send') this.send(this.node, effect.to, { is: 'control', message: effect.message })
    else if (effect.is === 'spawn') this.handle({ is: 'spawned', key: effect.key, pid: this.children.spawn(effect.key) })
    else if (effect.is === 'kill') this.#kill(effect.key)
    else if (effect.is === 'end') this.faulty(`the session ended: ${effect.reason}`)
  }

  #kill(key: string): void {
    const workerId = this.children.kill(key)
    if (workerId !== null) this.end(workerId, true)
  }

  #exited({ key, workerId, killed }: Exit): void {
    if (workerId !== null) this.drain(workerId, this.node)
    const how = { exitCode: killed ? null : 0, signal: killed ? 'SIGKILL' : null, stderrTail: '', kernelKills: 0 }
    this.handle({ is: 'workerExited', key, ...how })
  }

  #tick(): void {
    const due = this.daemon.deadline()
    if (due === null || due >= this.#tickAt) return
    this.#tickAt = due
    this.life.at(due, () => {
      if (this.#tickAt !== due) return
      this.#tickAt = Number.POSITIVE_INFINITY
      this.handle({ is: 'tick' })
    })
  }

  // Rings --------------------------------------------------------------------------------------------------------------

  #pipe(from: WorkerId, to: WorkerId): Pipe<FromProcess> {
    let pipe = this.#pipes.get(from + to)
    if (pipe !== undefined) return pipe
    const life = to === this.node ? this.life : (this.processes.get(to) as Hosted).life
    const mean = this.cluster.settings.localDelay * this.cluster.random.pick([1, 1, 1, 50])
    pipe = new Pipe(
      life,
      () => this.cluster.random.around(mean),
      item => this.#arrived(to, item),
    )
    this.#pipes.set(from + to, pipe)
    return pipe
  }

  #arrived(to: WorkerId, { from, frame }: FromProcess): void {
    if (to === this.node) {
      if (frame.is === 'control') this.handle({ is: 'message', from, message: frame.message })
      return
    }
    const hosted = this.processes.get(to)
    if (hosted === undefined) return
    // Bad news is handled after everything that came before it, on whichever ring.
    const news: Control | null = frame.is === 'control' ? frame.message : null
    if (news?.is === 'workerDied') this.drain(news.workerId, to)
    hosted.process.receive(from, frame)
    this.#happened(hosted.process)
  }
}
