// SPDX-License-Identifier: Apache-2.0
// Why no node can serve a request, for people: which of strategy, labels and resources rules the nodes out, and what they
// offer instead.

import { limits } from '../../options.js'
import type { Amounts, GroupStrategy } from '../../wire/messages.js'
import { add, describeAmounts, fits } from '../resources.js'
import type { Unplaced } from './bundles.js'
import { describeLabels, selector } from './labels.js'
import type { NodeState } from './node-state.js'
import type { Demand } from './pick.js'

/** "needs {CPU:8}, and none of the 2 nodes has that: CPU is 4 at most". To follow the name of what waits. */
export function whyNot(demand: Demand, views: Iterable<NodeState>): string {
  const { where } = demand
  const need: Amounts = { ...demand.placement, ...demand.need }
  const all = [...views].filter(view => view.state !== 'dead')
  const fresh = all.filter(view => view.state === 'alive')
  const strategy = where?.strategy
  if (strategy?.is === 'node' && !strategy.soft) return whyNotThere(strategy.nodeId, demand, all)
  if (all.length === 0) return 'waits for a node, and none of the cluster is alive'
  if (fresh.length === 0) return `waits for a node, and each of the ${count(all.length)} is being drained and takes nothing new`
  const labels = where?.labels ?? {}
  const selected = fresh.filter(selector(labels))
  if (selected.length === 0) return `asks for the labels {${describeLabels(labels)}}, and no node has them: they have ${offered(fresh)}`
  const of =
    selected.length === fresh.length ? count(fresh.length) : `${count(selected.length)} with the labels {${describeLabels(labels)}}`
  if (selected.some(view => fits(need, view.total))) return `needs {${describeAmounts(need)}}, which is in use everywhere`
  return `needs {${describeAmounts(need)}}, and none of the ${of} has that: ${limitsOf(need, selected)}`
}

/** The end of a sentence that says why no node can take something. */
export function unlessOneJoins(): string {
  return `. It fails ${limits.infeasibleAfterMs / 1000} s after no node could take it any more, unless a node joins that can take it`
}

/** Why these bundles would not all fit if nothing ran: the rest of a sentence. `taken`: how many nodes have others of the group. */
export function whyNoBundles(bundles: Unplaced, strategy: GroupStrategy, views: Iterable<NodeState>, taken: number): string {
  const nodes = [...views].filter(view => view.state === 'alive')
  if (nodes.length === 0) return 'no node is there that takes new work'
  const largest = [...bundles.values()].find(need => !nodes.some(view => fits(need, view.total)))
  if (largest !== undefined)
    return `its bundle {${describeAmounts(largest)}} fits none of the ${count(nodes.length)}: ${limitsOf(largest, nodes)}`
  const sum: Amounts = {}
  for (const need of bundles.values()) add(sum, need)
  if (strategy === 'STRICT_PACK')
    return `its bundles need {${describeAmounts(sum)}} on one node, and none of the ${count(nodes.length)} has that: ${limitsOf(sum, nodes)}`
  if (strategy === 'STRICT_SPREAD' && bundles.size + taken > nodes.length)
    return `its ${bundles.size + taken} bundles need a node each, and there ${nodes.length === 1 ? 'is' : 'are'} ${count(nodes.length)}`
  const total: Amounts = {}
  for (const view of nodes) add(total, view.total)
  if (!fits(sum, total))
    return `its bundles need {${describeAmounts(sum)}} together, and the ${count(nodes.length)} have {${describeAmounts(total)}} in all`
  return `its bundles fit each by itself, but not all of them at once on the ${count(nodes.length)}`
}

function whyNotThere(nodeId: string, { need, placement, where }: Demand, all: readonly NodeState[]): string {
  const view = all.find(each => each.nodeId === nodeId)
  const only = `may run on the node ${nodeId} only`
  if (view === undefined) return `${only}, and that is not in the cluster; its nodes are ${all.map(each => each.nodeId).join(', ')}`
  if (view.state === 'draining') return `${only}, and that is being drained and takes nothing new`
  const labels = where?.labels ?? {}
  if (!selector(labels)(view)) return `${only}, and that does not have the labels {${describeLabels(labels)}}`
  return `${only}, and needs {${describeAmounts({ ...placement, ...need })}}, of which that has {${describeAmounts(view.total)}} in all`
}

/** What each resource is at most, of those that are too little on every node; where each is enough somewhere, that no node has all. */
function limitsOf(need: Amounts, views: readonly NodeState[]): string {
  const short = Object.keys(need).filter(name => views.every(view => (view.total[name] ?? 0) < (need[name] as number)))
  if (short.length === 0) return 'no node has all of it at once'
  const most = (name: string): Amounts => ({ [name]: Math.max(0, ...views.map(view => view.total[name] ?? 0)) })
  return `${short.map(name => describeAmounts(most(name))).join(', ')} at most`
}

function offered(views: readonly NodeState[]): string {
  const texts = new Set(views.map(view => `{${describeLabels(view.labels)}}`))
  return [...texts].slice(0, 5).join(', ')
}

function count(nodes: number): string {
  return nodes === 1 ? '1 node' : `${nodes} nodes`
}
