// SPDX-License-Identifier: Apache-2.0
// From import to shutdown, each run in a process of its own: these happen once, so a loop in one process says nothing.

import { fork } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { processTree, residentMegabytes } from '../processes.js'
import { type Measured, median, type Unit } from '../row.js'

const probe = fileURLToPath(new URL('../startup-probe.mjs', import.meta.url))

export const startupRowNames: readonly (readonly [string, Unit])[] = [
  ['import', 'ms'],
  ['init, 2 CPUs', 'ms'],
  ['first task after init', 'ms'],
  ['first actor, until its first answer', 'ms'],
  ['20 actors at once, until all have answered', 'ms'],
  ['shutdown', 'ms'],
  ['resident memory, idle after the first task', 'MB'],
  ['resident memory with 21 actors', 'MB'],
]

type Figures = Record<string, number>

/** One cluster's life. */
function probeOnce(): Promise<Figures> {
  return new Promise((resolve, reject) => {
    const child = fork(probe, { execArgv: [] })
    const memory: Figures = {}
    let figures: Figures | null = null
    child.on('message', (message: { measure?: string; figures?: Figures }) => {
      if (message.measure !== undefined) {
        memory[message.measure] = residentMegabytes(processTree(child.pid as number))
        child.send('measured')
      }
      if (message.figures) figures = message.figures
    })
    child.on('error', reject)
    child.on('exit', code =>
      figures ? resolve({ ...figures, ...memory }) : reject(new Error(`the start-up probe ended with code ${code}`)),
    )
  })
}

export async function measureStartup(times: number): Promise<Measured[]> {
  const runs: Figures[] = []
  for (let i = 0; i < times; i++) runs.push(await probeOnce())
  return startupRowNames.map(([name, unit]) => {
    const rounds = runs.map(run => run[name] ?? Number.NaN)
    return { name, group: 'start-up', unit, value: median(rounds), rounds }
  })
}
