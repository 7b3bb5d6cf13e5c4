// SPDX-License-Identifier: Apache-2.0
// `eagleray stop`: ends what `eagleray start` has started on this machine.

import { rmSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import {
  checkedAddress,
  clusterHome,
  isAlive,
  liveHeads,
  liveNodes,
  type ProcessRecord,
  rejoiningNodes,
  sweepRecords,
} from '../run/cluster-home.js'
import { type Command, Failure, print, textOf, type Values } from './command.js'

/** How long they may take before they are killed (ms). */
const STOP_MS = 10_000
const LOOK_MS = 20

export const stop: Command = {
  name: 'stop',
  takes: '',
  counts: [0, 0],
  summary: 'Ends the nodes and heads that run on this machine.',
  details: 'Nodes end first, with what runs on them. Of a cluster on several machines this ends the part that is here.',
  options: {
    head: { type: 'boolean', help: 'end heads only: nodes keep working, and join again when a head is started there again' },
    address: { type: 'string', value: 'host:port', help: 'only what belongs to the cluster whose head listens there' },
  },
  run,
}

async function run(values: Values): Promise<number> {
  const home = clusterHome()
  const only = textOf(values, 'address')
  const address = only === undefined ? null : checkedAddress('--address', only)
  const mine = (record: ProcessRecord): boolean => address === null || record.address === address
  const heads = liveHeads(home).filter(mine)
  const nodes = values.head === true ? [] : [...liveNodes(home), ...rejoiningNodes(home)].filter(node => node.listed && mine(node))
  if (heads.length + nodes.length === 0) {
    const what = values.head === true ? 'head' : 'head and no node'
    throw new Failure(`no ${what}${address === null ? '' : ` of a cluster at ${address}`} runs on this machine: nothing was stopped`)
  }
  await Promise.all(nodes.map(ended))
  await Promise.all(heads.map(ended))
  sweepRecords(home)
  // The cluster is over. A head alone may be started again, and goes on from its tables.
  if (values.head !== true)
    for (const { storageDir } of heads) if (storageDir !== null) rmSync(storageDir, { recursive: true, force: true })
  for (const { nodeId, address: where, pid } of nodes) print(`Node ${nodeId} of the cluster at ${where} has ended (pid ${pid}).`)
  for (const { address: where, pid } of heads) print(`The head at ${where} has ended (pid ${pid}).`)
  return 0
}

async function ended(record: ProcessRecord): Promise<void> {
  signal(record, 'SIGTERM')
  const until = performance.now() + STOP_MS
  while (isAlive(record)) {
    if (performance.now() > until) signal(record, 'SIGKILL')
    await sleep(LOOK_MS)
  }
}

function signal({ pid }: ProcessRecord, name: NodeJS.Signals): void {
  try {
    process.kill(pid, name)
  } catch {
    // It ended meanwhile.
  }
}
