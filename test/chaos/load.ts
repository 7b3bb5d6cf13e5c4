// SPDX-License-Identifier: Apache-2.0
// What the chaos test keeps a cluster busy with. Every answer is checked against what a sequential run would give. A caller goes
// round until it is told to stop; a wrong answer, or an error that the death of a process does not explain, ends it.

import { ActorError, type ActorHandle, get, kill, put, remote } from 'eagleray'
import { Random } from '../sim/random.js'

const LARGE = 200_000

/** Counts what it was told to add, each once at most for each try. */
export class Ledger {
  private sum = 0
  add(amount: number): number {
    this.sum += amount
    return this.sum
  }
}

const fill = remote((length: number, seed: number): Float64Array => Float64Array.from({ length }, (_, i) => i * seed), { maxRetries: -1 })
const addAll = remote((values: Float64Array, more: number): number => values.reduce((a, b) => a + b, more), { maxRetries: -1 })
const scale = remote((values: Float64Array, by: number): Float64Array => values.map(each => each * by), { maxRetries: -1 })
const double = remote((n: number): number => 2 * n, { maxRetries: -1 })
const nested = remote(
  async (n: number): Promise<number> => {
    const api = await import('eagleray')
    const half = api.remote((k: number) => k / 2, { maxRetries: -1 })
    return (await api.get([half.remote(2 * n), half.remote(4 * n)])).reduce((a, b) => a + b)
  },
  { maxRetries: -1 },
)
const RemoteLedger = remote(Ledger, { maxRestarts: -1, maxTaskRetries: -1, numCpus: 0 })
const Mortal = remote(Ledger, { numCpus: 0 })

function expect(what: string, got: unknown, wanted: unknown): void {
  if (got !== wanted) throw new Error(`${what}: ${String(got)} instead of ${String(wanted)}`)
}

/** The sum of `i * seed` over i below `length`. */
const sumOf = (length: number, seed: number): number => (seed * length * (length - 1)) / 2

async function small(random: Random): Promise<void> {
  const n = random.int(1000)
  const refs = Array.from({ length: 20 }, (_, i) => double.remote(n + i))
  const values = await get(refs)
  values.forEach((value, i) => void expect('double', value, 2 * (n + i)))
}

async function large(random: Random): Promise<void> {
  const seed = 1 + random.int(9)
  // The array is large enough for the store, lives on whichever node made it, and may have to be made again.
  const filled = fill.remote(LARGE, seed)
  const scaled = scale.remote(filled, 3)
  expect('a chain over large arrays', await get(addAll.remote(scaled, 7)), 3 * sumOf(LARGE, seed) + 7)
  const [first] = (await get(filled)).subarray(1)
  expect('a large result', first, seed)
}

async function ofPut(random: Random): Promise<void> {
  const by = 1 + random.int(5)
  const ref = put(new Float64Array(50_000).fill(by))
  const sums = await get([addAll.remote(ref, 0), addAll.remote(ref, 1)])
  expect('a put array', sums.join(' '), `${50_000 * by} ${50_000 * by + 1}`)
}

async function inside(random: Random): Promise<void> {
  const n = random.int(1000)
  expect('tasks of a task', await get(nested.remote(n)), 3 * n)
}

/** Its answers rise by what was added until a restart, which begins at nothing; a call made again after a death may count twice in the one before. */
async function restarting(random: Random): Promise<void> {
  const actor: ActorHandle<Ledger> = RemoteLedger.remote()
  let last = 0
  for (let i = 0; i < 10; i++) {
    const amount = 1 + random.int(5)
    const sum = await get(actor.add.remote(amount))
    if (sum !== amount && sum !== last + amount && sum !== last + 2 * amount && sum !== 2 * amount)
      throw new Error(`an actor answered ${sum} after ${last} and an addition of ${amount}`)
    last = sum
  }
  kill(actor)
}

/** Calls come at most once, in order; after its death every call fails, and says so. */
async function mortal(): Promise<void> {
  const actor: ActorHandle<Ledger> = Mortal.remote()
  let dead = false
  for (let i = 1; i <= 20; i++) {
    try {
      const sum = await get(actor.add.remote(1))
      if (dead) throw new Error('an actor that had died answered')
      expect('an actor that is not restarted', sum, i)
    } catch (error) {
      if (!(error instanceof ActorError)) throw error
      dead = true
    }
  }
}

const KINDS = { small, large, ofPut, inside, restarting, mortal }

/** Goes round until `over`; gives how often each kind of work was done. */
export async function caller(seed: number, over: () => boolean): Promise<Record<string, number>> {
  const random = new Random(seed)
  const done: Record<string, number> = {}
  while (!over()) {
    const name = random.pick(Object.keys(KINDS)) as keyof typeof KINDS
    await KINDS[name](random)
    done[name] = (done[name] ?? 0) + 1
  }
  return done
}
