// SPDX-License-Identifier: Apache-2.0

import assert from 'node:assert/strict'
import type { Peer } from '#lib/io/mesh.js'
import { CLAIM } from '#lib/run/dispatch.js'
import { EndedClaims } from '#lib/run/ended-claims.js'

const peerWith = (...words: number[]) => ({ workerId: 'w', claims: { mine: Int32Array.from(words) } }) as unknown as Peer

suite('claim words of ended channels', () => {
  test('what had begun when the channel closed is known until the death is told, once', () => {
    const ended = new EndedClaims()
    const peer = peerWith(CLAIM.claimed, CLAIM.queued)
    ended.keep(peer, false)
    peer.claims.mine.fill(CLAIM.free)
    const begun = ended.begun('w', null)
    assert.deepEqual([begun(0), begun(1)], [true, false])
    assert.equal(ended.begun('w', null)(0), false)
  })

  test('a process that lives may begin nothing any more', () => {
    const peer = peerWith(CLAIM.claimed, CLAIM.queued, CLAIM.free)
    new EndedClaims().keep(peer, true)
    assert.deepEqual([...peer.claims.mine], [CLAIM.claimed, CLAIM.revoked, CLAIM.free])
  })

  test('a task sent too late has not begun, whatever its word said before', () => {
    const ended = new EndedClaims()
    ended.keep(peerWith(CLAIM.claimed), false)
    ended.neverSent('w', 0)
    ended.neverSent('other', 0)
    assert.equal(ended.begun('w', null)(0), false)
  })

  test('the words of an open channel are newer', () => {
    const ended = new EndedClaims()
    ended.keep(peerWith(CLAIM.queued), false)
    assert.equal(ended.begun('w', peerWith(CLAIM.claimed))(0), true)
  })
})
