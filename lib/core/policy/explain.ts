// SPDX-License-Identifier: Apache-2.0
// Why no node can serve a request, for people: which of strategy, labels and resources rules the nodes out, and what they
// offer instead.

import type { Amounts } from '../../wire/messages.js'
import { describeAmounts, fits } from '../resources.js'
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
