// SPDX-License-Identifier: Apache-2.0
// Placement groups: tasks and actors in their bundles, and what ends with them.

import {
  ActorDiedError,
  ActorError,
  get,
  getRuntimeContext,
  PlacementGroupRemovedError,
  placementGroup,
  placementGroupStrategy,
  remote,
  removePlacementGroup,
} from 'eagleray'
import { expect, orError, orKilled, type Scene } from '../scene.js'

const where = remote((n: number): { n: number; nodeId: string } => ({ n, nodeId: getRuntimeContext().nodeId }), { maxRetries: -1 })

class Cell {
  private n = 0
  next(): number {
    return ++this.n
  }
}
const InGroup = remote(Cell, { numCpus: 0 })

export async function groups({ random, weather }: Scene): Promise<void> {
  const { nodesLost } = weather
  const strategy = random.pick(['PACK', 'SPREAD', 'STRICT_SPREAD'] as const)
  const group = placementGroup([{ CPU: 1 }, { CPU: 1 }], { strategy })
  await get(group.ready())
  const at = (bundleIndex: number) => ({ schedulingStrategy: placementGroupStrategy({ placementGroup: group, bundleIndex }) })
  const cell = InGroup.options(at(1)).remote()
  const answers = await get([0, 1, 0, 1].map((bundle, n) => where.options(at(bundle)).remote(n)))
  answers.forEach(({ n }, i) => void expect('a task in a bundle', n, i))
  const together = answers[0]?.nodeId === answers[1]?.nodeId
  if (strategy === 'STRICT_SPREAD' && together && weather.nodesLost === nodesLost)
    throw new Error('two bundles that must be apart were on one node')
  const first = await orKilled(get(cell.next.remote()), ActorError)
  if (!(first instanceof ActorError)) expect('an actor in a bundle', first, 1)
  removePlacementGroup(group)
  // What is submitted before the news is there may run still.
  for (;;) {
    const late = await orError(get(where.options(at(0)).remote(9)), PlacementGroupRemovedError)
    if (late instanceof PlacementGroupRemovedError) break
    expect('a task in a bundle that is about to go', late.n, 9)
  }
  while (!((await orError(get(cell.next.remote()), ActorError)) instanceof ActorDiedError)) {}
}
