// SPDX-License-Identifier: Apache-2.0

import assert from 'node:assert/strict'
import type { OwnerEvent } from '#lib/core/owner/owner.js'
import { Lease } from '#lib/run/lease.js'
import type { Runtime } from '#lib/run/runtime.js'
import { jobOf, workerIdOf } from '../../fakes/cluster.js'

const NODE = workerIdOf(0)
const OWNER = workerIdOf(1)

/** A lease of a worker, and what it says to the node, oldest first. */
function leased(leaseId = 1) {
  const said: string[] = []
  /** What it has said to the node whenever it has the owner say what it wants. */
  const saidBefore: string[][] = []
  const runtime = {
    node: NODE,
    welcome: null,
    send: (to: string, message: { is: string }) => {
      if (to === NODE) said.push(message.is)
    },
    act: ({ is }: OwnerEvent) => {
      if (is === 'flush') saidBefore.push([...said])
    },
  }
  const lease = new Lease(runtime as unknown as Runtime)
  const announce = (id: number, owner = OWNER) =>
    lease.announce(owner, { is: 'leaseStart', leaseId: id, gpuIds: [], resources: { CPU: 10_000 }, job: jobOf(owner), capture: null })
  const start = (id: number) => {
    announce(id)
    lease.next(OWNER)
  }
  start(leaseId)
  return { lease, said, saidBefore, start, announce }
}

/** A promise to be settled by hand. */
function open() {
  let settle: (value: number) => void = () => {}
  const promise = new Promise<number>(resolve => {
    settle = resolve
  })
  return { promise, settle }
}

async function isPending(promise: Promise<unknown>): Promise<boolean> {
  const pending = Symbol('pending')
  return (await Promise.race([promise, new Promise(resolve => setImmediate(resolve, pending))])) === pending
}

suite('the lease of a worker', () => {
  test('a wait gives the CPU back, and goes on when it is there again', async () => {
    const { lease, said, saidBefore } = leased()
    const { promise, settle } = open()
    const waiting = lease.waiting(promise)
    assert.deepEqual(said, ['blocked'])
    assert.deepEqual(saidBefore, [[]], 'what it waits for is not asked for before its CPU is given back')
    settle(5)
    assert.ok(await isPending(waiting))
    assert.deepEqual(said, ['blocked', 'unblock'])
    lease.resumed(1)
    assert.equal(await waiting, 5)
    assert.equal(lease.regained(), null)
  })

  test('a wait for arguments gives the CPU back only when it lasts', async () => {
    const { lease, said } = leased()
    assert.equal(await lease.waitingLong(Promise.resolve(4), 1 << 30), 4)
    await assert.rejects(lease.waitingLong(Promise.reject(new Error('lost')), 1 << 30), /lost/)
    assert.deepEqual(said, [])
    const { promise, settle } = open()
    const waiting = lease.waitingLong(promise, 1)
    while (said.length === 0) await new Promise(resolve => setImmediate(resolve))
    settle(5)
    assert.ok(await isPending(waiting))
    assert.deepEqual(said, ['blocked', 'unblock'])
    lease.resumed(1)
    assert.equal(await waiting, 5)
  })

  test('what a task leaves waiting when it ends does not lend out the CPU of the next', async () => {
    const { lease, said } = leased()
    const [won, lost] = [open(), open()]
    const race = Promise.race([lease.waiting(won.promise), lease.waiting(lost.promise)])
    won.settle(1)
    assert.equal(await race, 1)
    assert.deepEqual(said, ['blocked'])
    lease.taskEnded()
    assert.deepEqual(said, ['blocked', 'unblock'])
    const regained = lease.regained()
    assert.ok(regained !== null && (await isPending(regained)))
    lease.resumed(1)
    await regained
    assert.equal(lease.regained(), null)
    // The loser settles while the next task runs, or waits.
    const next = open()
    const waiting = lease.waiting(next.promise)
    lost.settle(2)
    assert.ok(await isPending(waiting))
    assert.deepEqual(said, ['blocked', 'unblock', 'blocked'])
  })

  test('a new lease begins with its CPU, whatever the last one waited for', async () => {
    const { lease, said, start } = leased()
    void lease.waiting(open().promise)
    lease.taskEnded()
    const regained = lease.regained()
    start(2)
    await regained
    assert.equal(lease.regained(), null)
    lease.resumed(1)
    assert.deepEqual(said, ['blocked', 'unblock'])
  })

  test('a lease that was given back before it was heard of is not that of the task that runs', async () => {
    const { lease, said, announce } = leased(2)
    announce(1, workerIdOf(2))
    const { promise, settle } = open()
    const waiting = lease.waiting(promise)
    settle(5)
    assert.ok(await isPending(waiting))
    assert.deepEqual(said, ['blocked', 'unblock'])
    lease.resumed(2)
    assert.equal(await waiting, 5)
  })
})
