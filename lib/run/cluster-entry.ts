// SPDX-License-Identifier: Apache-2.0
// A node's way into its cluster, and how programs on its machine find it there.

import { connect } from 'node:net'
import { hostname } from 'node:os'
import { encodeError } from '../codec/error-value.js'
import { Member } from '../core/node/member.js'
import type { Node } from '../core/node/node.js'
import { ClusterConnectionError } from '../errors.js'
import { nodeOf } from '../ids.js'
import { limits } from '../options.js'
import type { WorkerId } from '../wire/messages.js'
import { recordOf, removeRecord, sweepRecords, TOKEN_ENV, writeRecord } from './cluster-home.js'
import type { DaemonSettings, JoinSettings, ReadyDaemon } from './daemon-settings.js'
import { type Links, openLinks } from './links.js'
import { Membership, type MembershipHooks } from './membership.js'

/** How long a connection to a head that does not answer is tried (ms). */
const PROBE_MS = 2_000

export class ClusterEntry {
  readonly links: Links
  readonly #join: JoinSettings
  /** Resolves when the head knows the node; rejects when it does not let it in, or is not there. */
  readonly entered: Promise<void>
  #enter: () => void = () => {}
  #fail: (error: Error) => void = () => {}
  readonly #late: NodeJS.Timeout

  constructor(join: JoinSettings, links: Links) {
    this.links = links
    this.#join = join
    this.entered = new Promise<void>((resolve, reject) => {
      this.#enter = resolve
      this.#fail = reject
    })
    this.entered.catch(() => {})
    const late = async (): Promise<void> => this.#fail(new ClusterConnectionError(await whyNot(join.head)))
    this.#late = setTimeout(() => void late(), limits.joinMs)
  }

  member(node: Node, { labels, gpuIds, total }: DaemonSettings, daemonId: WorkerId): Member {
    const { transport, data } = this.links
    const where = { hostname: hostname(), address: transport.address, dataAddress: data.channel?.address ?? '' }
    return new Member(node, { encodeError, node: { nodeId: nodeOf(daemonId), daemonId, ...where, labels, gpuIds, total } })
  }

  membership(hooks: Omit<MembershipHooks, 'joined' | 'refused'>): Membership {
    const joined = (): void => {
      clearTimeout(this.#late)
      this.#enter()
    }
    const refused = (why: string): void => {
      clearTimeout(this.#late)
      this.#fail(new ClusterConnectionError(`the head at ${this.#join.head} refuses this node: ${why}`))
    }
    return new Membership(this.links, this.#join.head, { ...hooks, joined, refused })
  }

  /** From now on programs on this machine find the node. Gives where other nodes do. */
  announce({ nodeId, daemonId, storePath, sessionDir, token }: Omit<ReadyDaemon, 'ok' | 'address'>): string {
    const { home, head, listed, withHead } = this.#join
    sweepRecords(home)
    const seat = { nodeId, daemonId, storePath, sessionDir, token, listed, withHead, since: Date.now() }
    writeRecord(home, 'nodes', nodeId, { ...recordOf(process.pid, head), ...seat })
    return this.links.transport.address
  }

  withdraw(nodeId: string): void {
    clearTimeout(this.#late)
    removeRecord(this.#join.home, 'nodes', nodeId)
  }
}

/** Listens for the other nodes; nothing else happens yet. */
export async function entryTo(join: JoinSettings, daemonId: WorkerId): Promise<ClusterEntry> {
  return new ClusterEntry(join, await openLinks(daemonId, join))
}

/** Who has another key is not answered by a head, so that only this can be told from its silence. */
async function whyNot(head: string): Promise<string> {
  const colon = head.lastIndexOf(':')
  const socket = connect({ host: head.slice(0, colon).replace(/[[\]]/g, ''), port: Number(head.slice(colon + 1)) })
  const error = await new Promise<NodeJS.ErrnoException | null>(resolve => {
    socket.on('connect', () => resolve(null))
    socket.on('error', resolve)
    socket.setTimeout(PROBE_MS, () => resolve(Object.assign(new Error('no answer'), { code: 'ETIMEDOUT' })))
  })
  socket.destroy()
  if (error !== null)
    return `nobody answers at ${head} (${error.code ?? error.message}): no head listens there, or it cannot be reached from here`
  return `who listens at ${head} does not answer: it is no head, or its token is another than this machine's (${TOKEN_ENV}, or the file token in ~/.eagleray)`
}
