// SPDX-License-Identifier: Apache-2.0
// The daemon's machines with nothing around them: processes are names, time is a number, and every step checks the
// invariants. Tests say what happens and read what was sent.

import { Head } from '#lib/core/head/head.js'
import { Daemon, type DaemonEffect, type DaemonEvent } from '#lib/core/node/daemon.js'
import { Node } from '#lib/core/node/node.js'
import { toAmounts } from '#lib/core/resources.js'
import { type ActorSpec, type Control, type Environment, type JobSpec, PROTOCOL_VERSION, type WorkerId } from '#lib/wire/messages.js'

export const NODE_ID = 'aaaaaaaaaa'
export const TOKEN = 'token'

export type MessageOf<Is extends Control['is']> = Extract<Control, { is: Is }>

export interface ClusterOptions {
  resources?: Record<string, number>
  gpuIds?: string[]
  prestart?: number
  environment?: Environment | null
  /** Of the warm workers; default: that of the driver, which ends with it. Null: of a node that serves whoever comes. */
  job?: JobSpec | null
  /** Whether its first driver started it, so that it stays alone; default: where there is a job. */
  founded?: boolean
}

interface Child {
  pid: number
  workerId: WorkerId | null
  environment: Environment | null
  job: JobSpec | null
}

export class FakeCluster {
  now = 0
  readonly daemon: Daemon
  readonly node: Node
  readonly head: Head
  readonly driver = workerIdOf(1)
  /** Everything sent, oldest first. */
  readonly sent: { to: WorkerId; message: Control }[] = []
  /** Keys of children that have not ended, with what is known of them. */
  readonly children = new Map<string, Child>()
  /** Environments that are to be set up. */
  readonly setUps: Environment[] = []
  /** Children to be ended by `settle`. */
  readonly killed = new Set<string>()
  readonly reaped: (WorkerId | null)[] = []
  /** Pids whose sizes were asked for, one list each time. */
  readonly weighings: number[][] = []
  ended: string | null = null
  /** What the kernel says at the next exit. */
  kernelKills = 0
  #next = 2

  constructor({
    resources = { CPU: 2 },
    gpuIds = [],
    prestart = resources.CPU ?? 0,
    environment = null,
    job = jobOf(workerIdOf(1)),
    founded = job !== null,
  }: ClusterOptions = {}) {
    const total = toAmounts({ ...resources, ...(gpuIds.length > 0 ? { GPU: gpuIds.length } : {}) })
    const common = { nodeId: NODE_ID }
    this.node = new Node({
      ...common,
      nodeIp: '127.0.0.1',
      sessionDir: '/s',
      token: TOKEN,
      total,
      gpuIds,
      labels: {},
      prestart,
      environment,
      job,
      founded,
    })
    const place = { nodeId: NODE_ID, address: '127.0.0.1', labels: {}, resources: () => this.node.resources() }
    this.head = Head.embedded({ encodeError: error => new TextEncoder().encode(textOf(error)) }, place)
    this.daemon = new Daemon(this.node, this.head)
  }

  /** A cluster whose warm workers are there and whose driver is welcomed. */
  static started(options: ClusterOptions = {}): FakeCluster {
    const cluster = new FakeCluster(options)
    cluster.event({ is: 'tick' })
    cluster.hello(cluster.driver, 'driver', 1)
    cluster.settle()
    return cluster
  }

  event(event: DaemonEvent): void {
    const out: DaemonEffect[] = []
    this.daemon.handle(event, this.now, out)
    this.daemon.invariants()
    for (const effect of out) this.#carryOut(effect)
  }

  from(from: WorkerId, message: Control): void {
    this.event({ is: 'message', from, message })
  }

  hello(from: WorkerId, kind: 'driver' | 'worker', pid: number): void {
    this.from(from, {
      is: 'hello',
      protocol: PROTOCOL_VERSION,
      workerId: from,
      pid,
      kind,
      token: TOKEN,
      job: kind === 'driver' ? jobOf(from) : null,
    })
  }

  /** Lets children start, and those that were killed end, until nothing more happens. */
  settle(): void {
    for (;;) {
      const starting = [...this.children].find(([key, child]) => child.workerId === null && !this.killed.has(key))
      const dying = [...this.killed][0]
      if (starting !== undefined) this.start(starting[0])
      else if (dying !== undefined) this.exit(dying, null, 'SIGKILL')
      else return
    }
  }

  /** That child says hello. */
  start(key: string): WorkerId {
    const child = this.children.get(key)
    if (child === undefined) throw new Error(`no child ${key}`)
    child.workerId = workerIdOf(this.#next++)
    this.hello(child.workerId, 'worker', child.pid)
    return child.workerId
  }

  exit(key: string, exitCode: number | null, signal: string | null = null, stderrTail = ''): void {
    this.children.delete(key)
    this.killed.delete(key)
    this.event({ is: 'workerExited', key, exitCode, signal, stderrTail, kernelKills: this.kernelKills })
  }

  /** The process of that worker ends. */
  die(workerId: WorkerId, exitCode: number | null = 1, signal: string | null = null): void {
    this.exit(this.keyOf(workerId), exitCode, signal)
  }

  keyOf(workerId: WorkerId): string {
    const found = [...this.children].find(([, child]) => child.workerId === workerId)
    if (found === undefined) throw new Error(`no process ${workerId}`)
    return found[0]
  }

  pidOf(workerId: WorkerId): number {
    return (this.children.get(this.keyOf(workerId)) as { pid: number }).pid
  }

  /** Lets time pass, with every tick that is asked for. */
  pass(ms: number): void {
    const until = this.now + ms
    for (let ticks = 0; ; ticks++) {
      const next = this.daemon.deadline()
      if (next === null || next > until) break
      if (ticks > 10_000) throw new Error(`the daemon asks for ticks without end, at ${next}`)
      this.now = Math.max(this.now, next)
      this.event({ is: 'tick' })
    }
    this.now = until
  }

  all<Is extends Control['is']>(is: Is, to?: WorkerId): MessageOf<Is>[] {
    const matching = this.sent.filter(each => each.message.is === is && (to === undefined || each.to === to))
    return matching.map(each => each.message as MessageOf<Is>)
  }

  last<Is extends Control['is']>(is: Is, to?: WorkerId): MessageOf<Is> | undefined {
    return this.all(is, to).at(-1)
  }

  want(
    owner: WorkerId,
    resources: Record<string, number>,
    count = 1,
    more: { freshWorker?: boolean; name?: string; environment?: Environment; job?: JobSpec; held?: number } = {},
  ): void {
    const wanted = { ...classOf(resources, more.freshWorker, more.environment), ...(more.job && { job: more.job }) }
    this.from(owner, { is: 'want', class: wanted, count, held: more.held ?? 0, taskName: more.name ?? 'task' })
  }

  giveBack(grant: MessageOf<'grant'>, owner = this.driver, retire = false): void {
    this.from(owner, { is: 'leaseReturn', leaseId: grant.leaseId, retire })
  }

  available(name: string): number {
    return this.node.resources().available[name] ?? 0
  }

  #carryOut(effect: DaemonEffect): void {
    if (effect.is === 'send') this.sent.push({ to: effect.to, message: effect.message })
    if (effect.is === 'spawn') {
      const pid = 1000 + this.#next++
      this.children.set(effect.key, { pid, workerId: null, environment: effect.environment, job: effect.job })
      this.event({ is: 'spawned', key: effect.key, pid })
    }
    if (effect.is === 'jobOver') this.sent.push({ to: effect.driver, message: { is: 'jobOver' } })
    if (effect.is === 'setUp') this.setUps.push(effect.environment)
    if (effect.is === 'kill' && this.children.has(effect.key)) this.killed.add(effect.key)
    if (effect.is === 'weigh') this.weighings.push(effect.pids)
    if (effect.is === 'reap') this.reaped.push(effect.workerId)
    if (effect.is === 'end') this.ended = effect.reason
    if (effect.is === 'answerObjects')
      this.sent.push({ to: effect.to, message: { is: 'answer', request: effect.request, rows: effect.rows } })
  }
}

function textOf(error: Error): string {
  const { name, message, cause } = error
  return `${name}: ${message}${cause instanceof Error ? `\n${textOf(cause)}` : ''}`
}

export function workerIdOf(slot: number): WorkerId {
  return `${NODE_ID}${slot.toString(16).padStart(4, '0')}bbbbbbbbbb`
}

export function classOf(
  resources: Record<string, number>,
  freshWorker = false,
  environment: Environment | null = null,
): MessageOf<'want'>['class'] {
  const key = JSON.stringify([resources, freshWorker, ...(environment === null ? [] : [environment.key])])
  return { key, resources: toAmounts(resources), freshWorker, maxCalls: 0, environment, job: jobOf(workerIdOf(1)), where: null, near: null }
}

export function jobOf(driver: WorkerId): JobSpec {
  const jobId = driver.slice(0, 14)
  return { jobId, namespace: 'default', driver, cwd: '/', loaders: [], execArgv: [], nodeOptions: '' }
}

export function environmentOf(key: string, more: Partial<Environment> = {}): Environment {
  const nothing = { envVars: {}, workingDir: null, excludes: [], packages: [], registry: null, preload: [], nodeOptions: [] }
  return { key, ...nothing, ...more }
}

export function actorSpec(actorId: string, more: Partial<ActorSpec> = {}): ActorSpec {
  const none = new Uint8Array(0)
  return {
    actorId,
    className: 'Counter',
    name: null,
    namespace: 'default',
    detached: false,
    outlivesJob: false,
    getIfExists: false,
    maxRestarts: 0,
    placement: toAmounts({ CPU: 1 }),
    held: {},
    maxConcurrency: 1,
    concurrencyGroups: {},
    methodGroups: {},
    isAsync: false,
    maxTaskRetries: 0,
    maxPendingCalls: -1,
    codeHash: 'hash',
    code: none,
    args: none,
    shape: none,
    environment: null,
    job: jobOf(workerIdOf(1)),
    where: null,
    ...more,
  }
}

/** A process of another node. */
export function remoteWorker(slot: number, nodeId = 'bbbbbbbbbb'): WorkerId {
  return nodeId + workerIdOf(slot).slice(10)
}
