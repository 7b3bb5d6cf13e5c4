// SPDX-License-Identifier: Apache-2.0
// The address that others are told of a process that listens at all addresses of its machine: that of the interface by which it
// reaches its head; of a head, and where the head is reached by the loopback, that of the way out of the machine.

import { createSocket } from 'node:dgram'
import { isIPv6 } from 'node:net'
import { networkInterfaces } from 'node:os'

/** What a wildcard takes in: IPv4 alone, or both (sockets for IPv6 take IPv4 as well). */
type Families = readonly ('IPv4' | 'IPv6')[]

export interface Interface {
  address: string
  family: 'IPv4' | 'IPv6'
  internal: boolean
}

/** What this machine says of its network. */
export interface Network {
  interfaces(): Interface[]
  /** The own address from which packets to that one leave; null: none does. */
  sourceToward(host: string, port: number): Promise<string | null>
}

/** Of documentation (RFC 5737, RFC 3849): nothing is sent there, but the way to it is the way out. */
const ANYWHERE: Record<'IPv4' | 'IPv6', string> = { IPv4: '192.0.2.1', IPv6: '2001:db8::1' }

/** Whether that means all addresses of the machine, and which; null: it is one address or name. */
export function allAddresses(host: string): Families | null {
  if (host === '*' || host === '0.0.0.0' || host === '0') return ['IPv4']
  return /^[0:]+$/.test(host) && isIPv6(host) ? ['IPv4', 'IPv6'] : null
}

/** For who listens at all `families`; `head`: host:port of who is to be reached, null for a head itself. Null: this machine has no address but the loopback's. */
export async function reachableAddress(families: Families, head: string | null, network: Network = machine): Promise<string | null> {
  const own = network.interfaces().filter(each => families.includes(each.family))
  const outward = own.filter(each => !each.internal)
  const toHead = head === null ? null : await network.sourceToward(...hostAndPort(head))
  if (outward.some(each => each.address === toHead)) return toHead
  for (const family of families) {
    const source = await network.sourceToward(ANYWHERE[family], 9)
    if (outward.some(each => each.address === source)) return source
  }
  // Without a way out, any; and beside a head that only this machine reaches, the loopback.
  return outward[0]?.address ?? own.find(each => each.address === toHead)?.address ?? null
}

function hostAndPort(address: string): [string, number] {
  const at = address.lastIndexOf(':')
  return [address.slice(0, at).replace(/^\[|\]$/g, ''), Number(address.slice(at + 1))]
}

const machine: Network = {
  interfaces: () =>
    Object.values(networkInterfaces())
      .flatMap(each => each ?? [])
      // Addresses of one cable alone mean nothing elsewhere.
      .filter(each => each.family === 'IPv4' || each.scopeid === 0 || each.internal)
      .map(({ address, family, internal }) => ({ address, family, internal })),
  sourceToward: (host, port) =>
    new Promise(resolve => {
      // Connecting a datagram socket sends nothing: the kernel chooses the way.
      const socket = createSocket(isIPv6(host) ? 'udp6' : 'udp4')
      const done = (address: string | null): void => {
        socket.close()
        resolve(address)
      }
      socket.once('error', () => done(null))
      socket.connect(port, host, () => done(socket.address().address))
    }),
}
