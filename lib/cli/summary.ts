// SPDX-License-Identifier: Apache-2.0
// `eagleray summary`: how many tasks, actors or objects there are of each sort.

import { state } from '../api/state.js'
import { visiting } from './cluster.js'
import { ADDRESS, type Command, print, UsageError, type Values } from './command.js'
import { formatOf } from './list.js'
import { bytes, json, type Row, table } from './table.js'

interface Summary {
  of(): Promise<Row[]>
  columns: string[]
}

const summaries: Readonly<Record<string, Summary>> = {
  tasks: {
    of: async () => counted(await state.listTasks(), row => ({ name: row.name, state: row.state })),
    columns: ['name', 'state', 'count'],
  },
  actors: {
    of: async () => counted(await state.listActors(), row => ({ class: row.className, state: row.state })),
    columns: ['class', 'state', 'count'],
  },
  objects: { of: objects, columns: ['callSite', 'reason', 'count', 'size'] },
}

export const summary: Command = {
  name: 'summary',
  takes: Object.keys(summaries).join('|'),
  counts: [1, 1],
  summary: 'Counts tasks and actors by name and state, or objects by where they were made.',
  options: { ...ADDRESS, format: { type: 'string', value: 'table|json', help: 'default: table' } },
  run,
}

async function run(values: Values, [name]: string[]): Promise<number> {
  const wanted = Object.hasOwn(summaries, name as string) ? summaries[name as string] : undefined
  if (wanted === undefined) throw new UsageError(`there is a summary of ${Object.keys(summaries).join(', ')}, not of ${name}`)
  const asJson = formatOf(values) === 'json'
  return visiting(values, async () => {
    const rows = await wanted.of()
    print(asJson ? json(rows) : rows.length === 0 ? `There are no ${name}.` : table(rows, wanted.columns))
    return 0
  })
}

/** One row for all that have the same sort, with their number. */
function counted<T>(rows: readonly T[], sortOf: (row: T) => Row): (Row & { count: number; of: T[] })[] {
  const all = new Map<string, Row & { count: number; of: T[] }>()
  for (const row of rows) {
    const sort = sortOf(row)
    const key = JSON.stringify(sort)
    const known = all.get(key)
    if (known === undefined) all.set(key, { ...sort, count: 1, of: [row] })
    else {
      known.count++
      known.of.push(row)
    }
  }
  for (const row of all.values()) Object.defineProperty(row, 'of', { enumerable: false })
  return [...all.values()].sort((a, b) => b.count - a.count)
}

async function objects(): Promise<Row[]> {
  const rows = counted(await state.listObjects(), ({ callSite, reason }) => ({ callSite, reason }))
  return rows.map(row => {
    const sizeBytes = row.of.reduce((sum, each) => sum + each.sizeBytes, 0)
    return { callSite: row.callSite, reason: row.reason, count: row.count, sizeBytes, size: bytes(sizeBytes) }
  })
}
