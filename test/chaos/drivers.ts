// SPDX-License-Identifier: Apache-2.0
// The drivers of the chaos test that may be killed, seen from the one that may not.

import { type ChildProcess, spawn } from 'node:child_process'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import type { Random } from '../sim/random.js'
import type { DriverTask } from './driver.js'
import type { Done } from './load.js'

const PROGRAM = fileURLToPath(new URL('driver.ts', import.meta.url))

interface Driver {
  readonly name: string
  readonly child: ChildProcess
  readonly ended: Promise<void>
  done: Done
}

export class Drivers {
  readonly #running = new Set<Driver>()
  /** What those that are gone have done, as far as they said so. */
  readonly #before: Done[] = []
  #started = 0

  constructor(
    private readonly task: Omit<DriverTask, 'name'>,
    private readonly onFailed: (error: Error) => void,
  ) {}

  start(name: string): void {
    const task: DriverTask = { ...this.task, name, seed: this.task.seed + 1000 * ++this.#started }
    const child = spawn(process.execPath, ['--import', 'tsx', PROGRAM, JSON.stringify(task)], { stdio: ['pipe', 'pipe', 'pipe'] })
    const output: string[] = []
    const ended = new Promise<void>(resolve => {
      child.once('close', (code, signal) => {
        const isKilled = !this.#running.delete(driver)
        this.#before.push(driver.done)
        if (!isKilled && code !== 0) this.onFailed(new Error(`the driver ${name} ended with ${code ?? signal}:\n${output.join('\n')}`))
        resolve()
      })
    })
    const driver: Driver = { name, child, ended, done: {} }
    this.#running.add(driver)
    // It may have ended before it reads.
    child.stdin?.on('error', () => {})
    createInterface({ input: child.stdout! }).on('line', line => {
      if (line.startsWith('{')) driver.done = JSON.parse(line) as Done
      else output.push(line)
    })
    createInterface({ input: child.stderr! }).on('line', line => void output.push(line))
  }

  /** Another one takes its place, under its name. */
  async killOne(random: Random): Promise<void> {
    const driver = random.pick([...this.#running])
    this.#running.delete(driver)
    driver.child.kill('SIGKILL')
    await driver.ended
    this.start(driver.name)
  }

  nodeLost(): void {
    for (const { child } of this.#running) child.stdin?.write('lost\n')
  }

  /** Resolves when all have done what they were at, and ended. */
  async end(): Promise<void> {
    for (const { child } of this.#running) child.stdin?.write('end\n')
    await Promise.all([...this.#running].map(driver => driver.ended))
  }

  get done(): Done[] {
    return [...this.#before, ...[...this.#running].map(driver => driver.done)]
  }
}
