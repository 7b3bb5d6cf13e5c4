// SPDX-License-Identifier: Apache-2.0
// `eagleray drain-node`: a node takes no new work, and leaves the cluster when it has none.

import { current } from '../api/init.js'
import { state } from '../api/state.js'
import { visiting } from './cluster.js'
import { ADDRESS, type Command, Failure, print, type Values } from './command.js'
import { bytes } from './table.js'

export const drainNode: Command = {
  name: 'drain-node',
  takes: 'NODE',
  counts: [1, 1],
  summary: 'Lets a node take no new work and leave the cluster when it has none.',
  details:
    'NODE is the id that `eagleray status` shows. The command does not wait until the node has left. It tells how much lies on that node alone, and goes with it.',
  options: ADDRESS,
  run,
}

async function run(values: Values, [nodeId]: string[]): Promise<number> {
  return visiting(values, async address => {
    // Whoever does not know it any more a moment later does not tell either.
    const only = (await state.listObjects()).filter(({ nodeIds }) => nodeIds.length === 1 && nodeIds[0] === nodeId)
    const rows = await current().requests.drainNode(nodeId as string)
    if (rows.length === 0) throw new Failure(`the cluster at ${address} has no living node ${nodeId}`)
    print(`Node ${nodeId} takes no new work; it leaves when it has none.`)
    if (only.length > 0) {
      const size = bytes(only.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0))
      print(
        `Of ${only.length} object${only.length === 1 ? '' : 's'} (${size}) no other node has a copy, and they go with it: what tasks with retries`,
      )
      print('left had made is made again where it is wanted; everything else has to be read elsewhere before the node has left.')
    }
    return 0
  })
}
