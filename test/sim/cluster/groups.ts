// SPDX-License-Identifier: Apache-2.0
// Placement groups: a driver makes one, sends tasks into it, and removes it after a while, whether they have run or not.

import type { Amounts, GroupStrategy } from '#lib/wire/messages.js'
import { isOfGroup } from '../checkers/failures.js'
import { textOf } from '../errors.js'
import type { Ref, SimProcess } from '../process.js'
import { sequential } from '../program.js'
import type { Random } from '../random.js'
import type { SimCluster } from './cluster.js'

const STRATEGIES: readonly GroupStrategy[] = ['PACK', 'SPREAD', 'STRICT_PACK', 'STRICT_SPREAD']
const CPU = 10_000

export function gather(cluster: SimCluster, random: Random): void {
  const { node, driver } = random.pick(cluster.drivers)
  const hosted = node.processes.get(driver.process.id)
  if (hosted === undefined) return
  const { process, life, pulse } = hosted
  life.after(0, () => {
    const bundles: Amounts[] = Array.from({ length: 1 + random.int(3) }, () => ({ CPU: CPU * (1 + random.int(cluster.settings.cpus)) }))
    const groupId = process.gather(random.pick(STRATEGIES), bundles)
    let removed = false
    const tasks = random.int(6)
    for (let i = 0; i < tasks; i++) {
      const seed = random.int(1 << 30)
      const bundle = random.chance(0.5) ? -1 : random.int(bundles.length)
      const ref = process.submit({ seed, depth: 0, args: [] }, { groupId, bundle })
      // The program's end is not that of these.
      process.refs.delete(ref)
      follow(cluster, process, ref, seed, () => removed)
    }
    life.after(random.around(tasks === 0 ? 20 : random.pick([20, 300, 3000])), () => {
      removed = true
      process.ungather(groupId)
      pulse.look()
    })
    pulse.look()
  })
}

/** It comes to what it would straight through, unless its group was removed or something was killed. */
function follow(cluster: SimCluster, process: SimProcess, ref: Ref, seed: number, removed: () => boolean): void {
  process.need(ref.entry)
  process.whenReady(ref.entry, outcome => {
    const expected = sequential(seed, 0, cluster.settings)
    if (!(outcome instanceof Error)) {
      if (expected?.n !== outcome.n) cluster.faulty(`groups: a task came to ${outcome.n} in place of ${expected?.n}`)
    } else if (isOfGroup(textOf(outcome)) && !removed())
      cluster.faulty(`groups: a group is said to be removed that was not: ${textOf(outcome)}`)
    process.drop(ref)
  })
}
