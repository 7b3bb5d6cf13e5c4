// SPDX-License-Identifier: Apache-2.0
// The head's machine: which message goes to which table. It is embedded in the node daemon, or a process of its own that
// daemons talk to.
//
// Invariants: what one event changes is kept at once, and before anybody hears of it; a numbered message of a node has
// its effect once, however often it comes; nobody is sent anything before its node has registered in this run.

import { nodeOf, ownerOf } from '../../ids.js'
import type { Control, ForHead, NodeId, ToHead, WorkerId } from '../../wire/messages.js'
import { type Machine, type Millis, soonest } from '../machine.js'
import type { NodeToHead } from '../node/events.js'
import { rowOf } from './actor.js'
import { Actors } from './actors.js'
import type { HeadEffect, HeadEvent, HeadOptions } from './events.js'
import type { GroupWatcher } from './group-watchers.js'
import { Groups } from './groups.js'
import { Jobs } from './jobs.js'
import { KeyValues } from './kv.js'
import type { Lost, NodeEntry } from './node-entry.js'
import { type LocalNode, Nodes } from './nodes.js'
import type { Tables } from './tables.js'

export class Head implements Machine<HeadEvent, HeadEffect> {
  readonly #options: HeadOptions
  readonly actors: Actors
  readonly groups: Groups
  readonly jobs = new Jobs()
  readonly nodes: Nodes
  readonly #kv = new KeyValues()
  /** Where it is embedded: processes that said hello and have not ended. */
  readonly #living = new Set<WorkerId>()

  constructor(options: HeadOptions) {
    this.#options = options
    this.nodes = new Nodes(options)
    const isEmbedded = options.nodeId !== null
    const lives = (id: WorkerId): boolean => (isEmbedded ? this.#living.has(id) : this.nodes.isAlive(nodeOf(id)))
    this.groups = new Groups(options, this.nodes, lives)
    this.actors = new Actors(options, this.nodes, this.groups, lives)
  }

  /** One that lives and dies with its only node. */
  static embedded(options: Pick<HeadOptions, 'encodeError'>, node: LocalNode): Head {
    const { nodeId } = node
    const alone = { nodeId, clusterId: nodeId, epoch: nodeId, nodeDeadAfterMs: Number.POSITIVE_INFINITY }
    const head = new Head({ ...options, ...alone })
    head.nodes.setLocal(node)
    return head
  }

  /** Before anything else: what the head before this one has kept. */
  restore(tables: Tables, now: Millis): void {
    this.nodes.restore(tables, now)
    this.jobs.restore(tables)
    this.groups.restore(tables)
    this.actors.restore(tables, now)
    this.#kv.restore(tables)
  }

  handle(event: HeadEvent, now: Millis, out: HeadEffect[]): void {
    switch (event.is) {
      case 'message':
        return this.#message(event.from, event.message, now, out)
      case 'fromDaemon':
        return this.#linked(out, all => this.#fromDaemon(event.nodeId, event.message, now, all))
      case 'turnEnd':
        return this.#acknowledge(out)
      case 'tick':
        return this.#linked(out, all => this.#tick(now, all))
      default:
        return this.#fromNode(this.#options.nodeId as NodeId, event, now, out)
    }
  }

  deadline(): Millis | null {
    const all = [this.nodes.deadline(), this.actors.deadline(), this.groups.deadline()]
    return soonest(all)
  }

  invariants(): void {
    this.nodes.invariants()
    this.actors.invariants()
    this.groups.invariants()
    this.#kv.invariants()
  }

  /** Entries of all tables, but for what has ended and is remembered: as many when all that came has gone again. */
  get size(): number {
    return this.nodes.size + this.jobs.size + this.actors.size + this.groups.size + this.#living.size
  }

  /** Leaves out what is for nodes that are away: they are told anew when they register. */
  #linked(out: HeadEffect[], step: (all: HeadEffect[]) => void): void {
    if (this.#options.nodeId !== null) return step(out)
    const all: HeadEffect[] = []
    step(all)
    for (const effect of all) {
      const nodeId = effect.is === 'send' ? nodeOf(effect.to) : effect.is === 'toNode' ? effect.nodeId : null
      if (nodeId === null || this.nodes.get(nodeId)?.linked) out.push(effect)
    }
  }

  #fromDaemon(nodeId: NodeId, message: Control, now: Millis, out: HeadEffect[]): void {
    if (message.is === 'register') {
      this.nodes.register(nodeId, message, now, out)
      return
    }
    const entry = this.nodes.get(nodeId)
    if (entry === undefined || !entry.linked) {
      const why = `it was declared dead: ${entry?.view.deathCause}`
      const answer = entry?.view.state === 'dead' ? ({ is: 'fenced', why } as const) : ({ is: 'registerAgain' } as const)
      out.push({ is: 'toDaemon', nodeId, message: answer })
      // It has a link once more.
      if (answer.is === 'fenced') out.push({ is: 'forget', nodeId })
      return
    }
    entry.lastHeard = now
    switch (message.is) {
      case 'beat':
        this.nodes.beat(entry, message, now)
        // Also where nothing changed: whoever was refused tries again.
        return this.#retry(now, out)
      case 'watching':
        for (const [actorId, process] of message.actors) this.#watchActor(actorId, process, out)
        for (const [groupId, process] of message.groups) this.#watchGroup(groupId, { process }, out)
        return
      case 'synced':
        return this.#synced(entry, message, now, out)
      case 'forHead':
      case 'toHead':
        return this.#numbered(entry, message, now, out)
    }
  }

  /** Questions are answered each time they come: the answer may have been lost. They change nothing, or the same thing. */
  #numbered(entry: NodeEntry, message: ForHead | ToHead, now: Millis, out: HeadEffect[]): void {
    const { nodeId } = entry.view
    const isNew = message.seq > entry.seen
    const isQuestion = message.is === 'forHead' && 'request' in message.message
    if (isNew) {
      entry.seen = message.seq
      entry.unacknowledged = true
    }
    if (!isNew && !isQuestion) return
    const before = out.length
    if (message.is === 'toHead') this.#fromNode(nodeId, message.event, now, out)
    else if (nodeOf(message.from) === nodeId) this.#message(message.from, message.message, now, out)
    if (isNew && out.slice(before).some(effect => effect.is === 'persist'))
      out.push({ is: 'persist', table: 'seen', key: nodeId, row: { seen: entry.seen } })
  }

  #synced(entry: NodeEntry, snapshot: Extract<Control, { is: 'synced' }>, now: Millis, out: HeadEffect[]): void {
    const { nodeId, state } = entry.view
    this.nodes.synced(entry, now, out)
    this.actors.synced(nodeId, snapshot, now, out)
    for (const jobId of snapshot.jobs) {
      if (!this.jobs.isRunning(jobId)) out.push({ is: 'toNode', nodeId, event: { is: 'jobEnded', jobId } })
    }
    if (state === 'draining') out.push({ is: 'toNode', nodeId, event: { is: 'drain' } })
    this.groups.synced(nodeId, snapshot.bundles, now, out)
    this.#retry(now, out)
  }

  #fromNode(nodeId: NodeId, event: NodeToHead, now: Millis, out: HeadEffect[]): void {
    switch (event.is) {
      case 'placed':
        return this.actors.placed(event, now, out)
      case 'placeRefused':
        return this.actors.refused(event.actorId, event.incarnation, nodeId, now, out)
      case 'placementImpossible':
        return this.actors.impossible(event.actorId, event.message, out)
      case 'environmentBroken':
        return this.actors.environmentBroken(event.actorId, event.message, out)
      case 'processDied':
        this.#living.delete(event.workerId)
        this.actors.processDied(event.workerId, event.death, now, out)
        this.groups.processDied(event.workerId, out)
        return this.#endJob(event.workerId, out)
      case 'bundlePrepared':
        this.groups.prepared(nodeId, event.groupId, event.attempt, out)
        return this.actors.retry(now, out)
      case 'bundleRefused':
        return this.groups.refused(nodeId, event.groupId, event.attempt, now, out)
      case 'watchGroup':
        return this.#watchGroup(event.groupId, { nodeId }, out)
      case 'drained':
        return this.#drained(nodeId, now, out)
      case 'leaving':
        return this.#nodeDied({ nodeId, why: event.why }, now, out)
    }
  }

  #message(from: WorkerId, message: Control, now: Millis, out: HeadEffect[]): void {
    switch (message.is) {
      case 'hello':
        if (this.#options.nodeId !== null) this.#living.add(from)
        if (message.job !== null) this.jobs.begin(message.job, from, out)
        return
      case 'actorCreate':
        return this.actors.create(message.spec, from, now, out)
      case 'actorWatch':
        return this.#watchActor(message.actorId, from, out)
      case 'actorKill':
        return this.actors.kill(message.actorId, message.noRestart, out)
      case 'actorDrop':
        return this.actors.drop(message.actorId, from, now, out)
      case 'actorStarted':
        return this.actors.started(message.actorId, message.incarnation, message.error, from, out)
      case 'actorExited':
        return this.actors.exited(message.actorId, message.incarnation, from, now, out)
      case 'actorByName': {
        const view = this.actors.named(message.name, message.namespace)
        out.push({ is: 'send', to: from, message: { is: 'actorNamed', request: message.request, view } })
        return
      }
      case 'groupCreate':
        return this.groups.create(message.spec, now, out)
      case 'groupRemove':
        return this.#removeGroup(message.groupId, out)
      case 'groupWatch':
        return this.#watchGroup(message.groupId, { process: from }, out)
      case 'groupByName': {
        const view = this.groups.named(message.name, message.namespace)
        out.push({ is: 'send', to: from, message: { is: 'groupNamed', request: message.request, view } })
        return
      }
      case 'kvPut':
      case 'kvGet':
      case 'kvDelete':
      case 'kvList':
        return this.#kv.handle(from, message, out)
      case 'drainNode':
        return this.#answer(from, message.request, this.#drain(message.nodeId, now, out), out)
      case 'query':
        return this.#answer(from, message.request, this.#rows(message.what, message.argument), out)
    }
  }

  #endJob(driver: WorkerId, out: HeadEffect[]): void {
    const job = this.jobs.end(driver, out)
    if (job === null) return
    for (const groupId of this.groups.jobEnded(job.jobId, out)) this.actors.groupRemoved(groupId, out)
    const nodes = this.#options.nodeId === null ? [...this.nodes.living()].map(({ view }) => view.nodeId) : [this.#options.nodeId]
    for (const nodeId of nodes) out.push({ is: 'toNode', nodeId, event: { is: 'jobEnded', jobId: job.jobId } })
  }

  #retry(now: Millis, out: HeadEffect[]): void {
    this.groups.retry(now, out)
    this.actors.retry(now, out)
  }

  #watchActor(actorId: string, watcher: WorkerId, out: HeadEffect[]): void {
    const creator = this.actors.watch(actorId, watcher, out)
    if (creator !== null) this.#watchProcess(creator, out)
  }

  #watchGroup(groupId: string, watcher: GroupWatcher, out: HeadEffect[]): void {
    if (this.groups.watch(groupId, watcher, out)) this.#watchProcess(ownerOf(groupId), out)
  }

  #removeGroup(groupId: string, out: HeadEffect[]): void {
    if (this.groups.remove(groupId, 'by removePlacementGroup()', out)) this.actors.groupRemoved(groupId, out)
  }

  #answer(to: WorkerId, request: number, rows: unknown[], out: HeadEffect[]): void {
    out.push({ is: 'send', to, message: { is: 'answer', request, rows } })
  }

  /** Only its node knows of every process, and tells of the end of those that are asked about. */
  #watchProcess(workerId: WorkerId, out: HeadEffect[]): void {
    if (this.#options.nodeId === null) out.push({ is: 'toNode', nodeId: nodeOf(workerId), event: { is: 'watchProcess', workerId } })
  }

  #drain(nodeId: NodeId, now: Millis, out: HeadEffect[]): unknown[] {
    if (!this.nodes.drain(nodeId, now, out)) return []
    out.push({ is: 'toNode', nodeId, event: { is: 'drain' } })
    return [{ nodeId, state: 'draining' }]
  }

  #drained(nodeId: NodeId, now: Millis, out: HeadEffect[]): void {
    if (this.nodes.get(nodeId)?.view.state !== 'draining') return
    // Past the rule for nodes that are gone: it is still there to be told.
    out.push({ is: 'toDaemon', nodeId, message: { is: 'toNode', event: { is: 'leave' } } })
    this.#nodeDied({ nodeId, why: 'it was drained' }, now, out)
  }

  #nodeDied({ nodeId, why }: Lost, now: Millis, out: HeadEffect[]): void {
    this.nodes.die({ nodeId, why }, now, out)
    const message = { is: 'nodeDied', nodeId, why } as const
    for (const { view, linked } of this.nodes.living()) if (linked) out.push({ is: 'toDaemon', nodeId: view.nodeId, message })
    this.groups.nodeDied(nodeId, now, out)
    this.actors.nodeDied(nodeId, why, now, out)
    for (const driver of this.jobs.driversOn(nodeId)) this.#endJob(driver, out)
    out.push({ is: 'forget', nodeId })
  }

  /** Kept are the effects of everything until now: its rows were asked for before this acknowledgement. */
  #acknowledge(out: HeadEffect[]): void {
    for (const entry of this.nodes.living()) {
      if (!entry.unacknowledged) continue
      entry.unacknowledged = false
      out.push({ is: 'toDaemon', nodeId: entry.view.nodeId, message: { is: 'headAck', seq: entry.seen } })
    }
  }

  #tick(now: Millis, out: HeadEffect[]): void {
    for (const lost of this.nodes.silent(now)) this.#nodeDied(lost, now, out)
    this.groups.tick(now, out)
    this.actors.tick(now, out)
    this.nodes.tellViews(now, out)
  }

  #rows(what: string, argument: string): unknown[] {
    if (what === 'nodes') return this.nodes.rows()
    if (what === 'jobs') return this.jobs.rows()
    if (what === 'groups') return this.groups.rows()
    if (what === 'actors') return [...this.actors.all()].map(rowOf)
    const reason = this.actors.placement(argument) ?? this.groups.placement(argument)
    return reason === null ? [] : [{ reason }]
  }
}
