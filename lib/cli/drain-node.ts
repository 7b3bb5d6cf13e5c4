// SPDX-License-Identifier: Apache-2.0
// `eagleray drain-node`: a node takes no new work, and leaves the cluster when it has none.

import { current } from '../api/init.js'
import { visiting } from './cluster.js'
import { ADDRESS, type Command, Failure, print, type Values } from './command.js'

export const drainNode: Command = {
  name: 'drain-node',
  takes: 'NODE',
  counts: [1, 1],
  summary: 'Lets a node take no new work and leave the cluster when it has none.',
  details: 'NODE is the id that `eagleray status` shows. The command does not wait until the node has left.',
  options: ADDRESS,
  run,
}

async function run(values: Values, [nodeId]: string[]): Promise<number> {
  return visiting(values, async address => {
    const rows = await current().requests.drainNode(nodeId as string)
    if (rows.length === 0) throw new Failure(`the cluster at ${address} has no living node ${nodeId}`)
    print(`Node ${nodeId} takes no new work; it leaves when it has none.`)
    return 0
  })
}
