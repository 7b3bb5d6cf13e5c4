// SPDX-License-Identifier: Apache-2.0
// Placement groups: all bundles or none, tasks and actors in them, and what ends with a group.

import assert from 'node:assert/strict'
import { appendFileSync, existsSync, readFileSync } from 'node:fs'
import {
  ActorDiedError,
  availableResources,
  get,
  getGpuIds,
  getPlacementGroup,
  getRuntimeContext,
  type ObjectRef,
  PlacementGroup,
  PlacementGroupRemovedError,
  placementGroup,
  placementGroupStrategy,
  ready,
  remote,
  removePlacementGroup,
  state,
  WorkerCrashedError,
} from 'eagleray'
import { passed } from './programs/by-reference.js'
import { begin, end, gate, resourcesReturned, scratchPath, waitFor } from './support.js'

const available = async (name: string) => (await availableResources())[name] ?? 0
const inGroup = (group: PlacementGroup, more: { bundleIndex?: number; captureChildTasks?: boolean } = {}) =>
  placementGroupStrategy({ placementGroup: group, ...more })
/** Appends a line where it runs, then waits for the gate. */
const held = remote((started: string, path: string) => {
  appendFileSync(started, 'x')
  return passed(path, 'done')
})
const startedIn = (path: string) => (existsSync(path) ? readFileSync(path, 'utf8').length : 0)
const one = remote(() => 1)

class Cell {
  value = 0
  add(by: number): number {
    this.value += by
    return this.value
  }
  gpus(): string[] {
    return getGpuIds()
  }
}

suite('placement groups', () => {
  suiteSetup(() => begin({ numCpus: 3, numGpus: 2, resources: { token: 2 } }))
  suiteTeardown(end)
  teardown(resourcesReturned)

  test('resources are set aside, used from within, and come back', async () => {
    const group = placementGroup([{ CPU: 1, token: 1 }, { CPU: 1 }])
    assert.equal(await group.wait(), true)
    assert.deepEqual(group.bundles, [{ CPU: 1, token: 1 }, { CPU: 1 }])
    assert.deepEqual([await available('CPU'), await available('token')], [1, 1])
    assert.equal(await get(one.options({ schedulingStrategy: inGroup(group) }).remote()), 1)
    assert.equal(await get(one.options({ resources: { token: 1 }, schedulingStrategy: inGroup(group, { bundleIndex: 0 }) }).remote()), 1)
    assert.deepEqual([await available('CPU'), await available('token')], [1, 1], 'what runs inside takes nothing outside')
    const [row] = (await state.listPlacementGroups()).filter(each => each.placementGroupId === group.id)
    assert.deepEqual([row?.state, row?.strategy, row?.nodeIds.length, row?.bundles[1]], ['created', 'PACK', 2, { CPU: 1 }])
    removePlacementGroup(group)
    removePlacementGroup(group)
    await assert.rejects(group.wait(), PlacementGroupRemovedError)
    await assert.rejects(get(group.ready()), PlacementGroupRemovedError)
  })

  test('a bundle serves no more at once than it has, and others what they have', async () => {
    const group = placementGroup([{ CPU: 1 }, { CPU: 1 }])
    await group.wait()
    const inside = held.options({ schedulingStrategy: inGroup(group, { bundleIndex: 0 }) })
    const [first, second] = [gate(), gate()]
    const runs = scratchPath()
    const refs = [inside.remote(runs, first.path), inside.remote(runs, second.path)]
    await waitFor(() => startedIn(runs) > 0, 'one of them runs')
    assert.equal(await get(one.options({ schedulingStrategy: inGroup(group, { bundleIndex: 1 }) }).remote()), 1)
    assert.equal(startedIn(runs), 1)
    first.open()
    second.open()
    assert.deepEqual(await get(refs), ['done', 'done'])
    removePlacementGroup(group)
  })

  test('all or nothing: what does not fit waits and holds nothing, and is there once it fits', async () => {
    const big = placementGroup([{ CPU: 2 }, { CPU: 1 }])
    await big.wait()
    const waiting = placementGroup([{ CPU: 1 }, { CPU: 1 }])
    const isReady = waiting.ready()
    assert.equal(await waiting.wait(0), false)
    const [row] = (await state.listPlacementGroups()).filter(each => each.placementGroupId === waiting.id)
    assert.equal(row?.state, 'pending')
    assert.match(row?.reason ?? '', /no room for all of its bundles now/)
    const task = one.options({ schedulingStrategy: inGroup(waiting) }).remote()
    removePlacementGroup(big)
    assert.equal(await get(isReady), undefined)
    assert.equal(await get(task), 1)
    removePlacementGroup(waiting)
    const never = placementGroup([{ CPU: 2 }, { CPU: 2 }], { strategy: 'STRICT_SPREAD' })
    await waitFor(async () =>
      (await state.listPlacementGroups()).some(
        each => each.placementGroupId === never.id && /its 2 bundles need a node each, and there is 1 node/.test(each.reason ?? ''),
      ),
    )
    removePlacementGroup(never)
  })

  test('actors live in a bundle, also those that take no CPU, and end with it', async () => {
    const group = placementGroup([{ CPU: 1, GPU: 1 }])
    const InGroup = remote(Cell, { schedulingStrategy: inGroup(group) })
    const cells = [InGroup.remote(), InGroup.options({ numGpus: 0.5 }).remote(), InGroup.options({ numGpus: 0.5 }).remote()]
    assert.deepEqual(await get(cells.map(cell => cell.add.remote(2))), [2, 2, 2])
    const [ids, same] = await get([cells[1]!.gpus.remote(), cells[2]!.gpus.remote()])
    assert.equal(ids?.length, 1)
    assert.deepEqual(ids, same, 'the one device of the bundle')
    assert.equal(await available('GPU'), 1)
    removePlacementGroup(group)
    const died = (error: Error) => error instanceof ActorDiedError && error.cause instanceof PlacementGroupRemovedError
    // A call may reach its actor before the news of the removal does.
    const until = async (cell: (typeof cells)[number]): Promise<never> => {
      for (;;) await get(cell.add.remote(1))
    }
    for (const cell of cells) await assert.rejects(until(cell), died)
    await assert.rejects(ready(InGroup.remote()), ActorDiedError)
  })

  test('what runs inside ends when the group is removed, and what waits for it fails', async () => {
    const group = placementGroup([{ CPU: 1 }])
    const inside = held.options({ schedulingStrategy: inGroup(group), maxRetries: 0 })
    const running = gate()
    const runs = scratchPath()
    const ref = inside.remote(runs, running.path)
    await waitFor(() => startedIn(runs) > 0, 'it runs')
    const queued = one.options({ schedulingStrategy: inGroup(group) }).remote()
    const again = held.options({ schedulingStrategy: inGroup(group) })
    removePlacementGroup(group)
    await assert.rejects(
      get(ref),
      (error: Error) => error instanceof WorkerCrashedError && /placement group was removed/.test(error.message),
    )
    await assert.rejects(get(queued), PlacementGroupRemovedError)
    await assert.rejects(get(again.remote(runs, running.path)), PlacementGroupRemovedError)
    running.open()
  })

  test('children stay outside, unless they are captured; whoever says DEFAULT escapes', async () => {
    const group = placementGroup([{ CPU: 1, token: 1 }])
    await group.wait()
    const child = remote(() => 'ran', { numCpus: 0, resources: { token: 2 } })
    const small = remote(() => 'ran', { numCpus: 0, resources: { token: 1 } })
    const parent = remote(async (of: typeof small) => get(of.remote()))
    // Outside there is one token, inside one: two are nowhere, and inside it is known that no bundle can hold them.
    const captured = parent.options({ schedulingStrategy: inGroup(group, { captureChildTasks: true }) })
    await assert.rejects(get(captured.remote(child)), /no bundle of the placement group/)
    assert.equal(await get(captured.remote(small)), 'ran')
    const escaping = small.options({ schedulingStrategy: 'DEFAULT', resources: { token: 1 } })
    assert.equal(await get(captured.remote(escaping)), 'ran')
    assert.equal(await get(parent.options({ schedulingStrategy: inGroup(group) }).remote(small)), 'ran')
    removePlacementGroup(group)
  })

  test('names: found again, unique, free after removal', async () => {
    const group = placementGroup([{ CPU: 1 }], { name: 'place' })
    await group.wait()
    const found = await getPlacementGroup('place')
    assert.deepEqual([found.id, found.bundles], [group.id, group.bundles])
    await assert.rejects(placementGroup([{ CPU: 1 }], { name: 'place' }).wait(), /lives in the namespace .* already/)
    removePlacementGroup(found)
    await assert.rejects(group.wait(), PlacementGroupRemovedError)
    await assert.rejects(getPlacementGroup('place'), RangeError)
    const next = placementGroup([{ CPU: 1 }], { name: 'place' })
    assert.equal(await next.wait(), true)
    removePlacementGroup(next)
  })

  test('a group may be passed on and used elsewhere', async () => {
    const group = placementGroup([{ CPU: 1 }])
    const use = remote(async (given: PlacementGroup) => {
      if (!(given instanceof PlacementGroup)) throw new Error('another class')
      await given.wait()
      const inner = remote(() => getRuntimeContext().nodeId, { schedulingStrategy: placementGroupStrategy({ placementGroup: given }) })
      return get(inner.remote())
    })
    assert.equal(await get(use.remote(group) as ObjectRef<string>), getRuntimeContext().nodeId)
    removePlacementGroup(group)
  })

  test('wrong bundles, options and strategies are refused at the call', async () => {
    const group = placementGroup([{ CPU: 1 }, { GPU: 1 }])
    const wrong: [Function, () => unknown][] = [
      [TypeError, () => placementGroup({} as never)],
      [RangeError, () => placementGroup([])],
      [RangeError, () => placementGroup([{}])],
      [RangeError, () => placementGroup([{ CPU: 0 }])],
      [RangeError, () => placementGroup([{ CPU: -1 }])],
      [RangeError, () => placementGroup([{ GPU: 1.5 }])],
      [TypeError, () => placementGroup([{ CPU: '1' } as never])],
      [RangeError, () => placementGroup([{ CPU: 1 }], { strategy: 'NEAR' as never })],
      [TypeError, () => placementGroup([{ CPU: 1 }], { life: 1 } as never)],
      [RangeError, () => placementGroup([{ CPU: 1 }], { name: ' ' })],
      [RangeError, () => placementGroup([{ CPU: 1 }], { lifetime: 'job' as never })],
      [TypeError, () => placementGroupStrategy({ placementGroup: {} as never })],
      [RangeError, () => placementGroupStrategy({ placementGroup: group, bundleIndex: 2 })],
      [RangeError, () => placementGroupStrategy({ placementGroup: group, bundleIndex: -2 })],
      [TypeError, () => placementGroupStrategy({ placementGroup: group, captureChildTasks: 1 as never })],
      [TypeError, () => removePlacementGroup(null as never)],
      [TypeError, () => remote(() => 1, { schedulingStrategy: inGroup(group), labelSelector: { a: 'b' } })],
      [RangeError, () => one.options({ numCpus: 2, schedulingStrategy: inGroup(group) }).remote()],
      [RangeError, () => one.options({ schedulingStrategy: inGroup(group, { bundleIndex: 1 }) }).remote()],
      [RangeError, () => remote(Cell, { numCpus: 2, schedulingStrategy: inGroup(group) }).remote()],
    ]
    for (const [kind, call] of wrong) assert.throws(call, kind as new () => Error, String(call))
    await assert.rejects(group.wait(-1), RangeError)
    await assert.rejects(getPlacementGroup('nobody'), RangeError)
    removePlacementGroup(group)
  })
})
