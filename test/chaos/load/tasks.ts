// SPDX-License-Identifier: Apache-2.0
// Tasks: small ones, nested ones, ones that fail at first, ones that may run only once, waiting, and cancelling.

import { appendFileSync, existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { cancel, get, getRuntimeContext, NodeDiedError, remote, TaskCancelledError, TaskError, WorkerCrashedError, wait } from 'eagleray'
import { expect, orError, orKilled, type Scene, unique } from '../scene.js'

class NotYet extends Error {}

const double = remote((n: number): number => 2 * n, { maxRetries: -1 })
const atSecond = remote(
  (n: number): number => {
    if (getRuntimeContext().attempt === 0) throw new NotYet('the first attempt')
    return n + 1
  },
  { maxRetries: -1, retryExceptions: [NotYet] },
)
const refusing = remote(
  (n: number): number => {
    throw new NotYet(`no ${n}`)
  },
  { maxRetries: -1 },
)
const note = remote(
  (path: string): string => {
    appendFileSync(path, 'x')
    return 'noted'
  },
  { maxRetries: 0 },
)
const nestedTwice = remote(
  async (n: number): Promise<number> => {
    const inner = remote(async (k: number): Promise<number> => k + (await get(double.remote(k))), { maxRetries: -1 })
    return (await get([inner.remote(n), inner.remote(2 * n)])).reduce((a, b) => a + b)
  },
  { maxRetries: -1 },
)
const slow = remote(
  async (n: number): Promise<number> => {
    await new Promise(resolve => setTimeout(resolve, 20))
    return n
  },
  { maxRetries: -1 },
)
const endless = remote(
  async (): Promise<void> => {
    const { signal } = getRuntimeContext()
    if (!signal.aborted) await new Promise(resolve => signal.addEventListener('abort', resolve))
  },
  { maxRetries: -1 },
)
const parent = remote(async (): Promise<void> => get(endless.remote()), { maxRetries: -1 })

export async function small({ random }: Scene): Promise<void> {
  const n = random.int(1000)
  const values = await get(Array.from({ length: 20 }, (_, i) => double.remote(n + i)))
  values.forEach((value, i) => void expect('double', value, 2 * (n + i)))
}

/** An exception is tried again where that is asked for, and is the answer where not. */
export async function failing({ random }: Scene): Promise<void> {
  const n = random.int(1000)
  expect('a second attempt', await get(atSecond.remote(n)), n + 1)
  const error = await orError(get(double.remote(refusing.remote(n))), TaskError)
  if (!(error instanceof TaskError && error.message.includes(`no ${n}`))) throw new Error(`an argument that failed gave ${error}`)
}

/** Without retries a task runs once at most, and its end says whether it did. */
export async function once(scene: Scene): Promise<void> {
  const paths = Array.from({ length: 4 }, () => join(scene.folder, unique(scene)))
  const answers = await Promise.all(paths.map(path => orKilled(get(note.remote(path)), WorkerCrashedError, NodeDiedError)))
  answers.forEach((answer, i) => {
    const path = paths[i] as string
    const runs = existsSync(path) ? readFileSync(path).length : 0
    if (runs > 1 || (runs === 0 && answer === 'noted')) throw new Error(`a task without retries ran ${runs} times, and gave ${answer}`)
  })
}

export async function nested({ random }: Scene): Promise<void> {
  const n = random.int(1000)
  expect('tasks of tasks of a task', await get(nestedTwice.remote(n)), 9 * n)
}

export async function waiting(): Promise<void> {
  const refs = Array.from({ length: 6 }, (_, i) => slow.remote(i))
  const [ready, pending] = await wait(refs, { numReturns: 3 })
  expect('refs that are ready', ready.length, 3)
  expect('refs in all', new Set([...ready, ...pending]).size, refs.length)
  for (const ref of ready) expect('a ready one', await get(ref, { timeoutMs: 60_000 }), refs.indexOf(ref))
  const [, none] = await wait(pending, { numReturns: pending.length })
  expect('refs that are pending', none.length, 0)
}

export async function cancelling({ random }: Scene): Promise<void> {
  const refs = Array.from({ length: 6 }, (_, i) => slow.remote(i))
  const chosen = new Set(random.some(refs, 0.5))
  for (const ref of chosen) cancel(ref, { force: random.chance(0.3) })
  for (const [i, ref] of refs.entries()) {
    const answer = await orError(get(ref), TaskCancelledError)
    if (!(answer instanceof TaskCancelledError && chosen.has(ref))) expect('a task among cancelled ones', answer, i)
  }
}

/** Tasks that end only when they are cancelled; the one that waits for another takes it along. */
export async function cancellingTrees({ random }: Scene): Promise<void> {
  const refs = [parent.remote(), endless.remote()]
  await new Promise(resolve => setTimeout(resolve, random.int(200)))
  for (const ref of refs) cancel(ref, { force: random.chance(0.3) })
  for (const ref of refs) {
    const answer = await orError(get(ref), TaskCancelledError)
    if (!(answer instanceof TaskCancelledError)) throw new Error(`a task that never ends gave ${answer} when it was cancelled`)
  }
}
