// SPDX-License-Identifier: Apache-2.0
// What the chaos test keeps a cluster busy with. Every answer is checked against what a sequential run would give. A caller goes
// round until it is told to stop; a wrong answer, an error that the death of a process does not explain, or a work that does not end, ends it.

import { Random } from '../sim/random.js'
import * as actors from './load/actors.js'
import { groups } from './load/groups.js'
import * as objects from './load/objects.js'
import * as tasks from './load/tasks.js'
import type { Scene } from './scene.js'

const { small, failing, once, nested, waiting, cancelling, cancellingTrees } = tasks
const { chains, spread, ofPut, spilling, held, orphaned } = objects
const { restarting, mortal, ofTasks, atMostOnce, inOrder, detached } = actors
const WORKS = {
  ...{ small, failing, once, nested, waiting, cancelling, cancellingTrees },
  ...{ chains, spread, ofPut, spilling, held, orphaned },
  ...{ restarting, mortal, ofTasks, atMostOnce, inOrder, detached, groups },
}

/** How long one work may take (ms): a hundred times what it takes on a busy machine, and less than a watchdog waits. */
const WORK_MS = 120_000

/** How often each kind of work was done. */
export type Done = Record<string, number>

/** Whether each kind of work was done. */
export function didAll(done: Done): boolean {
  return Object.keys(WORKS).every(name => (done[name] ?? 0) > 0)
}

/** Does every kind of work in each round, in another order each time, until `over`; counts them in `done`. */
export async function caller(scene: Scene, over: () => boolean, done: Done): Promise<void> {
  // One of its own: how often the other is asked depends on the answers.
  const order = new Random(scene.random.int(2 ** 31))
  let left: string[] = []
  while (!over()) {
    if (left.length === 0) left = Object.keys(WORKS)
    const [name] = left.splice(order.int(left.length), 1) as [keyof typeof WORKS]
    await inTime(WORKS[name](scene), `${scene.name}: ${name}`)
    done[name] = (done[name] ?? 0) + 1
  }
}

async function inTime(work: Promise<void>, what: string): Promise<void> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`it hangs: not done within ${WORK_MS / 1000} s`)), WORK_MS)
  })
  try {
    await Promise.race([work, late])
  } catch (error) {
    throw new Error(`${what}: ${(error as Error).message}`, { cause: error })
  } finally {
    clearTimeout(timer)
  }
}
