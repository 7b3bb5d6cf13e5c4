// SPDX-License-Identifier: Apache-2.0
// One node: its daemon's machines, a driver and workers, and channels that keep their order and nothing else. Everything
// that can happen next is a candidate, and the seed picks; so a seed is one course of events, and gives it again.

import type { Actor } from '#lib/core/head/actor.js'
import { Head } from '#lib/core/head/head.js'
import { Daemon, type DaemonEffect, type DaemonEvent } from '#lib/core/node/daemon.js'
import { Node } from '#lib/core/node/node.js'
import { toAmounts } from '#lib/core/resources.js'
import { objectId } from '#lib/ids.js'
import { Orphans } from '#lib/run/orphans.js'
import { type ActorStart, type Control, PROTOCOL_VERSION, type WorkerId } from '#lib/wire/messages.js'
import { jobOf, NODE_ID, TOKEN, workerIdOf } from '../fakes/cluster.js'
import { Executions } from './checkers/executions.js'
import { failureProblem } from './checkers/failures.js'
import { Incarnations } from './checkers/incarnations.js'
import type { Observed, ObservedNode } from './checkers/observed.js'
import { SimDriver } from './driver.js'
import { encodeError } from './errors.js'
import type { CallFrame, Frame, Surroundings, TaskFrame } from './frames.js'
import { ObjectStore, sizeOf } from './object-store.js'
import { SimProcess } from './process.js'
import { Random } from './random.js'

export interface Faults {
  /** Workers that may be killed. */
  kills: number
  cpus: number
  /** Whether bodies cancel what they have submitted. */
  cancels: boolean
  /** Whether bodies make actors, and whether some of these restart. */
  actors: boolean
  restarts: boolean
}

interface Channel {
  from: WorkerId
  to: WorkerId
  frames: Frame[]
  /** Some channels are much slower than others. */
  weight: number
}

export class World implements Surroundings, Observed {
  now = 0
  readonly node = workerIdOf(0)
  readonly store = new ObjectStore()
  readonly isAlone = true
  readonly watch = null
  readonly processes = new Map<WorkerId, SimProcess>()
  readonly daemon: Daemon
  readonly driver: SimDriver
  readonly total: Record<string, number>
  /** What must not have happened, as words. */
  readonly faults: string[] = []
  readonly #executions = new Executions(this.faults)
  readonly #incarnations = new Incarnations(this.faults, process => !this.processes.has(process))
  killed = 0
  readonly isSwept = false
  readonly isLossy = false
  #murders = 0
  /** Tasks that were cancelled before they began. */
  readonly #neverRun = new Set<string>()
  #kernelKills = 0
  readonly #memory: Random
  readonly retries: boolean
  /** How readily things happen; in each course of events some of them are slow. */
  readonly pace: { flush: number; run: number; collect: number }
  readonly #random: Random
  readonly #channels = new Map<string, Channel>()
  readonly #claims = new Map<string, Int32Array>()
  readonly #starting = new Map<string, number>()
  readonly #keys = new Map<WorkerId, string>()
  /** Children that ended, by key, and whether by themselves. */
  readonly #ended = new Map<string, { workerId: WorkerId | null; killed: boolean }>()
  #next = 1
  readonly #orphans: Orphans

  constructor(
    readonly seed: number,
    depth: number,
    readonly options: Faults,
  ) {
    this.#random = new Random(seed ^ 0x5eed)
    this.#memory = new Random(seed ^ 0x3e3)
    this.retries = new Random(seed ^ 0x4e7).chance(0.3)
    const speed = () => this.#random.pick([3, 1, 1, 0.05])
    this.pace = { flush: speed(), run: speed(), collect: speed() }
    this.total = { CPU: options.cpus }
    const common = { nodeId: NODE_ID }
    const node = {
      nodeIp: '127.0.0.1',
      sessionDir: '/s',
      token: TOKEN,
      total: toAmounts(this.total),
      gpuIds: [],
      labels: {},
      prestart: options.cpus,
      environment: null,
      job: jobOf(workerIdOf(1)),
      founded: true,
    }
    const place = { nodeId: NODE_ID, address: '127.0.0.1', labels: {}, resources: () => this.daemon.node.resources() }
    const head = Head.embedded({ encodeError: encodeError }, place)
    this.daemon = new Daemon(new Node({ ...common, ...node }), head)
    this.#orphans = new Orphans({
      self: this.node,
      nodeId: NODE_ID,
      contains: id => this.store.has(id),
      sealed: () => [...this.store.ids()].map((id): [string, number] => [id, sizeOf(id)]),
      remove: id => this.store.delete(id),
      promote: id => this.store.promote(id),
      living: () => new Set(this.processes.keys()),
      processes: () => [...this.daemon.node.processes()],
      isAlone: true,
      others: () => [],
      send: (to, message) => void this.send(this.node, to, { is: 'control', message }),
      sendToNode: () => {},
      answered: () => {},
      now: () => this.now,
      later: () => {},
      encodeError: encodeError,
    })
    this.#daemon({ is: 'tick' })
    this.#daemon({ is: 'memory', totals: { usedBytes: 0, totalBytes: 1, where: 'the machine', kernelKills: 0 } })
    this.driver = new SimDriver(this.#hello(true), seed, depth)
  }

  // Surroundings -------------------------------------------------------------------------------------------------------

  claims(from: WorkerId, to: WorkerId): Int32Array {
    let words = this.#claims.get(from + to)
    if (words === undefined) this.#claims.set(from + to, (words = new Int32Array(256)))
    return words
  }

  alive(process: WorkerId): boolean {
    return this.processes.has(process)
  }

  send(from: WorkerId, to: WorkerId, frame: Frame): boolean {
    if (to !== this.node && !this.alive(to)) return false
    const key = from + to
    const channel = this.#channels.get(key)
    if (channel === undefined) this.#channels.set(key, { from, to, frames: [frame], weight: this.#random.pick([1, 1, 1, 0.02]) })
    else channel.frames.push(frame)
    return true
  }

  drain(from: WorkerId, to: WorkerId): void {
    const channel = this.#channels.get(from + to)
    while (channel !== undefined && channel.frames.length > 0) this.#deliver(channel)
    this.#channels.delete(from + to)
  }

  chance(probability: number): boolean {
    return this.#random.chance(probability)
  }

  /** No store is ever full here. */
  later(): void {}

  leave(process: WorkerId): void {
    this.#end(process, false)
  }

  get makesActors(): boolean {
    return this.options.actors
  }

  get restarts(): boolean {
    return this.options.restarts
  }

  readonly actorsStore = false
  readonly legacies = false

  kills(): void {}

  endOf(): null {
    return null
  }

  isEnding(): boolean {
    return false
  }

  actorStarts(process: WorkerId, start: ActorStart): void {
    this.#incarnations.starts(process, start)
  }

  callRuns(caller: WorkerId, { task, retries }: CallFrame): void {
    this.#executions.runs(caller, task, retries)
  }

  faulty(what: string): void {
    this.faults.push(what)
  }

  get cancels(): boolean {
    return this.options.cancels
  }

  neverRuns(task: string): void {
    this.#neverRun.add(task)
  }

  begins(caller: WorkerId, { task, retries }: TaskFrame): void {
    const id = objectId(caller, task)
    if (this.#neverRun.has(id)) this.faults.push(`the task ${id} ran after it was cancelled`)
    // Those that the kernel ended are run again beyond that.
    if (this.#kernelKills === 0) this.#executions.runs(caller, task, retries)
  }

  missing(what: string): void {
    // A ref on its way through a process that is killed may come too late; otherwise nothing may be missing.
    if (this.killed === 0) this.faults.push(`${what} is missing`)
  }

  isPut(): void {}

  failed(text: string): void {
    const problem = failureProblem(text, {
      killed: this.killed > 0,
      cancels: this.options.cancels,
      full: false,
      groups: false,
      lost: false,
      lostPuts: false,
    })
    if (problem !== null) this.faults.push(problem)
  }

  // Observed -----------------------------------------------------------------------------------------------------------

  living(): Iterable<SimProcess> {
    return this.processes.values()
  }

  process(id: WorkerId): SimProcess | undefined {
    return this.processes.get(id)
  }

  nodes(): Iterable<ObservedNode> {
    return [
      {
        name: 'the node',
        machine: this.daemon.node,
        total: this.total,
        storedAt: id => (this.store.has(id) ? 0 : null),
        stored: { has: id => this.store.has(id), [Symbol.iterator]: () => this.store.ids()[Symbol.iterator]() },
      },
    ]
  }

  actors(): Iterable<Actor> {
    return this.daemon.head.actors.all()
  }

  groups(): [] {
    return []
  }

  named(name: string, namespace: string): string | null {
    return this.daemon.head.actors.named(name, namespace)?.actorId ?? null
  }

  // Steps --------------------------------------------------------------------------------------------------------------

  /** One thing happens; false when nothing can but time passing. */
  step(): boolean {
    this.now += this.#random.next()
    const { pace } = this
    const doable: { weight: number; go: () => void }[] = []
    const can = (weight: number, go: () => void) => doable.push({ weight, go })
    for (const channel of this.#channels.values()) if (channel.frames.length > 0) can(channel.weight, () => this.#deliver(channel))
    for (const process of this.processes.values()) {
      const { executor, garbage } = process
      if (process.dirty) can(pace.flush, () => process.act({ is: 'flush' }))
      if (process.badNews.length > 0) can(1, () => process.hearBadNews())
      if (process.actor?.runnable) can(pace.run, () => process.actor?.step())
      if (executor.runnable) can(pace.run, () => executor.step())
      if (garbage.length > 0) can(pace.collect, () => process.collect(this.#random.int(garbage.length)))
      const due = process.owner.deadline()
      if (due !== null && due <= this.now) can(1, () => process.act({ is: 'tick' }))
    }
    if (this.driver.runnable) can(pace.run, () => this.driver.step())
    for (const key of this.#starting.keys()) can(1, () => this.#start(key))
    for (const key of this.#ended.keys()) can(1, () => this.#exited(key))
    const due = this.daemon.deadline()
    if (due !== null && due <= this.now) can(1, () => this.#daemon({ is: 'tick' }))
    if (doable.length === 0) return false
    if (this.#murders < this.options.kills && this.chance(0.01)) this.#kill()
    else this.#random.weighted(doable).go()
    for (const process of [...this.processes.values()]) process.settle()
    return true
  }

  /** Goes to the next time that something is due; false when nothing ever is. */
  skip(): boolean {
    let next = this.daemon.deadline()
    for (const { owner } of this.processes.values()) {
      const due = owner.deadline()
      if (due !== null && (next === null || due < next)) next = due
    }
    if (next === null) return false
    this.now = Math.max(this.now, next)
    return true
  }

  get inFlight(): number {
    let count = 0
    for (const { frames } of this.#channels.values()) count += frames.length
    return count
  }

  #deliver(channel: Channel): void {
    const frame = channel.frames.shift() as Frame
    if (channel.to === this.node) {
      if (frame.is === 'control' && !this.#orphans.heard(channel.from, frame.message))
        this.#daemon({ is: 'message', from: channel.from, message: frame.message })
      return
    }
    const process = this.processes.get(channel.to)
    if (process === undefined) return
    // Bad news is handled after everything that came before it, on whichever channel.
    if (frame.is === 'control' && frame.message.is === 'workerDied') this.drain(frame.message.workerId, channel.to)
    process.receive(channel.from, frame)
  }

  #daemon(event: DaemonEvent): void {
    const out: DaemonEffect[] = []
    this.daemon.handle(event, this.now, out)
    this.daemon.invariants()
    for (const effect of out) {
      if (effect.is === 'send') this.send(this.node, effect.to, { is: 'control', message: effect.message })
      else if (effect.is === 'spawn') {
        this.#starting.set(effect.key, 1000 + this.#next)
        this.#daemon({ is: 'spawned', key: effect.key, pid: 1000 + this.#next++ })
      } else if (effect.is === 'kill') this.#killChild(effect.key)
      else if (effect.is === 'processGone') this.#orphans.died(effect.workerId)
      else if (effect.is === 'reap') this.#orphans.reaped()
      else if (effect.is === 'end') this.faults.push(`the session ended: ${effect.reason}`)
    }
  }

  #hello(isDriver: boolean): SimProcess {
    const process = new SimProcess(this, workerIdOf(this.#next), isDriver)
    this.processes.set(process.id, process)
    const hello: Control = {
      is: 'hello',
      protocol: PROTOCOL_VERSION,
      workerId: process.id,
      pid: this.#next++,
      kind: isDriver ? 'driver' : 'worker',
      token: TOKEN,
      job: isDriver ? jobOf(process.id) : null,
    }
    process.control(this.node, hello)
    return process
  }

  #start(key: string): void {
    const pid = this.#starting.get(key) as number
    this.#starting.delete(key)
    const process = new SimProcess(this, workerIdOf(this.#next++), false)
    this.processes.set(process.id, process)
    this.#keys.set(process.id, key)
    process.control(this.node, {
      is: 'hello',
      protocol: PROTOCOL_VERSION,
      workerId: process.id,
      pid,
      kind: 'worker',
      token: TOKEN,
      job: null,
    })
  }

  #kill(): void {
    const workers = [...this.processes.values()].filter(process => !process.isDriver)
    if (workers.length === 0) return
    this.#murders++
    // Some of them by the kernel, for lack of memory.
    if (this.#memory.chance(0.3)) this.#kernelKills++
    this.#end(this.#random.pick(workers).id, true)
  }

  #killChild(key: string): void {
    const worker = [...this.#keys].find(([, each]) => each === key)
    if (worker !== undefined) this.#end(worker[0], true)
    else if (this.#starting.delete(key)) this.#ended.set(key, { workerId: null, killed: true })
  }

  #end(workerId: WorkerId, killed: boolean): void {
    const key = this.#keys.get(workerId)
    if (key === undefined) return
    if (killed) this.killed++
    this.#keys.delete(workerId)
    this.processes.delete(workerId)
    for (const channel of this.#channels.values()) if (channel.to === workerId) channel.frames.length = 0
    this.#ended.set(key, { workerId, killed })
  }

  #exited(key: string): void {
    const { workerId, killed } = this.#ended.get(key) as { workerId: WorkerId | null; killed: boolean }
    this.#ended.delete(key)
    if (workerId !== null) this.drain(workerId, this.node)
    const exitCode = killed ? null : 0
    this.#daemon({ is: 'workerExited', key, exitCode, signal: killed ? 'SIGKILL' : null, stderrTail: '', kernelKills: this.#kernelKills })
  }
}
