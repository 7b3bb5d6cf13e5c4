// SPDX-License-Identifier: Apache-2.0
// Objects whose owner is dead. What lay in the store stays there for whoever borrows it; what never came to be there, and
// small values that nobody had fetched, are lost, and whoever waits is told.

import assert from 'node:assert/strict'
import { get, type ObjectRef, OwnerDiedError, put, ready, remote } from 'eagleray'
import { begin, end, sessionStore, waitFor } from './support.js'

class Owner {
  pid() {
    return process.pid
  }
  stored() {
    return { ref: put(new Uint8Array(100_000).fill(7)) }
  }
  async inline() {
    const ref = remote(() => 5)
      .options({ numCpus: 0 })
      .remote()
    await get(ref)
    return { ref }
  }
  pending() {
    const never = remote(() => new Promise<number>(() => {}))
    return { ref: never.options({ numCpus: 0 }).remote() }
  }
}

const sum = (array: Uint8Array) => array.reduce((a, b) => a + b, 0)
const read = async ({ ref }: { ref: ObjectRef<Uint8Array> }) => (await get(ref)).length

/** An actor that owns objects, and how it dies. */
async function owner() {
  const actor = remote(Owner).remote()
  await ready(actor)
  const pid = await get(actor.pid.remote())
  const dies = async () => {
    process.kill(pid, 'SIGKILL')
    await assert.rejects(get(actor.pid.remote()))
  }
  return { actor, dies }
}

suite('dead owners', () => {
  suiteSetup(() => begin({ numCpus: 2 }))
  suiteTeardown(end)

  test('what it had put is read by who had not asked for it, by tasks it is an argument of, and by processes that hear of it later', async () => {
    const { actor, dies } = await owner()
    const { ref } = await get(actor.stored.remote())
    await dies()
    assert.equal((await get(ref)).length, 100_000)
    assert.equal(await get(remote(sum).remote(ref)), 700_000)
    assert.equal(await get(remote(read).remote({ ref })), 100_000)
  })

  test('it is removed when nobody borrows it any more', async () => {
    const { actor, dies } = await owner()
    const made = actor.stored.remote()
    const { ref } = await get(made)
    // It holds what is inside of it.
    made[Symbol.dispose]()
    const { id } = ref
    await get(ref)
    await dies()
    assert.equal((await get(ref))[0], 7)
    const store = await sessionStore()
    try {
      assert.ok(store.contains(id))
      ref[Symbol.dispose]()
      await waitFor(() => !store.contains(id), 'the object gone')
    } finally {
      store.close()
    }
  })

  test('what nobody had borrowed is gone with it', async () => {
    const { actor, dies } = await owner()
    const made = actor.stored.remote()
    const { ref } = await get(made)
    const { id } = ref
    for (const each of [made, ref]) each[Symbol.dispose]()
    await dies()
    const store = await sessionStore()
    try {
      await waitFor(() => !store.contains(id), 'the object gone')
    } finally {
      store.close()
    }
  })

  test('a result that was pending is lost: OwnerDiedError says whose it was, and how that died', async () => {
    const { actor, dies } = await owner()
    const { ref } = await get(actor.pending.remote())
    const waiting = assert.rejects(get(ref), (error: OwnerDiedError) => {
      assert.ok(error instanceof OwnerDiedError, String(error))
      assert.match(error.message, /the process \w{24} that owned it died \(signal SIGKILL\)/)
      assert.equal(error.objectId, ref.id)
      return true
    })
    await dies()
    await waiting
    const other = await owner()
    const inline = await get(other.actor.inline.remote())
    await other.dies()
    await assert.rejects(get(inline.ref), OwnerDiedError, 'a small value, which only the owner had')
    await assert.rejects(get(ref), OwnerDiedError)
  })

  test('a ref of one that died before its reader began is read too', async () => {
    const make = remote(() => ({ ref: put(new Uint8Array(10)), pid: process.pid }))
    const made = await get(make.remote())
    process.kill(made.pid, 'SIGKILL')
    const dies = remote(() => process.kill(process.pid, 'SIGKILL')).options({ maxRetries: 0 })
    await assert.rejects(get(dies.remote()))
    assert.equal(await get(remote(read).remote({ ref: made.ref }), { timeoutMs: 10_000 }), 10)
  })
})
