// SPDX-License-Identifier: Apache-2.0
// Tasks go first to the node that holds most of what they read, where that is much.

import assert from 'node:assert/strict'
import type { Entry } from '#lib/core/owner/entry.js'
import { limits } from '#lib/options.js'
import { classOf, FakeOwner, NODE } from '../../fakes/owner.js'

const B = 'bbbbbbbbbb'
const C = 'cccccccccc'
const MUCH = 2 * limits.localityBytesMin

function stored(fake: FakeOwner, sizeBytes: number, ...nodes: string[]): Entry {
  const entry = fake.put()
  entry.sizeBytes = sizeBytes
  entry.nodes = nodes.length === 0 ? null : new Set(nodes)
  return entry
}

/** The node that is asked first for a task with those arguments. */
function nearOf(fake: FakeOwner, args: (Entry | Uint8Array)[], more: Parameters<typeof classOf>[1] = {}): string | null {
  return fake.submit({ args, class: classOf('cpu', more) }).scheduling.near
}

suite('locality', () => {
  test('the node that holds most, by bytes, beyond what the own node has', () => {
    const fake = new FakeOwner()
    assert.equal(nearOf(fake, [stored(fake, MUCH, B)]), B)
    assert.equal(nearOf(fake, [stored(fake, MUCH, B), stored(fake, 2 * MUCH, C)]), C)
    assert.equal(nearOf(fake, [stored(fake, MUCH, B), stored(fake, MUCH, B), stored(fake, 1.5 * MUCH, C)]), B)
    assert.equal(nearOf(fake, [stored(fake, MUCH, B), stored(fake, MUCH)]), null, 'as much is here')
    assert.equal(nearOf(fake, [stored(fake, MUCH, NODE.slice(0, 10), B)]), null, 'a copy is here')
  })

  test('not for little, not for what has no refs, and not where somebody said where it runs', () => {
    const fake = new FakeOwner()
    assert.equal(nearOf(fake, [stored(fake, limits.localityBytesMin - 1, B)]), null)
    assert.equal(nearOf(fake, [new Uint8Array(4)]), null)
    assert.equal(nearOf(fake, [stored(fake, MUCH, B)], { where: { strategy: { is: 'spread' }, labels: {} } }), null)
  })

  test('tasks near one node share leases, and ask their own node first', () => {
    const fake = new FakeOwner()
    const tasks = [stored(fake, MUCH, B), stored(fake, MUCH, B)].map(entry => fake.submit({ args: [entry] }))
    fake.flush()
    assert.equal(tasks[0]?.scheduling, tasks[1]?.scheduling)
    const [want] = fake.sent('want', NODE)
    assert.deepEqual([want?.count, want?.class.near], [2, B])
    fake.grant(`${NODE.slice(0, 10)}0007eeeeeeeeee`, want?.class.key)
    assert.equal(fake.all('dispatch').length, 2, 'also where another node serves them')
  })
})
