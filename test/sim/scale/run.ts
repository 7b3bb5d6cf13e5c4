// SPDX-License-Identifier: Apache-2.0
// Places many equal tasks on many nodes, and says how close that came to the best there could be.

import { type Scale, ScaleWorld } from './world.js'

export interface Figures {
  /** Milliseconds from the first submission to the last result: as it was, and were every CPU busy from the first instant to the last. */
  makespanMs: number
  idealMs: number
  /** Messages that the head handled meanwhile, a task: all, and without signs of life. */
  atHead: number
  atHeadWork: number
  /** Messages between owners and nodes, a task. */
  asked: number
}

/** How long nodes may take to come up. */
const START_MS = 60_000

export function runScale(scale: Scale, progress: (text: string) => void = () => {}): Figures {
  const world = new ScaleWorld(scale)
  const { agenda } = world
  world.drive()
  const slots = scale.nodes * scale.cpus
  while (world.workers < slots) {
    if (agenda.now > START_MS) throw new Error(`only ${world.workers} of ${slots} workers have started`)
    agenda.step()
  }
  // A while of rest, so that everyone has seen everyone.
  const from = agenda.now + 2_000
  while (agenda.now < from) agenda.step()
  const before = { ...world.atHead, asked: world.asked }
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
  const makespanMs = Math.max(...world.drivers.map(driver => driver.endedAt as number)) - startedAt
  const each = (now: number, then: number): number => (now - then) / scale.tasks
  return {
    makespanMs,
    idealMs,
    atHead: each(world.atHead.all, before.all),
    atHeadWork: each(world.atHead.work, before.work),
    asked: each(world.asked, before.asked),
  }
}
