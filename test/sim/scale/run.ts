// SPDX-License-Identifier: Apache-2.0
// Places many equal tasks on many nodes, and says how close that came to the best there could be.

import type { ScaleDriver } from './driver.js'
import { type Scale, ScaleWorld } from './world.js'

export interface Figures {
  /** Milliseconds from the first submission to the last result: as it was, and were every CPU busy from the first instant to the last. */
  makespanMs: number
  idealMs: number
  /** Until the first program had all its results. */
  firstMs: number
  /** Messages that the head handled meanwhile, a task: all, and without signs of life. */
  atHead: number
  atHeadWork: number
  /** Messages of owners to nodes, a task; and leases, a task. */
  asked: number
  granted: number
}

/** How long nodes may take to come up. */
const START_MS = 60_000

export function runScale(scale: Scale, progress: (text: string) => void = () => {}): Figures {
  const world = new ScaleWorld(scale)
  const { agenda } = world
  world.drive()
  const slots = scale.nodes * scale.cpus
  comeUp(world)
  const before = { ...world.atHead, asked: world.asked, granted: world.granted }
  progress(`${slots} workers on ${scale.nodes} nodes are there`)
  const startedAt = agenda.now
  for (const driver of world.drivers) driver.start()
  const idealMs = (Math.ceil(scale.tasks / slots) * scale.taskMs) | 0
  let told = 0
  while (world.drivers.some(driver => driver.endedAt === null)) {
    agenda.step()
    if (agenda.now > startedAt + 20 * idealMs + 10_000) throw new Error(`stuck: ${world.ran} of ${scale.tasks} tasks have run`)
    if (world.ran < told + scale.tasks / 10) continue
    told = world.ran
    progress(`${((100 * told) / scale.tasks).toFixed(0)} % after ${(agenda.now - startedAt).toFixed(0)} ms`)
  }
  const ends = world.drivers.map(driver => (driver.endedAt as number) - startedAt)
  const each = (now: number, then: number): number => (now - then) / scale.tasks
  return {
    makespanMs: Math.max(...ends),
    idealMs,
    firstMs: Math.min(...ends),
    atHead: each(world.atHead.all, before.all),
    atHeadWork: each(world.atHead.work, before.work),
    asked: each(world.asked, before.asked),
    granted: each(world.granted, before.granted),
  }
}

/** How long a program with so many tasks takes that begins when others have had the whole cluster for a while, in milliseconds. */
export function runLate(scale: Scale, tasks: number): number {
  const world = new ScaleWorld(scale)
  const { agenda } = world
  world.drive()
  comeUp(world)
  for (const driver of world.drivers) driver.start()
  pass(world, 10 * scale.taskMs)
  const late: ScaleDriver = world.driveLate(tasks)
  pass(world, scale.startMs)
  const startedAt = agenda.now
  late.start()
  while (late.endedAt === null) {
    agenda.step()
    if (world.drivers.some(driver => driver !== late && driver.endedAt !== null)) throw new Error('the others have ended before')
  }
  return late.endedAt - startedAt
}

/** Until all workers are there, and a while longer, so that everyone has seen everyone. */
function comeUp(world: ScaleWorld): void {
  const slots = world.scale.nodes * world.scale.cpus
  while (world.workers < slots) {
    if (world.agenda.now > START_MS) throw new Error(`only ${world.workers} of ${slots} workers have started`)
    world.agenda.step()
  }
  pass(world, 2_000)
}

function pass({ agenda }: ScaleWorld, ms: number): void {
  const until = agenda.now + ms
  while (agenda.now < until) agenda.step()
}
