// SPDX-License-Identifier: Apache-2.0
// The node daemon's shell: brings messages, exits of children and time to the machines, and carries out what they ask.

import { encodeError } from '../codec/error-value.js'
import type { Millis } from '../core/machine.js'
import type { Daemon } from '../core/node/daemon.js'
import type { Member, MemberEffect, MemberEvent } from '../core/node/member.js'
import type { Node } from '../core/node/node.js'
import { HEAD_ID, nodeOf, ownerOf, slotOf } from '../ids.js'
import { Mesh, type MeshListener, type Peer } from '../io/mesh.js'
import type { Command, Exit, Processes, Stream } from '../io/processes.js'
import type { NativeStore } from '../native.js'
import { limits } from '../options.js'
import type { Control, Environment, JobSpec, WorkerId } from '../wire/messages.js'
import type { ClusterEntry } from './cluster-entry.js'
import type { Place } from './daemon-settings.js'
import type { EnvironmentSetup, Running } from './environment-setup.js'
import type { Membership } from './membership.js'
import type { MemoryGauge } from './memory-gauge.js'
import { Orphans, type OrphansHost } from './orphans.js'
import type { Relay } from './relay.js'
import { SetupFailure } from './setup-failure.js'
import { Transfer } from './transfer.js'
import { WorkerOutput } from './worker-output.js'

/** How long the last output of killed workers is waited for at the end (ms). */
const LAST_OUTPUT_MS = 500

/** A node with its head in it, or one of a cluster. */
interface NodeMachine {
  readonly node: Node
  handle(event: MemberEvent, now: Millis, out: MemberEffect[]): void
  deadline(): Millis | null
}

export interface ShellOptions {
  store: NativeStore
  daemon: Daemon | Member
  logsDir: string
  /** What starts the worker of that key, in an environment that is set up at `place`. */
  command: (key: string, environment: Environment | null, job: JobSpec | null, place: Place) => Command
  environments: (start: (command: Command) => Running) => EnvironmentSetup
  processes: (shell: NodeShell) => Processes
  memory: MemoryGauge
  /** Null where this is the only node. */
  cluster: ClusterEntry | null
  /** The driver's end is heard otherwise. */
  founded: boolean
  /** Called once, when nothing of the session runs any more. `isFenced`: because its cluster has given it up. */
  onEnd: (reason: string, isFenced: boolean) => void
}

export class NodeShell implements MeshListener {
  readonly #store: NativeStore
  readonly #daemon: NodeMachine
  readonly #mesh: Mesh
  readonly #options: ShellOptions
  readonly #relay: Relay | null
  readonly #membership: Membership | null
  #isFenced = false
  readonly #processes: Processes
  readonly #output: WorkerOutput
  readonly #transfer: Transfer
  readonly #orphans: Orphans
  readonly #queue: MemberEvent[] = []
  readonly #environments: EnvironmentSetup
  /** Children that install packages, and who waits for their end. */
  readonly #installing = new Map<string, (exit: Exit) => void>()
  #installs = 0
  /** Of the children that have not ended. */
  readonly #keys = new Set<string>()
  #handling = false
  #timer: NodeJS.Timeout | null = null
  #timerAt = Number.POSITIVE_INFINITY
  #ending: string | null = null
  #isOver = false
  #memoryTimer: NodeJS.Timeout | null = null

  constructor(options: ShellOptions) {
    this.#options = options
    this.#store = options.store
    this.#daemon = options.daemon
    // A daemon decides seldom and never spins: the cores are for those who work.
    this.#mesh = new Mesh(options.store, this, 0)
    this.#mesh.ref()
    this.#membership = options.cluster === null ? null : this.#join(options.cluster)
    this.#relay = options.cluster?.links.relay ?? null
    this.#transfer = new Transfer({
      store: options.store,
      send: (to, message) => this.#mesh.send(to, message),
      sendToNode: (nodeId, message) => this.#relay?.sendToNode(nodeId, message),
      isOrphan: id => this.#orphans.locate(id) !== null,
      seek: id => this.#orphans.seek(id),
      unseek: id => this.#orphans.unseek(id),
      arrived: id => this.#orphans.arrived(id),
      collect: () => {
        for (const peer of this.#mesh.peers()) if (peer.route === null) this.#mesh.sendTo(peer, { is: 'collect' })
      },
    })
    if (options.cluster !== null) this.#transfer.attach(options.cluster.links.data)
    this.#orphans = new Orphans(this.#orphansHost())
    this.#processes = options.processes(this)
    this.#environments = options.environments(command => this.#install(command))
    const describe = (key: string) => {
      const { node } = this.#daemon
      return { workerId: node.workerIdOf(key) ?? '', name: node.nameOf(key), driver: node.driverOf(key) }
    }
    this.#output = new WorkerOutput(options.logsDir, describe, (driver, message) => void this.#mesh.send(driver, message))
  }

  #join(entry: ClusterEntry): Membership {
    const { links } = entry
    const membership = entry.membership({
      handle: event => this.#handle(event),
      heard: (from, message) => this.#heard(from, message),
      overheard: message => {
        this.#orphans.heard(HEAD_ID, message)
        this.#transfer.heard(HEAD_ID, message)
        if (message.is === 'view') this.#orphans.met()
      },
      arm: () => this.#arm(),
      fenced: why => {
        this.#isFenced = true
        this.end(`the cluster has given this node up: ${why}`)
      },
    })
    links.relay.attach(this.#mesh, links.transport, membership.relayHooks())
    return membership
  }

  #orphansHost(): OrphansHost {
    const [store, node] = [this.#store, () => this.#daemon.node]
    return {
      self: store.workerId,
      nodeId: nodeOf(store.workerId),
      contains: id => store.contains(id),
      sealed: () => store.list().flatMap(({ id, sizeBytes, state }): [string, number][] => (state === 'sealed' ? [[id, sizeBytes]] : [])),
      remove: id => void store.delete(id),
      promote: id => void store.promote(id),
      living: () => new Set(this.#living().keys()),
      processes: () => [...node().processes()],
      isAlone: this.#options.cluster === null,
      others: () => this.#transfer.others(),
      send: (to, message) => void this.#mesh.send(to, message),
      sendToNode: (nodeId, message) => void this.#relay?.sendToNode(nodeId, message),
      answered: id => void this.#transfer.sought(id),
      now: () => performance.now(),
      later: (ms, then) => {
        setTimeout(() => this.#ending ?? then(), ms).unref()
      },
      encodeError,
    }
  }

  start(): void {
    this.#handle({ is: 'tick' })
    this.#membership?.start()
    this.#checkMemory()
    this.#memoryTimer = setInterval(() => this.#checkMemory(), limits.memoryCheckMs)
  }

  /** Ends the session: kills every worker, passes on their last output, then calls `onEnd`. */
  end(reason: string): void {
    if (this.#ending !== null) return
    this.#membership?.sayGoodbye(reason)
    const last = { is: 'nodeEnds', why: reason, comesAgain: this.#isFenced } as const
    for (const driver of this.#daemon.node.drivers()) this.#mesh.send(driver, last)
    this.#ending = reason
    if (this.#timer !== null) clearTimeout(this.#timer)
    if (this.#memoryTimer !== null) clearInterval(this.#memoryTimer)
    for (const key of this.#keys) this.#processes.kill(key)
    setTimeout(() => this.#ended(), LAST_OUTPUT_MS)
    if (this.#processes.live === 0) this.#ended()
  }

  onControl(from: Peer, message: Control): void {
    this.#heard(from.workerId, message)
  }

  onFrame(): void {
    // Tasks and values are no business of a node.
  }

  onPeerClosed(peer: Peer, reason: string): void {
    this.#handle({ is: 'peerClosed', workerId: peer.workerId, reason })
  }

  onBatchEnd(): void {
    this.#arm()
  }

  onLines(key: string, stream: Stream, lines: string[]): void {
    if (this.#installing.has(key)) return
    this.#output.lines(key, stream, lines)
  }

  onExit(key: string, exit: Exit): void {
    this.#keys.delete(key)
    const installed = this.#installing.get(key)
    this.#installing.delete(key)
    if (installed === undefined) this.#output.ended(key)
    else installed(exit)
    if (this.#ending !== null) {
      if (this.#processes.live === 0) this.#ended()
      return
    }
    if (installed !== undefined) return
    // What it sent before its end counts.
    this.#mesh.poll()
    this.#handle({ is: 'workerExited', key, ...exit, kernelKills: this.#options.memory.kernelKills() })
    this.#arm()
  }

  #heard(from: WorkerId, message: Control): void {
    const elsewhere = message.is === 'corrupt' && nodeOf(message.workerId) !== nodeOf(this.#store.workerId)
    // A process of another node is ended by its own daemon.
    if (elsewhere) return void this.#relay?.sendToNode(nodeOf(message.workerId), message)
    if (!this.#orphans.heard(from, message) && !this.#transfer.heard(from, message)) this.#handle({ is: 'message', from, message })
  }

  #ended(): void {
    if (this.#ending === null || this.#isOver) return
    this.#isOver = true
    const { onEnd } = this.#options
    const reason = this.#ending
    this.#transfer.close()
    this.#mesh.flush()
    if (this.#membership === null) return onEnd(reason, false)
    // What was in hand for other nodes, and the goodbye, arrive if they can.
    void this.#membership.close().then(() => {
      this.#mesh.close()
      this.#store.close()
      onEnd(reason, this.#isFenced)
    })
  }

  #handle(event: MemberEvent): void {
    if (this.#ending !== null) return
    this.#queue.push(event)
    if (this.#handling) return
    this.#handling = true
    const out: MemberEffect[] = []
    try {
      for (let next = this.#queue.shift(); next !== undefined; next = this.#queue.shift()) {
        this.#daemon.handle(next, performance.now(), out)
        for (const effect of out) this.#carryOut(effect)
        out.length = 0
      }
    } finally {
      this.#handling = false
    }
    if (event.is === 'tick') this.#arm()
  }

  #carryOut(effect: MemberEffect): void {
    switch (effect.is) {
      case 'sendHead':
      case 'joined':
      case 'fenced':
      case 'cluster':
        return this.#membership?.carryOut(effect)
      case 'send': {
        this.#mesh.send(effect.to, effect.message)
        return
      }
      case 'spawn':
        return this.#spawn(effect.key, effect.environment, effect.job)
      case 'setUp':
        return void this.#setUp(effect.environment)
      case 'jobOver':
        this.#output.flushAll()
        this.#mesh.send(effect.driver, { is: 'jobOver' })
        return
      case 'kill':
        return this.#processes.kill(effect.key)
      case 'weigh':
        return this.#weigh(effect.pids)
      case 'reap':
        return this.#reap(effect.workerId)
      case 'answerObjects':
        return this.#answerObjects(effect.to, effect.request, effect.rows)
      case 'processGone':
        this.#orphans.died(effect.workerId)
        return this.#relay?.processDied(effect.workerId, effect.death)
      case 'end':
        return this.end(effect.reason)
    }
  }

  #spawn(key: string, environment: Environment | null, job: JobSpec | null): void {
    const pid = this.#processes.start(key, this.#options.command(key, environment, job, this.#environments.place(environment)))
    this.#keys.add(key)
    this.#output.began(key, pid ?? 0)
    this.#handle({ is: 'spawned', key, pid })
  }

  #checkMemory(): void {
    const totals = this.#options.memory.totals()
    if (totals !== null) this.#handle({ is: 'memory', totals })
    this.#findDeadDrivers()
    this.#transfer.tellHeld(performance.now())
  }

  /**
   * Drivers are nobody's children: the end of one that could not say so has to be looked for. One that has left stays in the store
   * until its process ends, since it may have views.
   */
  #findDeadDrivers(): void {
    if (this.#options.founded) return
    const { node } = this.#daemon
    const clients = this.#store.clients()
    const living = new Set(clients.filter(each => each.live).map(each => each.workerId))
    const left = clients.map(each => each.workerId).filter(workerId => !node.knows(workerId))
    for (const workerId of [...node.drivers(), ...left]) {
      if (living.has(workerId)) continue
      // What it sent before its end counts.
      this.#mesh.poll()
      this.#handle({ is: 'peerClosed', workerId, reason: 'its process ended' })
    }
  }

  #weigh(pids: number[]): void {
    const { memory } = this.#options
    const totals = memory.totals()
    if (totals === null) return
    const others = [
      { what: `the driver (pid ${process.ppid})`, bytes: memory.sizeOf(process.ppid) },
      { what: `the node daemon (pid ${process.pid})`, bytes: memory.sizeOf(process.pid) },
      { what: 'the object store', bytes: this.#store.stats().usedBytes },
    ]
    this.#handle({ is: 'weighed', totals, sizes: pids.map(pid => [pid, memory.sizeOf(pid)]), others })
  }

  async #setUp(environment: Environment): Promise<void> {
    const { key } = environment
    try {
      await this.#environments.setUp(environment)
      this.#handle({ is: 'environmentReady', key })
    } catch (error) {
      const { field, message } = error instanceof SetupFailure ? error : { field: 'runtimeEnv', message: String(error) }
      this.#handle({ is: 'environmentFailed', key, field, message })
    }
    this.#mesh.flush()
    this.#arm()
  }

  /** Starts a process that is no worker; it ends with the session like one. */
  #install(command: Command): Running {
    const key = `install-${++this.#installs}`
    const ended = new Promise<Exit>(resolve => this.#installing.set(key, resolve))
    if (this.#ending === null) {
      this.#keys.add(key)
      this.#processes.start(key, command)
    }
    return { ended, kill: () => this.#processes.kill(key) }
  }

  #reap(workerId: WorkerId | null): void {
    if (workerId === null) this.#store.reapDead()
    else {
      this.#store.reap(slotOf(workerId))
      this.#mesh.gone(workerId)
      this.#orphans.reaped()
      this.#transfer.workerDied(workerId)
    }
  }

  #living(): Map<WorkerId, number> {
    return new Map(
      this.#store
        .clients()
        .filter(client => client.live)
        .map(client => [client.workerId, client.slot]),
    )
  }

  #answerObjects(to: WorkerId, request: number, rows: unknown[]): void {
    const living = this.#living()
    const idOf = new Map([...living].map(([workerId, slot]) => [slot, workerId]))
    for (const { id, state, sizeBytes, pinnedBy, spilled } of this.#store.list()) {
      if (living.has(ownerOf(id))) continue
      const holders = pinnedBy.map(slot => idOf.get(slot) ?? `slot ${slot}`)
      const reason = state === 'deleting' ? 'dropped, but views of it are alive' : this.#orphans.describeOwner(id)
      if (reason === null) continue
      const nodeIds = [this.#store.workerId.slice(0, 10)]
      rows.push({
        objectId: id,
        sizeBytes,
        owner: ownerOf(id),
        holders,
        reason,
        callSite: '',
        nodeIds,
        spilled,
      })
    }
    this.#mesh.send(to, { is: 'answer', request, rows })
  }

  #arm(): void {
    if (this.#ending !== null) return
    const at = this.#daemon.deadline() ?? Number.POSITIVE_INFINITY
    if (at === this.#timerAt && this.#timer !== null) return
    if (this.#timer !== null) clearTimeout(this.#timer)
    this.#timer = null
    this.#timerAt = at
    if (at === Number.POSITIVE_INFINITY) return
    // Rounded up: a timer that fires early would find nothing due and be set again at once.
    this.#timer = setTimeout(() => this.#tick(), Math.max(1, Math.ceil(at - performance.now())))
  }

  #tick(): void {
    this.#timer = null
    this.#handle({ is: 'tick' })
  }
}
