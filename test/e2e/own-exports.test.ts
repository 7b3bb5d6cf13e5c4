// SPDX-License-Identifier: Apache-2.0
// Classes and functions of this package as values: they arrive as the receiver's own, not as copies.

import assert from 'node:assert/strict'
import { get, ObjectRef, Queue, remote, TaskError } from 'eagleray'
import { ObjectStore } from 'eagleray/store'
import { Semaphore, SignalActor, waitFor } from 'eagleray/testing'
import { begin, end } from './support.js'

suite('exports of this package as values', () => {
  suiteSetup(() => begin())
  suiteTeardown(end)

  test('actors of eagleray/testing', async () => {
    const signal = remote(SignalActor).remote()
    const waiting = signal.wait.remote()
    await get(signal.send.remote())
    await get(waiting)
  })

  test('passed as arguments, they are those that a worker imports', async () => {
    const same = remote(async (given: Record<string, unknown>) => {
      const own = { ...(await import('eagleray')), ...(await import('eagleray/store')), ...(await import('eagleray/testing')) }
      return Object.keys(given).filter(name => given[name] !== own[name as keyof typeof own])
    })
    const given = { ObjectRef, Queue, TaskError, ObjectStore, Semaphore, SignalActor, get, waitFor }
    assert.deepEqual(await get(same.remote(given)), [])
  })

  test('captured, they are those that a worker imports', async () => {
    const text = remote((queue: Queue<string>) => {
      if (!(queue instanceof Queue)) throw new Error('another Queue')
      return queue.get()
    })
    const queue = new Queue<string>()
    await queue.put('through')
    assert.equal(await get(text.remote(queue)), 'through')
  })
})
