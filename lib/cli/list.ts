// SPDX-License-Identifier: Apache-2.0
// `eagleray list`: what there is of one kind in the cluster.

import { visiting } from './cluster.js'
import { ADDRESS, type Command, numberOf, print, UsageError, type Values } from './command.js'
import { kindOf, kinds } from './kinds.js'
import { json, table, textAt } from './table.js'

const DEFAULT_LIMIT = 100

export const list: Command = {
  name: 'list',
  takes: Object.keys(kinds).join('|'),
  counts: [1, 1],
  summary: 'Lists what there is of one kind in the cluster.',
  options: {
    ...ADDRESS,
    filter: {
      type: 'string',
      value: 'FIELD=VALUE',
      multiple: true,
      help: 'only rows whose field is that, such as labels.zone=a; may be given several times',
    },
    limit: { type: 'string', value: 'N', help: `how many rows at most. Default: ${DEFAULT_LIMIT}` },
    format: { type: 'string', value: 'table|json', help: 'default: table' },
  },
  run,
}

async function run(values: Values, [name]: string[]): Promise<number> {
  const kind = kindOf(name as string)
  const filters = ((values.filter as string[] | undefined) ?? []).map(filterOf)
  const limit = numberOf(values, 'limit') ?? DEFAULT_LIMIT
  if (!(Number.isInteger(limit) && limit >= 1)) throw new UsageError(`--limit must be a whole number from 1 on, not ${limit}`)
  const asJson = formatOf(values) === 'json'
  return visiting(values, async () => {
    const matching = (await kind.rows()).filter(row => filters.every(([field, value]) => textAt(row, field) === value))
    const rows = matching.slice(0, limit)
    print(
      asJson
        ? json(rows)
        : rows.length === 0
          ? `There are no ${name}${filters.length > 0 ? ' like that' : ''}.`
          : table(rows, kind.columns),
    )
    if (rows.length < matching.length) process.stderr.write(`eagleray: ${matching.length - rows.length} more are left out; see --limit\n`)
    return 0
  })
}

export function formatOf(values: Values): 'table' | 'json' {
  const { format = 'table' } = values
  if (format !== 'table' && format !== 'json') throw new UsageError(`--format must be table or json, not ${String(format)}`)
  return format
}

function filterOf(text: string): [field: string, value: string] {
  const equals = text.indexOf('=')
  if (equals < 1) throw new UsageError(`--filter must be FIELD=VALUE, not ${JSON.stringify(text)}`)
  return [text.slice(0, equals), text.slice(equals + 1)]
}
