// SPDX-License-Identifier: Apache-2.0
// The node's machine: which message goes to which part. Everything it decides is in the parts.

import { nodeOf } from '../../ids.js'
import { limits } from '../../options.js'
import {
  ACTOR_LEASE,
  type Blocked,
  type BundleSeat,
  type Control,
  type Death,
  type EnvFailed,
  type Hello,
  type JobSpec,
  type NodeId,
  type Unblock,
  type Want,
  type WorkerId,
} from '../../wire/messages.js'
import { assert } from '../assert.js'
import { type Machine, type Millis, soonest } from '../machine.js'
import { actorLease } from './actor-lease.js'
import { Answers } from './answers.js'
import { Bundles } from './bundles.js'
import { ClusterView } from './cluster-view.js'
import { Devices } from './devices.js'
import { Drivers } from './drivers.js'
import { Environments } from './environments.js'
import type { NodeEffect, NodeEvent, NodeOptions, Place } from './events.js'
import { GroupHost } from './group-host.js'
import { GroupWork } from './group-work.js'
import { Impossible } from './impossible.js'
import { Leases } from './leases.js'
import { type Holding, Ledger } from './ledger.js'
import { MemoryMonitor, type MemoryNews } from './memory.js'
import { Pools } from './pools.js'
import { Questions } from './questions.js'
import { guestMaySay, refusal } from './refusals.js'
import { HEAD, newRequest, Requests, requestOf } from './requests.js'
import { Residents } from './residents.js'
import { Scheduler } from './scheduler.js'
import { Spillover } from './spillover.js'
import { Starts } from './starts.js'
import { Workers } from './workers.js'

type Exited = Extract<NodeEvent, { is: 'workerExited' }>

export class Node implements Machine<NodeEvent, NodeEffect> {
  readonly #options: NodeOptions
  readonly #ledger: Ledger
  readonly #cluster: ClusterView
  readonly leases = new Leases()
  readonly #workers: Workers
  readonly #requests = new Requests()
  readonly #scheduler: Scheduler
  readonly bundles: Bundles
  readonly #groups: GroupWork
  readonly #groupHost: GroupHost
  readonly #answers: Answers
  readonly #starts: Starts
  readonly #questions = new Questions()
  readonly #memory: MemoryMonitor
  readonly #environments = new Environments()
  readonly #residents: Residents
  readonly #drivers: Drivers
  readonly #impossible: Impossible
  #collectAgainAt: Millis = 0

  constructor(options: NodeOptions) {
    this.#options = options
    this.#drivers = new Drivers(options.founded)
    this.#ledger = new Ledger(options.total, new Devices(options.gpuIds))
    const { nodeId, total, labels } = options
    this.#cluster = new ClusterView({ nodeId, daemonId: '', state: 'alive', labels, total, available: this.#ledger.available })
    this.#workers = new Workers(options.prestart, options.environment, options.job)
    this.#memory = new MemoryMonitor(options.nodeId, this.#workers, this.leases)
    this.#starts = new Starts(this.#workers, this.#environments, this.#requests)
    this.#groups = new GroupWork(nodeId, this.#requests)
    this.bundles = new Bundles(this.#ledger)
    this.#groupHost = new GroupHost(this.bundles, this.#groups, this.leases, this.#workers)
    const shared = { cluster: this.#cluster, ledger: this.#ledger, requests: this.#requests }
    // A node that its driver started stays the only one.
    this.#impossible = new Impossible({ ...shared, drivers: this.#drivers }, !options.founded)
    const parts = {
      ...{ ...shared, leases: this.leases, workers: this.#workers, impossible: this.#impossible },
      ...{ environments: this.#environments, bundles: this.bundles, groups: this.#groups, questions: this.#questions },
    }
    this.#answers = new Answers(parts)
    this.#scheduler = new Scheduler({ ...parts, pools: new Pools(this.#ledger, this.bundles), spillover: new Spillover(parts) })
    this.#residents = new Residents(this.#workers, this.#requests, this.leases, this.#ledger, this.#cluster)
  }

  handle(event: NodeEvent, now: Millis, out: NodeEffect[]): void {
    this.#handle(event, now, out)
    this.#residents.tellEmpty(this.#drivers.count, out)
  }

  #handle(event: NodeEvent, now: Millis, out: NodeEffect[]): void {
    switch (event.is) {
      case 'message':
        return this.#message(event.from, event.message, now, out)
      case 'spawned':
        return this.#spawned(event.key, event.pid)
      case 'workerExited':
        return this.#exited(event.key, event, now, out)
      case 'peerClosed':
        return this.#peerClosed(event.workerId, event.reason, now, out)
      case 'memory':
        return this.#memory.checked(event.totals, now, out)
      case 'weighed':
        return this.#tell(this.#memory.weighed(event, out), out)
      case 'environmentReady':
        this.#environments.ready(event.key)
        return this.#scheduler.pass(now, out)
      case 'environmentFailed':
        this.#starts.environmentBroken(event.key, event.field, event.message, out)
        return this.#scheduler.pass(now, out)
      case 'place':
        return this.#place(event, now, out)
      case 'unplace':
        return this.#requests.remove(HEAD, event.actorId)
      case 'watchProcess':
        return this.#residents.watch(event.workerId, this.knows(event.workerId), out)
      case 'leave':
        return void out.push({ is: 'end', reason: 'it was drained' })
      case 'endWorker':
        return this.#endWorker(event.workerId, event.reason, out)
      case 'jobEnded':
        this.#workers.jobEnded(event.jobId, out)
        return this.#scheduler.pass(now, out)
      case 'view':
        this.#cluster.set(event)
        if (event.full) this.#groups.askAgain(out)
        return this.#clusterChanged(now, out)
      case 'nodeDied':
        return this.#nodeDied(event.nodeId, now, out)
      case 'bundlePrepare':
      case 'bundleCommit':
      case 'bundleReturn':
      case 'groupChanged':
        this.#groupHost.handle(event, this.#cluster.own.state === 'alive', out)
        return this.#scheduler.pass(now, out)
      case 'drain':
        this.#residents.drain(out)
        return this.#clusterChanged(now, out)
      case 'tick':
        return this.#tick(now, out)
    }
  }

  deadline(): Millis | null {
    const parts = [this.#scheduler, this.#workers, this.#questions, this.#residents, this.#impossible]
    return soonest(parts.map(part => part.deadline()))
  }

  invariants(): void {
    this.#workers.invariants()
    this.leases.invariants()
    this.#drivers.invariants()
    this.#scheduler.invariants()
    const holdings: Holding[] = [...this.leases.all()].map(lease => lease.holding)
    for (const worker of this.#workers.all()) {
      if (worker.actor !== null) holdings.push(worker.actor.holding)
      assert(worker.state !== 'leased' || this.leases.of(worker.workerId as WorkerId) !== undefined, 'a leased worker without a lease')
    }
    for (const bundle of this.bundles.all()) holdings.push(bundle.holding)
    const within = (ledger: Ledger): Holding[] => holdings.filter(holding => holding.ledger === ledger)
    this.bundles.invariants(within)
    this.#ledger.invariants(within(this.#ledger))
  }

  /** Whether that process said hello, was accepted, and has not ended. */
  knows(process: WorkerId): boolean {
    return this.#drivers.has(process) || this.#workers.byId(process) !== undefined
  }

  /** What a worker runs now, for the prefix of its output. */
  nameOf(key: string): string {
    return this.#workers.byKey(key)?.name || 'worker'
  }

  workerIdOf(key: string): WorkerId | null {
    return this.#workers.byKey(key)?.workerId ?? null
  }

  drivers(): Iterable<WorkerId> {
    return this.#drivers.ids()
  }

  /** To whom goes what that worker prints; null while nobody has it. */
  driverOf(key: string): WorkerId | null {
    const job = this.#workers.byKey(key)?.job ?? null
    return job === null ? null : this.#drivers.of(job)
  }

  #message(from: WorkerId, message: Control, now: Millis, out: NodeEffect[]): void {
    if (message.is === 'envFailed') return this.#workerEnvFailed(message, now, out)
    if (message.is !== 'hello' && !this.knows(from) && !this.#isGuest(from, message)) return
    switch (message.is) {
      case 'hello':
        return this.#hello(from, message, now, out)
      case 'want':
        return this.#want(from, message, now, out)
      case 'leaseReturn':
        return this.#leaseReturn(from, message.leaseId, message.retire, now, out)
      case 'yields':
        return this.#scheduler.yields(from, message, now, out)
      case 'blocked':
      case 'unblock':
        return this.#wait(from, message, now, out)
      case 'goodbye':
        return this.#goodbye(from)
      case 'collect':
        return this.#collect(from, now, out)
      case 'workerDied':
        return this.#remoteDied(from, message.workerId, now, out)
      case 'killWorker':
        return this.#killLeased(from, message.workerId, message.reason, out)
      case 'corrupt':
        return this.#corrupt(from, message.workerId, message.detail, out)
      case 'query':
        return this.#answers.query(from, message, new Set(this.processes()), now, out)
      case 'told':
      case 'answer':
        return this.#questions.told(from, message.request, message.rows, out)
      case 'endJob':
        return this.#endJob(from, now, out)
    }
  }

  #hello(from: WorkerId, hello: Hello, now: Millis, out: NodeEffect[]): void {
    const wrong = refusal(hello, this.#options.token, this.#residents.isLeaving)
    if (wrong !== null) return void out.push({ is: 'send', to: from, message: { is: 'refused', ...wrong } })
    if (hello.kind === 'driver') {
      this.#drivers.arrived(from, hello.job as JobSpec)
      const awaited = this.#workers.starting > 0 && this.#workers.idle.length === 0 && this.#workers.failures === 0
      return awaited ? undefined : this.#drivers.welcome(this.#welcomeMessage(), out)
    }
    const worker = this.#workers.arrived(hello.pid, from, now)
    if (worker === null) {
      const code = 'ERR_EAGLERAY_CLUSTER_CONNECTION'
      out.push({ is: 'send', to: from, message: { is: 'refused', message: `process ${hello.pid} is no worker of this node`, code } })
      return
    }
    if (worker.environment !== null) this.#environments.worked(worker.environment.key)
    out.push({ is: 'send', to: from, message: this.#welcomeMessage() })
    this.#drivers.welcome(this.#welcomeMessage(), out)
    this.#scheduler.pass(now, out)
  }

  #workerEnvFailed({ pid, token, field, message }: EnvFailed, now: Millis, out: NodeEffect[]): void {
    const worker = this.#workers.startingAs(pid)
    if (token !== this.#options.token || worker === undefined || worker.environment === null) return
    this.#starts.environmentBroken(worker.environment.key, field, message, out)
    this.#scheduler.pass(now, out)
  }

  #welcomeMessage(): Control {
    const { nodeId, sessionDir, nodeIp, total, labels } = this.#options
    return { is: 'welcome', nodeId, sessionDir, nodeIp, resources: total, labels }
  }

  #want(from: WorkerId, want: Want, now: Millis, out: NodeEffect[]): void {
    this.#scheduler.wants(from, want, now)
    if (!this.#requests.wantedAgain(from, want, now)) {
      const request = requestOf(from, want, now)
      this.#requests.add(request)
      this.#environments.require(request.environment, out)
      this.#impossible.judge(request, now, out)
    }
    this.#scheduler.pass(now, out)
  }

  #place(place: Place, now: Millis, out: NodeEffect[]): void {
    if (!this.#residents.accepts(place, out)) return
    const { actorId, incarnation, environment, job, where } = place
    // With GPUs, a process that no library has initialised them in. Otherwise a warm one, whatever it ran.
    const extra = { freshWorker: (place.held.GPU ?? 0) > 0, environment, where, actor: { actorId, incarnation } }
    const request = newRequest(actorId, HEAD, place.name, place.held, place.placement, job, now, extra)
    this.#requests.add(request)
    this.#environments.require(environment, out)
    this.#impossible.judge(request, now, out)
    this.#scheduler.pass(now, out)
  }

  /** Others came or went, or have other things free. */
  #clusterChanged(now: Millis, out: NodeEffect[]): void {
    this.#impossible.judgeAll(now, out)
    this.#scheduler.pass(now, out)
  }

  /** A process of another node that wants workers here, or has some. */
  #isGuest(from: WorkerId, { is }: Control): boolean {
    return guestMaySay(from, is) && this.#cluster.isElsewhere(nodeOf(from))
  }

  /** The processes here hear it from the relay, as of the end of a process there. */
  #nodeDied(nodeId: NodeId, now: Millis, out: NodeEffect[]): void {
    this.#cluster.died(nodeId)
    this.#questions.nodeGone(nodeId, out)
    const owners = new Set([...this.leases.owners(), ...this.#requests.owners()].map(([owner]) => owner))
    for (const owner of owners) if (nodeOf(owner) === nodeId) this.#ownerGone(owner, out)
    this.#clusterChanged(now, out)
  }

  #leaseReturn(from: WorkerId, leaseId: number, retire: boolean, now: Millis, out: NodeEffect[]): void {
    const lease = this.leases.get(leaseId)
    if (lease === undefined || lease.owner !== from) return
    const worker = this.#workers.byId(lease.workerId)
    // A worker being killed keeps what it holds until it is dead.
    if (worker === undefined || worker.state !== 'leased') return
    this.#scheduler.end(lease)
    this.#workers.released(worker, retire || lease.class.freshWorker, now, out)
    this.#scheduler.pass(now, out)
  }

  #wait(from: WorkerId, message: Blocked | Unblock, now: Millis, out: NodeEffect[]): void {
    const lease = message.leaseId === ACTOR_LEASE ? actorLease(this.#workers.byId(from)) : this.leases.get(message.leaseId)
    if (lease === undefined || (lease.workerId !== from && lease.owner !== from)) return
    if (message.is === 'blocked') this.#scheduler.block(lease)
    else this.#scheduler.unblock(lease)
    this.#scheduler.pass(now, out)
  }

  #goodbye(from: WorkerId): void {
    const worker = this.#workers.byId(from)
    if (worker !== undefined) this.#workers.saidGoodbye(worker)
  }

  /** The store is full: all but the one who says so are asked to collect garbage. */
  #collect(from: WorkerId, now: Millis, out: NodeEffect[]): void {
    if (now < this.#collectAgainAt) return
    this.#collectAgainAt = now + limits.collectEveryMs
    for (const to of this.processes()) if (to !== from) out.push({ is: 'send', to, message: { is: 'collect' } })
  }

  #killLeased(from: WorkerId, workerId: WorkerId, reason: string, out: NodeEffect[]): void {
    if (this.leases.of(workerId)?.owner === from) this.#endWorker(workerId, reason, out)
  }

  /** Two processes whose channel is lost cannot go on with each other: one of them ends, and never the driver. */
  #corrupt(from: WorkerId, accused: WorkerId, detail: string, out: NodeEffect[]): void {
    if (this.#drivers.has(accused)) this.#endWorker(from, `the driver sent it what is no message of this protocol: ${detail}`, out)
    else this.#endWorker(accused, `it sent process ${from} what is no message of this protocol: ${detail}`, out)
  }

  #endWorker(workerId: WorkerId, reason: string, out: NodeEffect[]): void {
    const worker = this.#workers.byId(workerId)
    if (worker !== undefined) this.#workers.kill(worker, reason, out)
  }

  #spawned(key: string, pid: number | null): void {
    const worker = this.#workers.byKey(key)
    if (worker !== undefined) worker.pid = pid
  }

  #exited(key: string, how: Exited, now: Millis, out: NodeEffect[]): void {
    const worker = this.#workers.exited(key, now)
    if (worker === null) return
    out.push({ is: 'reap', workerId: worker.workerId })
    if (worker.actor !== null) {
      if (worker.actor.lease !== undefined) this.leases.resuming.delete(worker.actor.lease)
      worker.actor.holding.ledger.give(worker.actor.holding)
    }
    if (worker.workerId === null) {
      this.#drivers.welcome(this.#welcomeMessage(), out)
      this.#tell({ text: this.#starts.failed(worker, how, out), job: worker.job }, out)
    } else {
      const lease = this.leases.of(worker.workerId)
      if (lease !== undefined) this.#scheduler.end(lease)
      const memory = this.#memory.exited(worker, how.signal, how.kernelKills, now)
      // Of one that it ended itself its driver has been told.
      if (memory !== null && memory !== worker.endReason && worker.job !== null)
        this.#drivers.warn(worker.job, `${worker.name} was ended: ${memory}`, out)
      const { exitCode, signal, stderrTail } = how
      const death = { exitCode, signal, stderrTail, reason: memory ?? worker.endReason, outOfMemory: memory !== null }
      this.#processGone(worker.workerId, death, out)
    }
    this.#scheduler.pass(now, out)
  }

  /** What an ended process owned ends with it: its wants, and the workers that run its tasks. */
  #processGone(gone: WorkerId, death: Death, out: NodeEffect[]): void {
    this.#ownerGone(gone, out)
    this.#questions.gone(gone, out)
    for (const to of this.processes()) out.push({ is: 'send', to, message: { is: 'workerDied', workerId: gone, death } })
    out.push({ is: 'processGone', workerId: gone, death })
    out.push({ is: 'toHead', event: { is: 'processDied', workerId: gone, death } })
  }

  /** Another node's daemon says so of a process there. The processes here hear it from the relay, after all that the dead one sent. */
  #remoteDied(from: WorkerId, gone: WorkerId, now: Millis, out: NodeEffect[]): void {
    if (nodeOf(gone) !== nodeOf(from) || nodeOf(gone) === this.#options.nodeId) return
    this.#ownerGone(gone, out)
    this.#questions.gone(gone, out)
    this.#scheduler.pass(now, out)
  }

  #ownerGone(gone: WorkerId, out: NodeEffect[]): void {
    this.#requests.removeOwner(gone)
    this.#scheduler.ownerGone(gone)
    for (const lease of this.leases.ownedBy(gone)) this.#endWorker(lease.workerId, 'the owner of its task died', out)
  }

  #peerClosed(process: WorkerId, reason: string, now: Millis, out: NodeEffect[]): void {
    if (this.#drivers.has(process)) return this.#driverGone(process, `the channel to its driver ended (${reason})`, now, out)
    const worker = this.#workers.byId(process)
    // A driver whose job is over, or who was refused.
    if (worker === undefined) return void out.push({ is: 'reap', workerId: process })
    if (reason === 'corrupt') this.#workers.kill(worker, 'it sent what is no message of this protocol', out)
    else this.#workers.closing(worker, now)
  }

  /** The driver leaves; what it has in the store and the mesh goes when its channel closes. */
  #endJob(driver: WorkerId, now: Millis, out: NodeEffect[]): void {
    if (!this.#drivers.has(driver)) return
    if (!this.#drivers.isFounder(driver)) out.push({ is: 'jobOver', driver })
    this.#jobGone(driver, 'its driver ended', now, out)
  }

  #driverGone(driver: WorkerId, reason: string, now: Millis, out: NodeEffect[]): void {
    if (!this.#drivers.isFounder(driver)) out.push({ is: 'reap', workerId: driver })
    this.#jobGone(driver, reason, now, out)
  }

  #jobGone(driver: WorkerId, reason: string, now: Millis, out: NodeEffect[]): void {
    this.#drivers.left(driver)
    if (this.#drivers.isFounder(driver)) return void out.push({ is: 'end', reason })
    this.#processGone(driver, { exitCode: null, signal: null, stderrTail: '', reason, outOfMemory: false }, out)
    this.#scheduler.pass(now, out)
  }

  #tick(now: Millis, out: NodeEffect[]): void {
    this.#environments.begin(this.#workers.warm, out)
    this.#workers.tick(now, out)
    this.#questions.tick(now, out)
    this.#residents.tick(now, out)
    this.#impossible.tick(now, out)
    this.#scheduler.pass(now, out)
  }

  /** For the head: what lives here, and what is free and what waits. */
  lives(): ReturnType<Residents['lives']> & { bundles: BundleSeat[] } {
    return { ...this.#residents.lives(this.#drivers.jobs()), bundles: this.bundles.seats() }
  }

  load(): ReturnType<Residents['load']> {
    return this.#residents.load()
  }

  /** What there is and what is free, as users write it. */
  resources(): { resources: Record<string, number>; available: Record<string, number> } {
    return this.#answers.resources()
  }

  /** Those that hear of deaths. */
  *processes(): Generator<WorkerId> {
    yield* this.#drivers.ids()
    for (const { workerId } of this.#workers.all()) if (workerId !== null) yield workerId
  }

  #tell({ text, job }: MemoryNews, out: NodeEffect[]): void {
    if (text !== null) this.#drivers.warn(job, text, out)
  }
}
