// SPDX-License-Identifier: Apache-2.0

import assert from 'node:assert/strict'
import { curveKeys, z85 } from '#lib/io/zmq/keys.js'

suite('keys of a cluster', () => {
  test('z85 writes what its specification gives as an example', () => {
    assert.equal(z85(Buffer.from('864fd26fb559f75b', 'hex')), 'HelloWorld')
  })

  test('the same token gives the same keys, another token others, and server and client differ', () => {
    const [one, again, other] = [curveKeys('a'), curveKeys('a'), curveKeys('b')]
    assert.deepEqual(one, again)
    const all = [one.server, one.client, other.server, other.client].flatMap(pair => [pair.publicKey, pair.secretKey])
    assert.equal(new Set(all).size, all.length)
    assert.ok(all.every(key => key.length === 40))
    assert.equal(z85(one.client.publicBytes), one.client.publicKey)
  })
})
