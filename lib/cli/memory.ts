// SPDX-License-Identifier: Apache-2.0
// `eagleray memory`: what lies in the object stores, the largest first, and who keeps it there.

import { state } from '../api/state.js'
import { visiting } from './cluster.js'
import { ADDRESS, type Command, numberOf, print, UsageError, type Values } from './command.js'
import { formatOf } from './list.js'
import { bytes, json, table } from './table.js'

const DEFAULT_LIMIT = 50

export const memory: Command = {
  name: 'memory',
  takes: '',
  counts: [0, 0],
  summary: 'Shows what lies in the object stores, the largest first, and who keeps it there.',
  options: {
    ...ADDRESS,
    limit: { type: 'string', value: 'N', help: `how many objects at most. Default: ${DEFAULT_LIMIT}` },
    format: { type: 'string', value: 'table|json', help: 'default: table' },
  },
  run,
}

async function run(values: Values): Promise<number> {
  const limit = numberOf(values, 'limit') ?? DEFAULT_LIMIT
  if (!(Number.isInteger(limit) && limit >= 1)) throw new UsageError(`--limit must be a whole number from 1 on, not ${limit}`)
  const asJson = formatOf(values) === 'json'
  return visiting(values, async () => {
    const objects = (await state.listObjects()).sort((a, b) => b.sizeBytes - a.sizeBytes)
    const rows = objects
      .slice(0, limit)
      .map(row => ({ ...row, size: bytes(row.sizeBytes), holders: row.holders.length, nodes: row.nodeIds }))
    if (asJson) {
      print(json(objects.slice(0, limit)))
      return 0
    }
    const total = objects.reduce((sum, each) => sum + each.sizeBytes, 0)
    print(`${objects.length} objects, ${bytes(total)}${rows.length < objects.length ? `; the ${rows.length} largest:` : ''}`)
    if (rows.length > 0) print(`\n${table(rows, ['objectId', 'size', 'holders', 'reason', 'callSite', 'nodes', 'spilled'])}`)
    return 0
  })
}
