// SPDX-License-Identifier: Apache-2.0
// Nodes whose stores are maps, and the objects of a process that dies.

import assert from 'node:assert/strict'
import { HEAD_ID, nodeOf, objectId } from '#lib/ids.js'
import { limits } from '#lib/options.js'
import { Orphans } from '#lib/run/orphans.js'
import type { Control, WorkerId } from '#lib/wire/messages.js'
import { remoteWorker } from '../../fakes/cluster.js'
import { DEATH } from '../../fakes/owner.js'

const NODES = ['aaaaaaaaaa', 'bbbbbbbbbb', 'cccccccccc']

class Node {
  readonly store = new Map<string, number>()
  readonly living = new Set<WorkerId>()
  /** Dead, and nobody has been told. */
  readonly ending = new Set<WorkerId>()
  /** Alive, and have said goodbye. */
  readonly leaving = new Set<WorkerId>()
  /** What processes were told. */
  readonly told: Control[] = []
  readonly promoted: string[] = []
  /** What this node has heard of that it seeks. */
  readonly answered: string[] = []
  hasView = true
  readonly orphans: Orphans

  constructor(
    readonly nodeId: string,
    cluster: Cluster,
  ) {
    this.living.add(this.process)
    this.orphans = new Orphans({
      self: remoteWorker(0, nodeId),
      nodeId,
      contains: id => this.store.has(id),
      sealed: () => this.store,
      remove: id => void this.store.delete(id),
      promote: id => void this.promoted.push(id),
      living: () => this.living,
      processes: () => [...this.living, ...this.ending].filter(each => !this.leaving.has(each)),
      isAlone: false,
      others: () => (this.hasView ? [...cluster.nodes.keys()].filter(each => each !== nodeId) : null),
      send: (_, message) => void this.told.push(message),
      sendToNode: (to, message) => void cluster.nodes.get(to)?.orphans.heard(remoteWorker(0, nodeId), message),
      answered: id => void this.answered.push(id),
      now: () => cluster.now,
      later: (ms, then) => void cluster.timers.push({ at: cluster.now + ms, then }),
      encodeError: error => new TextEncoder().encode(error.message),
    })
  }

  get process(): WorkerId {
    return remoteWorker(5, this.nodeId)
  }

  says(message: Control): void {
    this.orphans.heard(this.process, message)
  }
}

class Cluster {
  now = 0
  readonly timers: { at: number; then: () => void }[] = []
  readonly nodes = new Map<string, Node>()

  constructor() {
    for (const nodeId of NODES) this.nodes.set(nodeId, new Node(nodeId, this))
  }

  at(i: number): Node {
    return this.nodes.get(NODES[i] as string) as Node
  }

  /** Every node hears of it, and so do its processes, which have nothing of it unless they said so before. */
  dies(owner: WorkerId): void {
    for (const node of this.nodes.values()) {
      if (node.living.delete(owner)) {
        node.orphans.died(owner)
        node.orphans.reaped()
      } else node.orphans.heard(remoteWorker(0, nodeOf(owner)), { is: 'workerDied', workerId: owner, death: DEATH })
    }
  }

  mourn(id: string): void {
    for (const node of this.nodes.values()) node.says({ is: 'mourned', id })
  }

  pass(ms: number): void {
    this.now += ms
    for (const timer of this.timers.splice(0))
      if (timer.at <= this.now) timer.then()
      else this.timers.push(timer)
  }
}

suite('orphans', () => {
  const OWNER = remoteWorker(7, NODES[0] as string)
  const id = (seq: number) => objectId(OWNER, seq)
  let cluster: Cluster
  setup(() => {
    cluster = new Cluster()
    cluster.at(0).living.add(OWNER)
    cluster.at(0).store.set(id(1), 100)
    cluster.at(1).store.set(id(1), 100)
    cluster.at(1).store.set(id(2), 200)
  })

  test('copies that nobody borrows go, everywhere, when the others have had the time to claim them', () => {
    cluster.at(2).store.set(objectId(cluster.at(2).process, 1), 1)
    cluster.dies(OWNER)
    cluster.mourn(OWNER)
    assert.equal(cluster.at(1).store.size, 2)
    cluster.pass(limits.adoptionGraceMs + 1)
    assert.deepEqual(
      [0, 1, 2].map(i => cluster.at(i).store.size),
      [0, 0, 1],
    )
  })

  test('what a process had that says goodbye, and ends when all have heard of it, goes with it', () => {
    const here = cluster.at(0)
    here.orphans.died(OWNER)
    cluster.pass(limits.adoptionGraceMs + 1)
    cluster.mourn(OWNER)
    assert.equal(here.store.size, 1, 'it has not ended')
    here.living.delete(OWNER)
    here.orphans.reaped()
    cluster.pass(1_001)
    assert.equal(here.store.size, 0)
  })

  test('a process that said goodbye and has not ended, for its views, is asked nothing any more; what it has stays until it ends', () => {
    const here = cluster.at(0)
    here.leaving.add(OWNER)
    here.orphans.died(OWNER)
    here.says({ is: 'mourned', id: OWNER })
    cluster.pass(limits.adoptionGraceMs + 1)
    assert.equal(here.orphans.locate(id(2))?.state, 'failed')
    assert.equal(here.orphans.describeOwner(id(2)), 'its owner is gone')
    assert.equal(here.store.size, 1)
    here.store.set(id(2), 200)
    here.orphans.arrived(id(2))
    assert.deepEqual([...here.store.keys()], [id(1)], 'a copy that came late, for nobody')
  })

  test('what a process had that has ended stays until that is told, whoever else dies meanwhile', () => {
    const here = cluster.at(0)
    here.living.delete(OWNER)
    here.ending.add(OWNER)
    const OTHER = remoteWorker(8, here.nodeId)
    here.orphans.died(OTHER)
    here.says({ is: 'mourned', id: OTHER })
    cluster.pass(limits.adoptionGraceMs + 1)
    assert.equal(here.store.size, 1)
    assert.equal(here.orphans.locate(id(1))?.state, 'stored', 'it may turn out that somebody has it')
    assert.equal(here.orphans.describeOwner(id(1)), 'its owner is gone')
    here.ending.delete(OWNER)
    here.orphans.died(OWNER)
    here.says({ is: 'adopt', ack: 1, owner: OWNER, seqs: [1] })
    assert.deepEqual(here.told, [{ is: 'adopted', ack: 1, missing: [] }])
  })

  test('what a process borrows is claimed where it lies, got from there, and then kept here', () => {
    cluster.dies(OWNER)
    const [b, c] = [cluster.at(1), cluster.at(2)]
    c.says({ is: 'adopt', ack: 1, owner: OWNER, seqs: [2, 3] })
    assert.deepEqual(c.told, [{ is: 'adopted', ack: 1, missing: [3] }])
    cluster.mourn(OWNER)
    cluster.pass(limits.adoptionGraceMs + 1)
    assert.deepEqual([...b.store.keys()], [id(2)])
    const located = c.orphans.locate(id(2))
    assert.deepEqual([located?.state, located?.nodes, located?.sizeBytes], ['stored', [b.nodeId], 200])
    assert.equal(c.orphans.locate(id(3))?.state, 'failed')
    assert.equal(c.orphans.locate(objectId(b.process, 1)), null, 'whose owner lives')
    c.store.set(id(2), 200)
    c.orphans.arrived(id(2))
    assert.deepEqual(c.promoted, [id(2)])
    assert.equal(b.store.size, 0)
    c.says({ is: 'disown', owner: OWNER, seqs: [2] })
    assert.equal(c.store.size, 0)
  })

  test('an argument, which no process here borrows, is claimed for as long as it is sought', () => {
    cluster.dies(OWNER)
    const [b, c] = [cluster.at(1), cluster.at(2)]
    b.says({ is: 'adopt', ack: 1, owner: OWNER, seqs: [2] })
    cluster.mourn(OWNER)
    cluster.pass(limits.adoptionGraceMs + 1)
    assert.deepEqual([...b.store.keys()], [id(2)], 'somebody there holds it for the task')
    const located = c.orphans.seek(id(2))
    assert.deepEqual([located?.state, located?.nodes, located?.sizeBytes], ['stored', [b.nodeId], 200])
    assert.deepEqual([c.answered, c.told], [[id(2)], []])
    b.says({ is: 'disown', owner: OWNER, seqs: [2] })
    assert.equal(b.store.size, 1, 'it is on its way')
    c.store.set(id(2), 200)
    c.orphans.arrived(id(2))
    assert.deepEqual([b.store.size, c.store.size], [0, 1])
    c.orphans.unseek(id(2))
    assert.equal(c.store.size, 0)
  })

  test('a node that has just come waits until it knows the others: they may claim what is there, and have what it lacks', () => {
    const [a, b] = [cluster.at(0), cluster.at(1)]
    b.store.delete(id(1))
    a.hasView = false
    b.hasView = false
    cluster.dies(OWNER)
    b.says({ is: 'adopt', ack: 1, owner: OWNER, seqs: [1] })
    cluster.mourn(OWNER)
    assert.deepEqual(b.told, [])
    assert.equal(b.orphans.locate(id(1))?.state, 'stored')
    assert.deepEqual([...a.store.keys()], [id(1)])
    b.hasView = true
    b.orphans.met()
    assert.deepEqual(b.told, [{ is: 'adopted', ack: 1, missing: [] }])
    cluster.pass(limits.adoptionGraceMs + 1)
    assert.deepEqual([...a.store.keys()], [id(1)])
    b.says({ is: 'disown', owner: OWNER, seqs: [1] })
    assert.equal(a.store.size, 0)
  })

  test('what is sought and was never found leaves nothing behind', () => {
    const c = cluster.at(2)
    assert.equal(c.orphans.seek(id(3)), null, 'its owner lives')
    cluster.dies(OWNER)
    assert.equal(c.orphans.seek(id(3))?.state, 'stored', 'others may not have heard of the death')
    cluster.mourn(OWNER)
    cluster.pass(limits.adoptionGraceMs + 1)
    assert.equal(c.orphans.seek(id(3))?.state, 'failed')
    c.orphans.unseek(id(3))
    assert.equal(c.orphans.locate(id(2))?.state, 'failed', 'to look is not to seek')
    assert.deepEqual(c.answered, [id(3)])
    c.store.set(id(3), 300)
    c.orphans.arrived(id(3))
    assert.equal(c.store.size, 0, 'a copy that comes late is for nobody')
  })

  test('an answer that comes when nothing is sought any more seeks nothing', () => {
    const [b, c] = [cluster.at(1), cluster.at(2)]
    cluster.dies(OWNER)
    cluster.nodes.delete(NODES[1] as string)
    cluster.nodes.set(NODES[1] as string, { ...b, orphans: { heard: () => {} } } as unknown as Node)
    assert.deepEqual(c.orphans.seek(id(2))?.nodes, [])
    c.orphans.unseek(id(2))
    c.orphans.heard(remoteWorker(0, b.nodeId), { is: 'claimed', owner: OWNER, seqs: [2], kept: [[2, 200]] })
    assert.deepEqual(c.answered, [])
  })

  test('the death of a node is that of all its owners', () => {
    const b = cluster.at(1)
    cluster.nodes.delete(NODES[0] as string)
    for (const node of cluster.nodes.values()) node.orphans.heard(HEAD_ID, { is: 'nodeDied', nodeId: NODES[0] as string, why: 'silence' })
    b.says({ is: 'adopt', ack: 1, owner: OWNER, seqs: [1] })
    assert.deepEqual(b.told, [{ is: 'adopted', ack: 1, missing: [] }])
    cluster.mourn(NODES[0] as string)
    cluster.pass(limits.adoptionGraceMs + 1)
    assert.deepEqual([...b.store.keys()], [id(1)])
  })

  test('however many others die, those are remembered of whom something is kept; the rest are forgotten', () => {
    const [a, b, c] = [cluster.at(0), cluster.at(1), cluster.at(2)]
    let next = 100
    const die = (count: number): void => {
      for (let i = 0; i < count; i++) {
        const owner = remoteWorker(next++, NODES[0])
        cluster.dies(owner)
        cluster.mourn(owner)
      }
      cluster.pass(limits.adoptionGraceMs)
    }
    const early = objectId(remoteWorker(next, NODES[0]), 1)
    die(1)
    assert.equal(b.orphans.describeOwner(early), 'its owner is gone')
    cluster.dies(OWNER)
    c.says({ is: 'adopt', ack: 1, owner: OWNER, seqs: [2] })
    cluster.mourn(OWNER)
    for (let i = 0; i < 12; i++) die(limits.deadOwnersKept / 10)
    for (const node of [b, c]) assert.equal(node.orphans.describeOwner(early), null, 'forgotten')
    for (const node of [b, c]) assert.equal(node.orphans.describeOwner(id(2)), 'its owner is gone')
    assert.deepEqual(c.orphans.locate(id(2))?.nodes, [b.nodeId])
    assert.deepEqual([...a.store.keys(), ...b.store.keys()], [id(2)])
    c.says({ is: 'disown', owner: OWNER, seqs: [2] })
    cluster.pass(limits.adoptionGraceMs)
    assert.deepEqual([...b.store.keys()], [], 'what it had goes')
    for (let i = 0; i < 12; i++) die(limits.deadOwnersKept / 10)
    for (const node of [b, c]) assert.equal(node.orphans.describeOwner(id(2)), null, 'nothing of it is kept any more')
  })

  test('of the death of a node that is told twice processes hear once', () => {
    const b = cluster.at(1)
    const [gone] = NODES as [string]
    cluster.nodes.delete(gone)
    b.orphans.heard(HEAD_ID, { is: 'nodeDied', nodeId: gone, why: 'its link was given up' })
    b.says({ is: 'mourned', id: gone })
    b.orphans.heard(HEAD_ID, { is: 'nodeDied', nodeId: gone, why: 'silence' })
    cluster.pass(limits.adoptionGraceMs + 1)
    assert.equal(b.store.size, 0)
  })

  test('people are told that an owner is gone; one on another node tells of its objects itself', () => {
    const cluster = new Cluster()
    const [here, there] = [cluster.at(0), cluster.at(1)]
    const id = objectId(there.process, 1)
    here.store.set(id, 5)
    assert.equal(here.orphans.describeOwner(id), null)
    cluster.dies(there.process)
    assert.equal(here.orphans.describeOwner(id), 'its owner is gone')
    assert.equal(here.orphans.describeOwner(objectId(remoteWorker(7, here.nodeId), 1)), 'its owner is gone')
    assert.match(
      here.orphans.describeOwner(objectId(remoteWorker(5, 'dddddddddd'), 1)) ?? '',
      /on node dddddddddd, which this one has not heard of/,
    )
    here.orphans.heard(HEAD_ID, { is: 'nodeDied', nodeId: NODES[2] as string, why: 'it burns' })
    assert.equal(here.orphans.describeOwner(objectId(cluster.at(2).process, 1)), 'its owner is gone')
  })
})
