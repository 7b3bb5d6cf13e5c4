// SPDX-License-Identifier: Apache-2.0
// A thousand nodes, coarsely: the machines of head, node and owner as they ship, and between them messages that take their
// time and never go wrong. Workers are what answers a task after a while.

import type { HeadEffect, HeadEvent } from '#lib/core/head/events.js'
import { Head } from '#lib/core/head/head.js'
import { Member, type MemberEffect, type MemberEvent } from '#lib/core/node/member.js'
import { Node } from '#lib/core/node/node.js'
import type { TaskReply } from '#lib/core/owner/tasks.js'
import { toAmounts } from '#lib/core/resources.js'
import { HEAD_ID, nodeOf } from '#lib/ids.js'
import { type Control, type NodeId, PROTOCOL_VERSION, type WorkerId } from '#lib/wire/messages.js'
import { TOKEN } from '../../fakes/cluster.js'
import { Agenda } from '../cluster/agenda.js'
import { nodeIdOf, processIdOf } from '../cluster/names.js'
import { Claims } from './claims.js'
import { ScaleDriver } from './driver.js'
import { ScaleWorker } from './worker.js'

export interface Scale {
  nodes: number
  cpus: number
  tasks: number
  /** Milliseconds of work in a task. */
  taskMs: number
  /** Programs that submit them, on a node each. */
  drivers: number
  /** Between processes of a node, and between nodes, in milliseconds. */
  localMs: number
  linkMs: number
  /** Until a worker that is asked for has started. */
  startMs: number
}

export type Sent = { is: 'control'; message: Control } | TaskFrame | TaskReply

export interface TaskFrame {
  is: 'task'
  claim: number
  task: number
}

/** By which owners find workers, and give them up. */
const BETWEEN_OWNERS_AND_NODES: ReadonlySet<Control['is']> = new Set(['want', 'leaseReturn', 'yields'])

export interface Process {
  receive(from: WorkerId, what: Sent): void
}

interface Place {
  readonly nodeId: NodeId
  readonly daemonId: WorkerId
  readonly member: Member
  slots: number
  tickAt: number
}

export class ScaleWorld {
  readonly agenda = new Agenda()
  readonly head: Head
  readonly drivers: ScaleDriver[] = []
  /** Messages that the head has handled: all, and those that are no sign of life. */
  readonly atHead = { all: 0, work: 0 }
  /** Tasks that have run. */
  ran = 0
  readonly claims = new Claims()
  /** Those by which nodes and owners found workers; and leases granted. */
  asked = 0
  granted = 0
  readonly #places = new Map<NodeId, Place>()
  readonly #processes = new Map<WorkerId, Process>()
  #headTickAt = Number.POSITIVE_INFINITY
  #nextPid = 1
  #turnEnding = false

  constructor(readonly scale: Scale) {
    this.head = new Head({
      nodeId: null,
      encodeError: error => new TextEncoder().encode(error.message),
      clusterId: 'c',
      epoch: '1',
      nodeDeadAfterMs: 10_000,
    })
    this.#head({ is: 'tick' })
    for (let i = 1; i <= scale.nodes; i++) this.#join(nodeIdOf(i))
  }

  /** A driver on each of so many nodes, far from each other. */
  drive(): void {
    const { drivers, tasks } = this.scale
    const places = [...this.#places.values()]
    for (let i = 0; i < drivers; i++) {
      const place = places[Math.floor((i * places.length) / drivers)] as Place
      this.#driver(place, Math.floor(((i + 1) * tasks) / drivers) - Math.floor((i * tasks) / drivers))
    }
  }

  /** One more, on the last node. */
  driveLate(tasks: number): ScaleDriver {
    return this.#driver([...this.#places.values()].at(-1) as Place, tasks)
  }

  #driver(place: Place, tasks: number): ScaleDriver {
    const id = processIdOf(place.nodeId, ++place.slots)
    const driver = new ScaleDriver(this, id, place.daemonId, tasks)
    this.drivers.push(driver)
    this.#processes.set(id, driver)
    const [protocol, pid] = [PROTOCOL_VERSION, this.#nextPid++]
    const hello = { is: 'hello', protocol, workerId: id, pid, kind: 'driver', token: TOKEN, job: driver.job } as const
    this.send(id, place.daemonId, { is: 'control', message: hello })
    return driver
  }

  /** It arrives after the time that messages between the two take; those of a pair in order. */
  send(from: WorkerId, to: WorkerId, what: Sent): void {
    const { localMs, linkMs } = this.scale
    if (what.is === 'control' && what.message.is === 'grant') this.granted++
    this.agenda.after(nodeOf(from) === nodeOf(to) ? localMs : linkMs, () => this.#arrive(from, to, what))
  }

  /** How many workers are there. */
  get workers(): number {
    return this.#processes.size - this.drivers.length
  }

  #arrive(from: WorkerId, to: WorkerId, what: Sent): void {
    const process = this.#processes.get(to)
    if (process !== undefined) return process.receive(from, what)
    if (what.is !== 'control') throw new Error(`a ${what.is} for ${to}, who is nobody`)
    if (to === HEAD_ID) {
      this.#head({ is: 'fromDaemon', nodeId: nodeOf(from), message: what.message })
      return this.#turnEnd()
    }
    const place = this.#places.get(nodeOf(to)) as Place
    if (BETWEEN_OWNERS_AND_NODES.has(what.message.is)) this.asked++
    this.#daemon(place, from === HEAD_ID ? { is: 'fromHead', message: what.message } : { is: 'message', from, message: what.message })
  }

  // Daemons ------------------------------------------------------------------------------------------------------------

  #join(nodeId: NodeId): void {
    const { cpus } = this.scale
    const total = toAmounts({ CPU: cpus })
    const daemonId = processIdOf(nodeId, 0)
    const shared = { nodeId, labels: {}, gpuIds: [], total }
    const node = new Node({
      ...shared,
      nodeIp: '127.0.0.1',
      sessionDir: '/s',
      token: TOKEN,
      prestart: cpus,
      environment: null,
      job: null,
      founded: false,
    })
    const member = new Member(node, {
      node: { ...shared, daemonId, hostname: nodeId, address: `tcp://${nodeId}:1`, dataAddress: '' },
      encodeError: error => new TextEncoder().encode(error.message),
    })
    const place = { nodeId, daemonId, member, slots: 0, tickAt: Number.POSITIVE_INFINITY }
    this.#places.set(nodeId, place)
    this.#daemon(place, { is: 'tick' })
    this.#daemon(place, { is: 'memory', totals: { usedBytes: 0, totalBytes: 1, where: 'the machine', kernelKills: 0 } })
    // Machines are not started all at the same instant.
    this.agenda.after((this.#places.size * 100) / this.scale.nodes, () => this.#daemon(place, { is: 'headUp' }))
  }

  #daemon(place: Place, event: MemberEvent): void {
    const out: MemberEffect[] = []
    place.member.handle(event, this.agenda.now, out)
    for (const effect of out) {
      if (effect.is === 'send') this.send(place.daemonId, effect.to, { is: 'control', message: effect.message })
      else if (effect.is === 'sendHead') this.send(place.daemonId, HEAD_ID, { is: 'control', message: effect.message })
      else if (effect.is === 'spawn') this.#spawn(place, effect.key)
      else if (effect.is === 'kill' || effect.is === 'end' || effect.is === 'fenced') throw new Error(`a daemon asks for ${effect.is}`)
    }
    const due = place.member.deadline()
    if (due === null || due >= place.tickAt) return
    place.tickAt = due
    this.agenda.at(due, () => {
      if (place.tickAt !== due) return
      place.tickAt = Number.POSITIVE_INFINITY
      this.#daemon(place, { is: 'tick' })
    })
  }

  #spawn(place: Place, key: string): void {
    const pid = this.#nextPid++
    this.#daemon(place, { is: 'spawned', key, pid })
    this.agenda.after(this.scale.startMs, () => {
      const workerId = processIdOf(place.nodeId, ++place.slots)
      this.#processes.set(workerId, new ScaleWorker(this, workerId))
      const hello = { is: 'hello', protocol: PROTOCOL_VERSION, workerId, pid, kind: 'worker', token: TOKEN, job: null } as const
      this.send(workerId, place.daemonId, { is: 'control', message: hello })
    })
  }

  // The head -----------------------------------------------------------------------------------------------------------

  #head(event: HeadEvent): void {
    if (event.is === 'fromDaemon') {
      this.atHead.all++
      if (event.message.is !== 'beat') this.atHead.work++
    }
    const out: HeadEffect[] = []
    this.head.handle(event, this.agenda.now, out)
    for (const effect of out) {
      if (effect.is === 'toDaemon') this.#toDaemon(effect.nodeId, effect.message)
      else if (effect.is === 'toNode') this.#toDaemon(effect.nodeId, { is: 'toNode', event: effect.event })
      else if (effect.is === 'send') this.#toDaemon(nodeOf(effect.to), { is: 'deliver', to: effect.to, message: effect.message })
    }
    const due = this.head.deadline()
    if (due === null || due >= this.#headTickAt) return
    this.#headTickAt = due
    this.agenda.at(due, () => {
      if (this.#headTickAt !== due) return
      this.#headTickAt = Number.POSITIVE_INFINITY
      this.#head({ is: 'tick' })
    })
  }

  #turnEnd(): void {
    if (this.#turnEnding) return
    this.#turnEnding = true
    this.agenda.after(0, () => {
      this.#turnEnding = false
      this.#head({ is: 'turnEnd' })
    })
  }

  #toDaemon(nodeId: NodeId, message: Control): void {
    this.send(HEAD_ID, processIdOf(nodeId, 0), { is: 'control', message })
  }
}
