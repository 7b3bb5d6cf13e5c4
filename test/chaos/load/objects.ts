// SPDX-License-Identifier: Apache-2.0
// Large values: made on whichever node, read on others, lost and made again, more of them than the stores hold, held by
// actors, and left behind by owners that die.

import { ActorError, type ActorHandle, get, getRuntimeContext, kill, ObjectLostError, type ObjectRef, put, remote } from 'eagleray'
import { expect, orError, orKilled, type Scene, sumOf } from '../scene.js'

const LARGE = 200_000
const HUGE = 400_000

const fill = remote((length: number, seed: number): Float64Array => Float64Array.from({ length }, (_, i) => i * seed), { maxRetries: -1 })
const addAll = remote((values: Float64Array, more: number): number => values.reduce((a, b) => a + b, more), { maxRetries: -1 })
const scale = remote((values: Float64Array, by: number): Float64Array => values.map(each => each * by), { maxRetries: -1 })
const readInside = remote(async (box: { ref: ObjectRef<Float64Array> }): Promise<number> => (await get(box.ref)).reduce((a, b) => a + b), {
  maxRetries: -1,
})

class Holder {
  private refs: ObjectRef<Float64Array>[] = []
  keep(refs: ObjectRef<Float64Array>[]): number {
    this.refs = refs
    return refs.length
  }
  async sum(): Promise<number> {
    const { get } = await import('eagleray')
    return (await get(this.refs)).reduce((sum, values) => sum + values.reduce((a, b) => a + b), 0)
  }
}
class Maker {
  async make(length: number, seed: number): Promise<{ ref: ObjectRef<Float64Array>; nodeId: string }> {
    const { getRuntimeContext, put } = await import('eagleray')
    return { ref: put(Float64Array.from({ length }, (_, i) => i * seed)), nodeId: getRuntimeContext().nodeId }
  }
}
const RemoteHolder = remote(Holder, { numCpus: 0 })
const RemoteMaker = remote(Maker, { numCpus: 0 })

export async function chains({ random }: Scene): Promise<void> {
  const seed = 1 + random.int(9)
  // Large enough for a store; it lives on whichever node made it, and may have to be made again.
  const filled = fill.remote(LARGE, seed)
  const scaled = scale.remote(filled, 3)
  expect('a chain over large arrays', await get(addAll.remote(scaled, 7)), 3 * sumOf(LARGE, seed) + 7)
  expect('a large result', (await get(filled))[1], seed)
}

/** Made on one node, read on others. */
export async function spread({ random }: Scene): Promise<void> {
  const everywhere = { schedulingStrategy: 'SPREAD' } as const
  const seed = 1 + random.int(9)
  const filled = fill.options(everywhere).remote(LARGE, seed)
  const sums = await get([0, 1, 2].map(more => addAll.options(everywhere).remote(filled, more)))
  sums.forEach((sum, i) => void expect('an array that is read on several nodes', sum, sumOf(LARGE, seed) + i))
}

export async function ofPut({ random }: Scene): Promise<void> {
  const by = 1 + random.int(5)
  const ref = put(new Float64Array(50_000).fill(by))
  const sums = await get([addAll.remote(ref, 0), addAll.remote(ref, 1)])
  expect('a put array', sums.join(' '), `${50_000 * by} ${50_000 * by + 1}`)
}

/** Several callers of this are more than the stores hold: some of it goes to disk. */
export async function spilling({ random }: Scene): Promise<void> {
  const seeds = Array.from({ length: 5 }, () => 1 + random.int(9))
  const puts = seeds.map(seed => put(new Float64Array(HUGE).fill(seed)))
  const made = seeds.map(seed => fill.options({ schedulingStrategy: 'SPREAD' }).remote(HUGE, seed))
  for (const [i, seed] of seeds.entries()) {
    expect('the sum of a put', await get(addAll.remote(puts[i] as ObjectRef<Float64Array>, 0)), HUGE * seed)
    expect('the sum of a result', await get(addAll.remote(made[i] as ObjectRef<Float64Array>, 0)), sumOf(HUGE, seed))
    expect('the end of a put', (await get(puts[i] as ObjectRef<Float64Array>))[HUGE - 1], seed)
    expect('the end of a result', (await get(made[i] as ObjectRef<Float64Array>))[HUGE - 1], (HUGE - 1) * seed)
  }
}

/** Only an actor knows of them any more, until it is asked. */
export async function held({ random }: Scene): Promise<void> {
  const seed = 1 + random.int(9)
  const holder: ActorHandle<Holder> = RemoteHolder.remote()
  const kept = await orKilled(get(holder.keep.remote([put(new Float64Array(LARGE).fill(seed)), fill.remote(LARGE, seed)])), ActorError)
  if (kept instanceof ActorError) return
  for (let i = 0; i < 3; i++) {
    const sum = await orKilled(get(holder.sum.remote()), ActorError)
    if (sum instanceof ActorError) return
    expect('what an actor holds', sum, LARGE * seed + sumOf(LARGE, seed))
  }
}

/** Its owner dies, and a store has it: it is lost only with the node of that, and never where that is this one. */
export async function orphaned({ random, weather }: Scene): Promise<void> {
  const { nodesLost } = weather
  const seed = 1 + random.int(9)
  const maker: ActorHandle<Maker> = RemoteMaker.remote()
  const box = await orKilled(get(maker.make.remote(LARGE, seed)), ActorError)
  if (box instanceof ActorError) return
  kill(maker)
  if (random.chance(0.5)) await orError(get(maker.make.remote(1, 1)), ActorError)
  const isHere = box.nodeId === getRuntimeContext().nodeId
  const sums = [get(readInside.remote(box)), get(addAll.remote(box.ref, 0)), get(box.ref).then(values => values.reduce((a, b) => a + b))]
  for (const answer of await Promise.all(sums.map(sum => orError(sum, Error)))) {
    if (!(answer instanceof Error)) expect('what a dead owner had put', answer, sumOf(LARGE, seed))
    else if (isHere || !(isLoss(answer) && (await hasLost(weather, nodesLost)))) throw answer
  }
}

/** How long the news of a lost node may take (ms). */
const NEWS_MS = 10_000

function isLoss(error: Error): boolean {
  return error instanceof ObjectLostError || (error.cause instanceof Error && isLoss(error.cause))
}

/** Whether a node was lost since. That may be heard of later than what follows from it, so it is waited for. */
async function hasLost(weather: Scene['weather'], before: number): Promise<boolean> {
  const until = performance.now() + NEWS_MS
  while (weather.nodesLost === before && performance.now() < until) await new Promise(resolve => setImmediate(resolve))
  return weather.nodesLost > before
}
