// SPDX-License-Identifier: Apache-2.0
// Placement groups: resources set aside together, for tasks and actors that belong together.

import { fromAmounts } from '../core/resources.js'
import { objectId } from '../ids.js'
import { jobOf } from '../run/job.js'
import { checkName, checkTimeout, refuseUnknown } from '../run/option-checks.js'
import type { ObjectRef } from '../run/ref.js'
import type { GroupStrategy, GroupView } from '../wire/messages.js'
import { type Bundle, checkBundles, checkGroupStrategy, type PlacementGroupStrategy } from './bundles.js'
import { current, currentOrStarted, namespaceOf } from './init.js'

export interface PlacementGroupOptions {
  /** 'PACK' (default): on as few nodes as there is room. 'SPREAD': on as many. 'STRICT_PACK': on one node. 'STRICT_SPREAD': each on another. */
  strategy?: GroupStrategy
  /** Unique in the namespace; found again with getPlacementGroup. */
  name?: string
  /** 'detached': it stays until it is removed. Default: until the driver that made it, or whose tasks did, ends. */
  lifetime?: 'detached'
}

const STRATEGIES: readonly string[] = ['PACK', 'SPREAD', 'STRICT_PACK', 'STRICT_SPREAD']

/** Resources that are set aside. May be passed to tasks and actors. */
export class PlacementGroup {
  constructor(
    readonly id: string,
    readonly bundles: readonly Bundle[],
  ) {}

  /** A ref that is there when all bundles are; it fails with PlacementGroupRemovedError when they never will be. */
  ready(): ObjectRef<undefined> {
    return current().groups.ready(this.id)
  }

  /**
   * Whether all bundles are there within `timeoutMs` (default: for ever). Rejects with PlacementGroupRemovedError when the
   * group was removed.
   */
  async wait(timeoutMs?: number): Promise<boolean> {
    checkTimeout('PlacementGroup.wait()', timeoutMs === undefined ? {} : { timeoutMs }, ['timeoutMs'])
    const runtime = await currentOrStarted()
    return runtime.waiting(
      new Promise((resolve, reject) => {
        let timer: NodeJS.Timeout | null = null
        const cancel = runtime.groups.whenReady(this.id, error => {
          if (timer !== null) clearTimeout(timer)
          if (error === null) resolve(true)
          else reject(error)
        })
        if (timeoutMs === undefined) return
        timer = setTimeout(() => {
          cancel()
          resolve(false)
        }, timeoutMs)
      }),
    )
  }
}

/**
 * Sets resources aside on the nodes of the cluster: all bundles, or nothing until all fit. Never blocks; see `ready()` and
 * `wait()`. Tasks and actors run in it with `schedulingStrategy: placementGroupStrategy({ placementGroup })`.
 * Throws TypeError or RangeError for bundles and options that cannot be.
 * @example const group = placementGroup([{ CPU: 1 }, { CPU: 1, GPU: 1 }], { strategy: 'STRICT_SPREAD' }); await group.wait()
 */
export function placementGroup(bundles: readonly Bundle[], options: PlacementGroupOptions = {}): PlacementGroup {
  const what = 'placementGroup()'
  refuseUnknown(what, options, ['strategy', 'name', 'lifetime'])
  const amounts = checkBundles(what, bundles)
  const { strategy = 'PACK', name, lifetime } = options
  if (typeof strategy !== 'string') throw new TypeError(`${what}: strategy must be a string, not ${String(strategy)}`)
  if (!STRATEGIES.includes(strategy))
    throw new RangeError(`${what}: strategy is ${JSON.stringify(strategy)}; it must be one of ${STRATEGIES.join(', ')}`)
  checkName(what, name)
  if (lifetime !== undefined && lifetime !== 'detached') throw new RangeError(`${what}: lifetime can only be 'detached'`)
  const runtime = current()
  const { jobId, namespace } = jobOf(runtime)
  const groupId = objectId(runtime.self, runtime.owner.nextSeq(1))
  const detached = lifetime === 'detached'
  runtime.groups.create({ groupId, name: name ?? null, namespace, strategy, bundles: amounts, detached, jobId })
  return new PlacementGroup(groupId, frozen(bundles))
}

/** Gives the resources back. What runs in the group ends; what waits for it fails with PlacementGroupRemovedError. May be called twice. */
export function removePlacementGroup(group: PlacementGroup): void {
  current().groups.remove(groupOf('removePlacementGroup()', group).id)
}

/** The placement group of that name in this namespace. Rejects with RangeError when there is none. */
export async function getPlacementGroup(name: string): Promise<PlacementGroup> {
  if (typeof name !== 'string') throw new TypeError('getPlacementGroup() takes a name')
  if (name.trim() === '') throw new RangeError('getPlacementGroup(): the name must not be empty')
  const runtime = await currentOrStarted()
  const namespace = namespaceOf()
  const view = await runtime.requests.groupByName(name, namespace)
  if (view === null) throw new RangeError(`getPlacementGroup(): there is no placement group named ${name} in the namespace ${namespace}`)
  return groupFrom(view)
}

export interface PlacementGroupStrategyOptions {
  placementGroup: PlacementGroup
  /** Which bundle, from 0. Default -1: any that has room. */
  bundleIndex?: number
  /** Whether what the task or actor submits goes into the group too, unless it says otherwise. Default false. */
  captureChildTasks?: boolean
}

/**
 * The scheduling strategy that runs a task or actor in a placement group. What fits no bundle is a RangeError at `.remote()`.
 * Throws TypeError or RangeError for a group that is none, and for an index out of range.
 */
export function placementGroupStrategy(options: PlacementGroupStrategyOptions): PlacementGroupStrategy {
  const what = 'placementGroupStrategy()'
  refuseUnknown(what, options, ['placementGroup', 'bundleIndex', 'captureChildTasks'])
  const { placementGroup: group, bundleIndex = -1, captureChildTasks = false } = options
  const { id, bundles } = groupOf(what, group)
  const strategy = { kind: 'placementGroup', groupId: id, bundles, bundleIndex, captureChildTasks } as const
  checkGroupStrategy(what, strategy)
  return Object.freeze(strategy)
}

function groupOf(what: string, group: unknown): PlacementGroup {
  if (group instanceof PlacementGroup) return group
  throw new TypeError(`${what} takes a placement group, as placementGroup() gives it`)
}

function groupFrom({ spec }: GroupView): PlacementGroup {
  return new PlacementGroup(spec.groupId, frozen(spec.bundles.map(fromAmounts)))
}

function frozen(bundles: readonly Bundle[]): readonly Bundle[] {
  return Object.freeze(bundles.map(bundle => Object.freeze({ ...bundle })))
}
