// SPDX-License-Identifier: Apache-2.0
// Checkers of placement groups: a bundle serves only once all of its group were set aside; nodes set no more aside than they
// have; a task that was sent into a group runs in a bundle of it; and of groups that were removed nothing is left.

import type { Bundle } from '#lib/core/node/bundles.js'
import type { ActorStart, WorkerId } from '#lib/wire/messages.js'
import type { InGroup } from '../frames.js'
import type { Observed, ObservedNode } from './observed.js'

/** All or nothing, and strict strategies as they say. */
export function checkGroups(world: Observed): void {
  const serving = new Map<string, Set<number>>()
  const living = new Map<string, Set<string>>()
  for (const { name, machine } of world.nodes()) {
    const bundles = [...machine.bundles.all()]
    living.set(name, new Set(bundles.map(({ groupId, index }) => `${groupId} ${index}`)))
    for (const { groupId, index, state } of bundles) if (state === 'committed') add(serving, groupId, index)
  }
  for (const { placementGroupId: groupId, strategy, state, nodeIds: nodes } of world.groups()) {
    if (state === 'pending' && serving.has(groupId))
      throw new Error(`groups: bundles ${[...(serving.get(groupId) ?? [])]} of ${groupId} serve, and not all were set aside`)
    if (state !== 'created') continue
    if (nodes.includes(null)) throw new Error(`groups: ${groupId} is there, and only in part`)
    const missing = nodes.findIndex((nodeId, index) => living.has(nodeId ?? '') && !living.get(nodeId ?? '')?.has(`${groupId} ${index}`))
    if (missing >= 0) throw new Error(`groups: ${groupId} is there, and bundle ${missing} is not set aside on ${nodes[missing]}`)
    const different = new Set(nodes).size
    if (strategy === 'STRICT_PACK' && different > 1) throw new Error(`groups: ${groupId} is to be on one node, and is on ${different}`)
    if (strategy === 'STRICT_SPREAD' && different < nodes.length) throw new Error(`groups: two bundles of ${groupId} are on one node`)
  }
  for (const node of world.nodes()) checkSums(node)
}

/** Whether the task that this worker begins is where it was sent. `bundle`: -1 for any. */
export function checkPlace({ name, machine }: ObservedNode, worker: WorkerId, group: InGroup | null): string | null {
  const lease = machine.leases.of(worker)
  // The node may have ended the lease; the worker will hear of that.
  if (lease === undefined) return null
  const inside = [...machine.bundles.all()].find(({ ledger }) => ledger === lease.holding.ledger)
  if (group === null)
    return inside === undefined ? null : `groups: ${worker} on ${name} is in ${inside.groupId}, and what it runs is of no group`
  const { groupId, bundle } = group
  if (inside !== undefined && inside.groupId === groupId && (bundle < 0 || bundle === inside.index)) return null
  return `groups: ${worker} on ${name} is in ${inside === undefined ? 'no group' : `bundle ${inside.index} of ${inside.groupId}`}, and what it runs was sent to bundle ${bundle} of ${groupId}`
}

/** Whether the actor that starts there is where it was to be; where its group is not there just now, nobody can tell. */
export function checkSeat(world: Observed, { name, machine }: ObservedNode, { spec: { actorId, where, held } }: ActorStart): string | null {
  if (where?.strategy.is !== 'group') return null
  const { groupId, bundle } = where.strategy
  const group = [...world.groups()].find(({ placementGroupId }) => placementGroupId === groupId)
  if (group?.state !== 'created') return null
  const seats = group.nodeIds.flatMap((nodeId, index) => (nodeId === name && (bundle < 0 || bundle === index) ? [index] : []))
  if (seats.length === 0) return `groups: actor ${actorId} of bundle ${bundle} of ${groupId} starts on ${name}, which has none of it`
  const bundles = [...machine.bundles.all()].filter(each => each.groupId === groupId && seats.includes(each.index))
  const isFull = Object.entries(held).every(([resource, amount]) =>
    bundles.some(({ holding, ledger }) => (ledger.available[resource] ?? 0) <= (holding.amounts[resource] ?? 0) - amount),
  )
  return isFull ? null : `groups: actor ${actorId} on ${name} holds nothing of its bundle ${bundle} of ${groupId}`
}

/** Groups that live, and bundles that are set aside anywhere, as words. */
export function gathered(world: Observed): string[] {
  const left: string[] = []
  for (const { placementGroupId, state } of world.groups()) if (state !== 'removed') left.push(`group ${placementGroupId} is ${state}`)
  for (const { name, machine } of world.nodes())
    for (const { groupId, index, state } of machine.bundles.all()) left.push(`bundle ${index} of ${groupId} is ${state} on ${name}`)
  return left
}

function checkSums({ name, machine, total }: ObservedNode): void {
  const aside: Record<string, number> = {}
  for (const { holding, ledger } of machine.bundles.all() as Iterable<Bundle>) {
    for (const [resource, amount] of Object.entries(holding.amounts)) {
      aside[resource] = (aside[resource] ?? 0) + amount
      const left = ledger.available[resource] ?? 0
      if (left < 0 || left > amount) throw new Error(`groups: ${left} of ${amount} ${resource} are left in a bundle on ${name}`)
    }
  }
  for (const [resource, amount] of Object.entries(aside))
    if (amount > UNIT * (total[resource] ?? 0))
      throw new Error(`groups: ${amount} ${resource} are set aside on ${name}, which has ${total[resource]}`)
}

/** Amounts are in these parts of what users write. */
const UNIT = 10_000

function add(map: Map<string, Set<number>>, key: string, value: number): void {
  const set = map.get(key)
  if (set === undefined) map.set(key, new Set([value]))
  else set.add(value)
}
