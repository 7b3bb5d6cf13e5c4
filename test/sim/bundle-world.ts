// SPDX-License-Identifier: Apache-2.0
// The two-phase protocol of placement groups with nothing around it: the head's groups and the bundles of nodes as they
// ship, and ordered channels between them. Everything that can happen next is a choice, and every order of choices is tried.

import assert from 'node:assert/strict'
import type { HeadEffect } from '#lib/core/head/events.js'
import type { GroupRow } from '#lib/core/head/group.js'
import { Groups } from '#lib/core/head/groups.js'
import { Nodes } from '#lib/core/head/nodes.js'
import { Bundles } from '#lib/core/node/bundles.js'
import { Devices } from '#lib/core/node/devices.js'
import type { HeadToNode, NodeEffect, NodeToHead } from '#lib/core/node/events.js'
import { type Holding, Ledger } from '#lib/core/node/ledger.js'
import { toAmounts } from '#lib/core/resources.js'
import type { BundleSeat, GroupSpec, GroupStrategy, NodeView } from '#lib/wire/messages.js'

/** What may go wrong, once each. */
export interface Trouble {
  kills: string[]
  restarts: number
  removals: string[]
  /** A task that takes a CPU of that node behind the head's back, and gives it back in the end. */
  tasks: string[]
}

type Up = { is: 'event'; event: NodeToHead } | { is: 'synced'; seats: BundleSeat[] }

class SimNode {
  readonly ledger: Ledger
  readonly bundles: Bundles
  task: Holding | null = null
  readonly down: HeadToNode[] = []
  readonly up: Up[] = []

  constructor(cpus: number) {
    this.ledger = new Ledger(toAmounts({ CPU: cpus }), new Devices([]))
    this.bundles = new Bundles(this.ledger)
  }
}

/** How a group that lives is in the end, by which were removed. */
export type Expected = (groupId: string, removed: ReadonlySet<string>) => string

export class BundleWorld {
  readonly nodes = new Map<string, SimNode>()
  readonly #totals: Record<string, number>
  readonly #kept = new Map<string, GroupRow>()
  #groups!: Groups
  #headNodes!: Nodes
  #run = 0
  readonly #left: Trouble

  constructor(totals: Record<string, number>, specs: GroupSpec[], trouble: Trouble) {
    this.#totals = totals
    this.#left = { ...trouble, kills: [...trouble.kills], removals: [...trouble.removals], tasks: [...trouble.tasks] }
    for (const [nodeId, cpus] of Object.entries(totals)) this.nodes.set(nodeId, new SimNode(cpus))
    this.#startHead()
    for (const nodeId of this.nodes.keys()) this.#sync(nodeId, [])
    for (const spec of specs) this.#head(out => this.#groups.create(spec, 0, out))
  }

  /** What can happen next, by name. */
  choices(): string[] {
    const choices: string[] = []
    for (const [nodeId, { up, down }] of this.nodes) {
      if (up.length > 0) choices.push(`up ${nodeId}`)
      if (down.length > 0) choices.push(`down ${nodeId}`)
    }
    for (const nodeId of this.#left.kills) choices.push(`kill ${nodeId}`)
    for (const groupId of this.#left.removals) choices.push(`remove ${groupId}`)
    for (const nodeId of this.#left.tasks) if (this.nodes.get(nodeId)?.ledger.fits(toAmounts({ CPU: 1 }))) choices.push(`task ${nodeId}`)
    if (this.#left.restarts > 0) choices.push('restart')
    return choices
  }

  do(choice: string): void {
    const [verb, name] = choice.split(' ') as [string, string]
    if (verb === 'up') this.#deliverUp(name)
    else if (verb === 'down') this.#deliverDown(name)
    else if (verb === 'kill') this.#kill(name)
    else if (verb === 'remove') {
      this.#left.removals.splice(this.#left.removals.indexOf(name), 1)
      this.#head(out => this.#groups.remove(name, 'asked for', out))
    } else if (verb === 'task') {
      this.#left.tasks.splice(this.#left.tasks.indexOf(name), 1)
      const node = this.nodes.get(name) as SimNode
      node.task = node.ledger.take(toAmounts({ CPU: 1 }))
    } else this.#restart()
    this.#check()
  }

  /** Everything under way arrives; tasks end, and the nodes tell of it, until nothing changes any more. */
  settle(): void {
    this.#drain()
    for (const node of this.nodes.values()) {
      if (node.task !== null) node.ledger.give(node.task)
      node.task = null
    }
    for (let round = 0; round < 4; round++) {
      for (const [nodeId, { ledger }] of this.nodes) {
        const entry = this.#headNodes.get(nodeId)
        if (entry?.synced) this.#headNodes.beat(entry, { is: 'beat', available: { ...ledger.available }, demand: [] }, 0)
      }
      this.#head(out => this.#groups.retry(0, out))
      this.#drain()
    }
  }

  /** At rest: what nodes hold is what groups have, and groups that fit are there. */
  checkRest(expected: Expected): void {
    const removed = new Set([...this.#kept].filter(([, row]) => row.phase === 'removed').map(([groupId]) => groupId))
    for (const [groupId, row] of this.#kept) {
      if (row.phase !== 'removed') assert.equal(row.phase, expected(groupId, removed), `group ${groupId}`)
      for (const [index, seat] of row.seats.entries()) {
        if (row.phase !== 'created') continue
        const held = this.nodes
          .get(seat?.nodeId ?? '')
          ?.bundles.of(groupId)
          .find(bundle => bundle.index === index)
        assert.equal(held?.attempt, seat?.attempt, `bundle ${index} of ${groupId} is not where it should be`)
        assert.equal(held?.state, 'committed')
      }
    }
    for (const [nodeId, { bundles, ledger }] of this.nodes) {
      let count = 0
      for (const { groupId, index, attempt } of bundles.all()) {
        const seat = this.#kept.get(groupId)?.seats[index]
        assert.ok(
          seat?.nodeId === nodeId && seat.attempt === attempt,
          `node ${nodeId} holds bundle ${index} of ${groupId}, which nobody has`,
        )
        count++
      }
      if (count === 0) assert.ok(ledger.idle, `node ${nodeId} has not got back all that was set aside`)
    }
  }

  /** Two worlds of one text go on alike. Attempts are called by the order in which they appear. */
  text(): string {
    const names = new Map<string, string>()
    const nodes = [...this.nodes].map(([nodeId, { bundles, up, down, task }]) => [
      nodeId,
      [...bundles.all()].map(plain),
      up,
      down,
      task !== null,
    ])
    const head = this.#groups.rows()
    const known = [...this.nodes.keys()].map(nodeId => this.#headNodes.get(nodeId)?.view.available)
    const text = JSON.stringify([nodes, head, this.#pending(), [...this.#kept], known, this.#left])
    return text.replace(/run\d+\.\d+/g, name => {
      let short = names.get(name)
      if (short === undefined) names.set(name, (short = `@${names.size}`))
      return short
    })
  }

  /** What the groups are waiting for: part of what decides how it goes on. */
  #pending(): unknown {
    return [...this.#kept.keys()].map(groupId => this.#groups.phaseOf(groupId))
  }

  #deliverUp(nodeId: string): void {
    const message = (this.nodes.get(nodeId) as SimNode).up.shift() as Up
    if (message.is === 'synced') return this.#sync(nodeId, message.seats)
    const { event } = message
    this.#head(out => {
      if (event.is === 'bundlePrepared') this.#groups.prepared(nodeId, event.groupId, event.attempt, out)
      else if (event.is === 'bundleRefused') this.#groups.refused(nodeId, event.groupId, event.attempt, 0, out)
    })
  }

  #deliverDown(nodeId: string): void {
    const { down, up, bundles } = this.nodes.get(nodeId) as SimNode
    const event = down.shift() as HeadToNode
    const out: NodeEffect[] = []
    if (event.is === 'bundlePrepare') bundles.prepare(event, true, out)
    else if (event.is === 'bundleCommit') {
      bundles.commit(event.groupId, event.attempt)
      // It serves: then the group has kept that it has all of its bundles, and has not lost this one since.
      const row = this.#kept.get(event.groupId)
      for (const bundle of bundles.of(event.groupId)) {
        if (bundle.state !== 'committed' || row === undefined || row.phase === 'removed') continue
        const seat = row.seats[bundle.index]
        assert.ok(seat?.attempt === bundle.attempt && seat.nodeId === nodeId, 'a bundle serves that its group does not have')
      }
    } else if (event.is === 'bundleReturn') bundles.return(event.groupId, event.attempt)
    bundles.settle()
    for (const effect of out) if (effect.is === 'toHead') up.push({ is: 'event', event: effect.event })
  }

  #kill(nodeId: string): void {
    this.#left.kills.splice(this.#left.kills.indexOf(nodeId), 1)
    this.nodes.delete(nodeId)
    this.#left.tasks = this.#left.tasks.filter(each => each !== nodeId)
    this.#head(out => {
      this.#headNodes.die({ nodeId, why: 'killed' }, 0, out)
      this.#groups.nodeDied(nodeId, 0, out)
    })
  }

  /** What was on its way to nodes is lost; what nodes said comes, and then what they have. */
  #restart(): void {
    this.#left.restarts--
    for (const node of this.nodes.values()) {
      node.down.length = 0
      node.up.push({ is: 'synced', seats: [] })
    }
    this.#startHead()
  }

  #startHead(): void {
    const options = { nodeId: null, encodeError: () => new Uint8Array(0), clusterId: 'c', epoch: `run${this.#run++}`, nodeDeadAfterMs: 1 }
    this.#headNodes = new Nodes(options)
    this.#groups = new Groups(options, this.#headNodes, () => true)
    this.#groups.restore(new Map([['groups', new Map(structuredClone([...this.#kept]))]]))
    for (const nodeId of this.nodes.keys())
      this.#headNodes.register(nodeId, { is: 'register', clusterId: null, node: this.#viewOf(nodeId) }, 0, [])
  }

  #sync(nodeId: string, _: BundleSeat[]): void {
    const entry = this.#headNodes.get(nodeId)
    const node = this.nodes.get(nodeId) as SimNode
    assert.ok(entry)
    entry.told = { ...node.ledger.available }
    this.#head(out => {
      this.#headNodes.synced(entry, 0, out)
      this.#headNodes.beat(entry, { is: 'beat', available: { ...node.ledger.available }, demand: [] }, 0)
      this.#groups.synced(nodeId, node.bundles.seats(), 0, out)
      this.#groups.retry(0, out)
    })
  }

  #head(step: (out: HeadEffect[]) => void): void {
    const out: HeadEffect[] = []
    step(out)
    this.#groups.invariants()
    for (const effect of out) {
      if (effect.is === 'persist' && effect.table === 'groups') this.#kept.set(effect.key, structuredClone(effect.row) as GroupRow)
      if (effect.is === 'toNode') this.nodes.get(effect.nodeId)?.down.push(effect.event)
    }
  }

  #drain(): void {
    for (;;) {
      const [choice] = this.choices().filter(each => /^(up|down) /.test(each))
      if (choice === undefined) return
      this.do(choice)
    }
  }

  #check(): void {
    for (const { ledger, bundles, task } of this.nodes.values()) {
      bundles.invariants(() => [])
      ledger.invariants([...[...bundles.all()].map(({ holding }) => holding), ...(task === null ? [] : [task])])
    }
  }

  #viewOf(nodeId: string): NodeView {
    const total = toAmounts({ CPU: this.#totals[nodeId] as number })
    return {
      ...{ nodeId, daemonId: nodeId, hostname: '', address: '', dataAddress: '', state: 'alive', labels: {}, gpuIds: [] },
      ...{ total, available: { ...total }, deathCause: null },
    }
  }
}

export function specOf(groupId: string, strategy: GroupStrategy, bundles: number[]): GroupSpec {
  const amounts = bundles.map(CPU => toAmounts({ CPU }))
  return { groupId, name: null, namespace: 'n', strategy, bundles: amounts, detached: false, jobId: 'j' }
}

function plain({ groupId, index, attempt, state }: { groupId: string; index: number; attempt: string; state: string }): unknown {
  return [groupId, index, attempt, state]
}

/** Tries every order; gives the number of different states. A failure says which choices led to it. */
export function everyCourse(make: () => BundleWorld, expected: Expected): number {
  const seen = new Set<string>()
  const open: string[][] = [[]]
  for (let course = open.pop(); course !== undefined; course = open.pop()) {
    const replay = (): BundleWorld => {
      const world = make()
      for (const choice of course as string[]) world.do(choice)
      return world
    }
    try {
      const world = replay()
      const text = world.text()
      if (seen.has(text)) continue
      seen.add(text)
      for (const choice of world.choices()) open.push([...course, choice])
      world.settle()
      world.checkRest(expected)
    } catch (error) {
      throw new Error(`after ${course.join(', ')}: ${(error as Error).message}`, { cause: error })
    }
  }
  return seen.size
}
