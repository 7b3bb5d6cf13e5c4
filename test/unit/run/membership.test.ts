// SPDX-License-Identifier: Apache-2.0

import assert from 'node:assert/strict'
import type { Links } from '#lib/run/links.js'
import { Membership, type MembershipHooks } from '#lib/run/membership.js'

suite('membership', () => {
  test('of the death of a node hear the links and who moves and keeps objects, whether the head said so or it follows from what it said', () => {
    const heard: string[] = []
    const relay = { nodeDied: (nodeId: string, why: string) => heard.push(`links: ${nodeId} ${why}`) }
    const hooks = { overheard: message => heard.push(message.is) } as Partial<MembershipHooks> as MembershipHooks
    const membership = new Membership({ relay } as unknown as Links, 'h:1', hooks)
    membership.carryOut({ is: 'cluster', message: { is: 'nodeDied', nodeId: 'a', why: 'silence' } })
    membership.carryOut({ is: 'cluster', message: { is: 'view', full: true, nodes: [] } })
    assert.deepEqual(heard, ['nodeDied', 'links: a silence', 'view'])
  })
})
