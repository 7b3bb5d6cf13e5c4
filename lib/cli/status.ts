// SPDX-License-Identifier: Apache-2.0
// `eagleray status`: the nodes of a cluster, and how much of what they offer is used.

import { type NodeRow, nodes } from '../api/context.js'
import { NODE_ID_LABEL } from '../core/policy/labels.js'
import { visiting } from './cluster.js'
import { ADDRESS, type Command, print, type Values } from './command.js'
import { formatOf } from './list.js'
import { bytes, json, table } from './table.js'

export const status: Command = {
  name: 'status',
  takes: '',
  counts: [0, 0],
  summary: 'Shows the nodes of the cluster and what of their resources is used.',
  options: { ...ADDRESS, format: { type: 'string', value: 'table|json', help: 'default: table' } },
  run,
}

async function run(values: Values): Promise<number> {
  const asJson = formatOf(values) === 'json'
  return visiting(values, async address => {
    const rows = await nodes()
    if (asJson) {
      print(json({ address, nodes: rows }))
      return 0
    }
    const alive = rows.filter(row => row.alive)
    print(`Cluster at ${address}: ${alive.length} of ${rows.length} nodes alive`)
    print('')
    print(table(rows.map(rowOf), ['node', 'address', 'state', 'used', 'labels']))
    print('')
    print('Used in all:')
    for (const [name, [used, total]] of usage(alive)) print(`  ${amount(name, used)} of ${amount(name, total)} ${name}`)
    return 0
  })
}

function rowOf(row: NodeRow): Record<string, unknown> {
  // Its id stands before it already.
  const { [NODE_ID_LABEL]: _, ...labels } = row.labels
  const used = [...usage([row])].map(([name, [taken, total]]) => `${name} ${amount(name, taken)}/${amount(name, total)}`)
  // Of one that is dead nothing can be used.
  return {
    node: row.nodeId,
    address: row.address,
    state: row.alive ? 'alive' : 'dead',
    used: row.alive ? used.join(', ') : '',
    labels,
  }
}

function usage(rows: NodeRow[]): Map<string, [used: number, total: number]> {
  const all = new Map<string, [number, number]>()
  for (const { resources, available } of rows) {
    for (const [name, total] of Object.entries(resources)) {
      const [used, sum] = all.get(name) ?? [0, 0]
      all.set(name, [used + total - (available[name] ?? 0), sum + total])
    }
  }
  return all
}

function amount(name: string, value: number): string {
  return name === 'memory' || name === 'objectStoreMemory' ? bytes(value) : String(Math.round(value * 10_000) / 10_000)
}
