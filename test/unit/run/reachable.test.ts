// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { allAddresses, type Interface, type Network, reachableAddress } from '#lib/run/reachable.js'

const LOOPBACK: Interface[] = [
  { address: '127.0.0.1', family: 'IPv4', internal: true },
  { address: '::1', family: 'IPv6', internal: true },
]
const cable = (address: string): Interface => ({ address, family: address.includes(':') ? 'IPv6' : 'IPv4', internal: false })

/** `ways`: by which own address which host is reached; 'out': anything else. */
function network(cables: string[], ways: Record<string, string>): Network {
  return {
    interfaces: () => [...LOOPBACK, ...cables.map(cable)],
    sourceToward: async host => ways[host] ?? ways[host.includes(':') ? 'out6' : 'out'] ?? null,
  }
}

suite('reachable address', () => {
  const both = allAddresses('::') ?? []
  const four = allAddresses('0.0.0.0') ?? []

  test('what means all addresses', () => {
    assert.deepEqual(four, ['IPv4'])
    assert.deepEqual(both, ['IPv4', 'IPv6'])
    for (const host of ['*', '0', '0.0.0.0']) assert.deepEqual(allAddresses(host), four, host)
    for (const host of ['::', '0:0:0:0:0:0:0:0', '::0']) assert.deepEqual(allAddresses(host), both, host)
    for (const host of ['127.0.0.1', '::1', 'host', '10.0.0.1', '', ':']) assert.equal(allAddresses(host), null, host)
  })

  test('the interface by which the head is reached, and not the first', async () => {
    const here = network(['192.168.0.5', '10.0.0.5'], { '10.0.0.1': '10.0.0.5', out: '192.168.0.5' })
    assert.equal(await reachableAddress(four, '10.0.0.1:6390', here), '10.0.0.5')
  })

  test('of a head, and beside one at the loopback: the way out', async () => {
    const here = network(['172.17.0.1', '10.0.0.5'], { '127.0.0.1': '127.0.0.1', out: '10.0.0.5' })
    assert.equal(await reachableAddress(four, null, here), '10.0.0.5')
    assert.equal(await reachableAddress(four, '127.0.0.1:6390', here), '10.0.0.5')
  })

  test('without a way out, any; without a cable, the loopback only for a head that is reached by it', async () => {
    assert.equal(await reachableAddress(four, null, network(['10.0.0.5'], {})), '10.0.0.5')
    const alone = network([], { '127.0.0.1': '127.0.0.1' })
    assert.equal(await reachableAddress(four, '127.0.0.1:6390', alone), '127.0.0.1')
    assert.equal(await reachableAddress(four, null, alone), null)
  })

  test('IPv6 where it is listened at, and only there', async () => {
    const here = network(['fd00::5', '10.0.0.5'], { 'fd00::1': 'fd00::5', out: '10.0.0.5' })
    assert.equal(await reachableAddress(both, '[fd00::1]:6390', here), 'fd00::5')
    assert.equal(await reachableAddress(four, '[fd00::1]:6390', here), '10.0.0.5')
    assert.equal(await reachableAddress(both, null, network(['fd00::5'], { out6: 'fd00::5' })), 'fd00::5')
  })

  test('this machine: by itself it reaches itself', async () => {
    assert.equal(await reachableAddress(four, '127.0.0.1:1', { ...network([], {}), sourceToward: async () => '127.0.0.1' }), '127.0.0.1')
    const found = await reachableAddress(both, '127.0.0.1:1')
    assert.notEqual(found, null)
    assert.equal(allAddresses(found as string), null)
  })
})
