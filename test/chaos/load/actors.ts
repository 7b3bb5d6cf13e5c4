// SPDX-License-Identifier: Apache-2.0
// Actors: restarting or not, with calls that are made again or come at most once, in order; and detached ones, which
// outlive the drivers that made them.

import { appendFileSync, existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import {
  ActorDiedError,
  ActorError,
  type ActorHandle,
  ActorUnavailableError,
  get,
  getActor,
  kill,
  ready,
  remote,
  TaskError,
} from 'eagleray'
import { expect, orError, orKilled, type Scene, unique } from '../scene.js'

export const NAMESPACE = 'chaos'

/** Counts what it was told to add. */
class Counter {
  private sum = 0
  add(amount: number): number {
    this.sum += amount
    return this.sum
  }
}

/** Notes each call where it outlives the actor. */
class Scribe {
  note(path: string, n: number): number {
    appendFileSync(path, `${process.pid} ${n}\n`)
    return n
  }
}

const Mortal = remote(Counter, { numCpus: 0 })
const Lasting = remote(Counter, { maxRestarts: -1, maxTaskRetries: -1, numCpus: 0 })
const Detached = remote(Counter, { maxRestarts: -1, maxTaskRetries: -1, numCpus: 0, lifetime: 'detached', namespace: NAMESPACE })
const Once = remote(Scribe, { maxRestarts: -1, maxTaskRetries: 0, numCpus: 0 })
const Again = remote(Scribe, { maxRestarts: -1, maxTaskRetries: -1, numCpus: 0 })

const withActor = remote(
  async (by: number): Promise<number> => {
    const actor = Mortal.remote()
    const sums = await get([actor.add.remote(by), actor.add.remote(by), actor.add.remote(by)])
    return sums[2]
  },
  { maxRetries: -1 },
)

/** Adds one by one; each sum is what the one before makes it, or the first after a restart, which begins at nothing. */
async function count(actor: ActorHandle<Counter>, { random }: Scene, times: number, before: number | null): Promise<void> {
  let last = before
  for (let i = 0; i < times; i++) {
    const amount = 1 + random.int(5)
    const sum = await get(actor.add.remote(amount))
    if (sum !== amount && last !== null && sum !== last + amount)
      throw new Error(`an actor answered ${sum} after ${last} and an addition of ${amount}`)
    last = sum
  }
}

export async function restarting(scene: Scene): Promise<void> {
  const actor: ActorHandle<Counter> = Lasting.remote()
  await count(actor, scene, 10, 0)
  kill(actor)
}

/** The actor of a task, which ends with the worker if not before. */
export async function ofTasks({ random }: Scene): Promise<void> {
  const by = random.int(100)
  const sum = await orKilled(get(withActor.remote(by)), TaskError)
  if (!(sum instanceof TaskError)) expect('the sum of the actor of a task', sum, 3 * by)
  else if (!(sum.cause instanceof ActorDiedError)) throw sum
}

/** Calls come at most once, in order; after its death every call fails, and says so. */
export async function mortal(): Promise<void> {
  const actor: ActorHandle<Counter> = Mortal.remote()
  let dead = false
  for (let i = 1; i <= 20; i++) {
    const sum = await orKilled(get(actor.add.remote(1)), ActorDiedError)
    if (dead && !(sum instanceof Error)) throw new Error('an actor that had died answered')
    if (sum instanceof Error) dead = true
    else expect('an actor that is not restarted', sum, i)
  }
}

/** Without `maxTaskRetries` no call runs twice, and one of which its caller hears that it was not run was not. */
export async function atMostOnce(scene: Scene): Promise<void> {
  const path = join(scene.folder, unique(scene))
  const actor: ActorHandle<Scribe> = Once.remote()
  const refs = Array.from({ length: 20 }, (_, n) => actor.note.remote(path, n))
  const answers = await Promise.all(refs.map(ref => orError(get(ref), ActorUnavailableError)))
  kill(actor)
  const noted = notes(path).map(({ n }) => n)
  answers.forEach((answer, n) => {
    const runs = noted.filter(each => each === n).length
    const isSaid = answer instanceof Error ? runs === 0 || !answer.message.includes('was not run') : answer === n && runs === 1
    if (runs > 1 || !isSaid) throw new Error(`call ${n} that comes at most once ran ${runs} times, and gave ${answer}: ${noted}`)
  })
}

/** With `maxTaskRetries` every call runs, and each process of the actor gets them in order. */
export async function inOrder(scene: Scene): Promise<void> {
  const path = join(scene.folder, unique(scene))
  const actor: ActorHandle<Scribe> = Again.remote()
  const answers = await get(Array.from({ length: 20 }, (_, n) => actor.note.remote(path, n)))
  kill(actor)
  answers.forEach((answer, n) => void expect('a call that is made again', answer, n))
  const noted = notes(path)
  const lastOf = new Map<number, number>()
  for (const { pid, n } of noted) {
    const last = lastOf.get(pid)
    if (last !== undefined && n !== last + 1) throw new Error(`call ${n} came after ${last} in ${pid}: ${JSON.stringify(noted)}`)
    lastOf.set(pid, n)
  }
  for (const n of answers) if (!noted.some(each => each.n === n)) throw new Error(`call ${n} was answered and did not run`)
}

/** One of its own for each caller; who takes the place of a caller that was killed finds it by name. */
export async function detached(scene: Scene): Promise<void> {
  const { name, folder, random } = scene
  // Written once it lives, removed before it is killed.
  const path = join(folder, `detached-${name}`)
  const exists = existsSync(path)
  const actor: ActorHandle<Counter> = exists
    ? await getActor<Counter>(name, { namespace: NAMESPACE })
    : Detached.options({ name, getIfExists: true }).remote()
  await ready(actor)
  if (!exists) writeFileSync(path, '')
  await count(actor, scene, 5, null)
  if (random.chance(0.7)) return
  rmSync(path)
  kill(actor)
  const after = await orError(getActor(name, { namespace: NAMESPACE }), RangeError)
  if (!(after instanceof RangeError)) throw new Error(`the detached actor ${name} is found after it was killed`)
  const answer = await orError(get(actor.add.remote(1)), ActorError)
  if (!(answer instanceof ActorDiedError)) throw new Error(`the detached actor ${name} answered ${answer} after it was killed`)
}

function notes(path: string): { pid: number; n: number }[] {
  if (!existsSync(path)) return []
  const lines = readFileSync(path, 'utf8').trimEnd().split('\n')
  return lines.map(line => ({ pid: Number(line.split(' ')[0]), n: Number(line.split(' ')[1]) }))
}
