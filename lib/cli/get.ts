// SPDX-License-Identifier: Apache-2.0
// `eagleray get`: all that is known of one thing.

import { visiting } from './cluster.js'
import { ADDRESS, type Command, Failure, print, type Values } from './command.js'
import { kindOf, kinds } from './kinds.js'
import { json } from './table.js'

export const getOne: Command = {
  name: 'get',
  takes: `${Object.keys(kinds).join('|')} ID`,
  counts: [2, 2],
  summary: 'Shows all that is known of one task, actor, object, node, worker, job or placement group.',
  options: ADDRESS,
  run,
}

async function run(values: Values, [name, id]: string[]): Promise<number> {
  const kind = kindOf(name as string)
  return visiting(values, async () => {
    const row = (await kind.rows()).find(each => each[kind.id] === id)
    if (row === undefined) throw new Failure(`of ${name} there is none whose ${kind.id} is ${id}`)
    print(json(row))
    return 0
  })
}
