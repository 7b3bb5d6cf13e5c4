// SPDX-License-Identifier: Apache-2.0
// Placement groups: a driver makes one, sends tasks into it, and removes it after a while, whether they have run or not.

import { objectId } from '#lib/ids.js'
import type { Amounts, GroupStrategy, JobSpec } from '#lib/wire/messages.js'
import { isOfGroup } from '../checkers/failures.js'
import { textOf } from '../errors.js'
import type { InGroup } from '../frames.js'
import { type Ref, type SimProcess, within } from '../process.js'
import { answerOf, sequential } from '../program.js'
import { Random } from '../random.js'
import type { SimCluster } from './cluster.js'

const STRATEGIES: readonly GroupStrategy[] = ['PACK', 'SPREAD', 'STRICT_PACK', 'STRICT_SPREAD']
const CPU = 10_000
const ONE_LIFE = { maxRestarts: 0, maxTaskRetries: 0 }

export function gather(cluster: SimCluster, random: Random): void {
  const { node, driver } = random.pick(cluster.drivers)
  const hosted = node.processes.get(driver.process.id)
  if (hosted === undefined) return
  const { process, life, pulse } = hosted
  life.after(0, () => {
    const bundles: Amounts[] = Array.from({ length: 1 + random.int(3) }, () => ({ CPU: CPU * (1 + random.int(cluster.settings.cpus)) }))
    const groupId = create(process, random.pick(STRATEGIES), bundles)
    let removed = false
    const tasks = random.int(6)
    for (let i = 0; i < tasks; i++) {
      const seed = random.int(1 << 30)
      const bundle = random.chance(0.5) ? -1 : random.int(bundles.length)
      const ref = process.submit({ seed, depth: 0, retries: -1, args: [] }, { groupId, bundle })
      // The program's end is not that of these.
      process.refs.delete(ref)
      follow(cluster, process, ref, seed, () => removed)
    }
    // Apart, as in the settings.
    const cast = new Random(Number.parseInt(groupId.slice(-6), 16) ^ cluster.seed)
    if (cast.chance(0.5))
      occupy(cluster, process, { groupId, bundle: cast.chance(0.5) ? -1 : cast.int(bundles.length) }, cast, () => removed)
    life.after(random.around(tasks === 0 ? 20 : random.pick([20, 300, 3000])), () => {
      removed = true
      process.control(process.world.node, { is: 'groupRemove', groupId })
      pulse.look()
    })
    pulse.look()
  })
}

function create(process: SimProcess, strategy: GroupStrategy, bundles: Amounts[]): string {
  const groupId = objectId(process.id, process.owner.nextSeq(1))
  const { jobId, namespace } = process.job as JobSpec
  const spec = { groupId, name: null, namespace, strategy, bundles, detached: false, jobId }
  process.control(process.world.node, { is: 'groupCreate', spec })
  return groupId
}

/** An actor in it, called a few times; it ends with the group, if it is not let go of before. */
function occupy(cluster: SimCluster, process: SimProcess, group: InGroup, random: Random, removed: () => boolean): void {
  const held = random.chance(0.5) ? { CPU } : {}
  const kind = random.pick([ONE_LIFE, { maxRestarts: 1, maxTaskRetries: -1 }, { maxRestarts: -1, maxTaskRetries: 0 }])
  const handle = process.create(kind, { where: within(group), held, placement: held })
  let state = 0
  for (let i = 0; i < 3; i++) {
    const { n } = answerOf(state, i + 1)
    if (kind.maxRestarts === 0) state = n
    const answer = process.call(handle, { n: i + 1, refs: [] })
    process.refs.delete(answer)
    process.need(answer.entry)
    process.whenReady(answer.entry, outcome => {
      if (outcome instanceof Error) mayFail(cluster, process, outcome, removed())
      else if (outcome.n !== n) cluster.faulty(`groups: a call came to ${outcome.n} in place of ${n}`)
      process.drop(answer)
    })
  }
  process.refs.delete(handle)
  if (random.chance(0.5)) return process.drop(handle)
  process.world.later(process.id, random.around(300), () => process.drop(handle))
}

/** It comes to what it would straight through, unless its group was removed or something was killed. */
function follow(cluster: SimCluster, process: SimProcess, ref: Ref, seed: number, removed: () => boolean): void {
  process.need(ref.entry)
  process.whenReady(ref.entry, outcome => {
    const expected = sequential(seed, 0, cluster.settings)
    if (outcome instanceof Error) mayFail(cluster, process, outcome, removed())
    else if (expected?.n !== outcome.n) cluster.faulty(`groups: a task came to ${outcome.n} in place of ${expected?.n}`)
    process.drop(ref)
  })
}

/** Its job may have ended too, and the group with it. */
function mayFail(cluster: SimCluster, process: SimProcess, error: Error, removed: boolean): void {
  const text = textOf(error)
  if (isOfGroup(text) && !removed && !cluster.isEnding(process))
    cluster.faulty(`groups: a group is said to be removed that was not: ${text}`)
}
