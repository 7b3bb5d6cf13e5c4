// SPDX-License-Identifier: Apache-2.0
// Finds a Ray and runs bench/peers/ray.py with its Python.

import { spawn, spawnSync } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { basename, delimiter, dirname, join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { type Group, type Measured, median, type Unit } from '../row.js'
import { startupRowNames } from '../rows/startup.js'
import { type Peer, PeerMissing, type PeerOptions, type PeerResult } from './peer.js'

const script = fileURLToPath(new URL('ray.py', import.meta.url))

type Line =
  | { name: string; group: Group; unit: Unit; rounds: number[] }
  | { startup: Record<string, number> }
  | { version: string; python: string }

/** The Python that can import ray: named by the `ray` program's first line, or beside it. RAY_BIN may also be a Python. */
function findPython(): string {
  const named = process.env.RAY_BIN
  const program =
    named ??
    (process.env.PATH ?? '')
      .split(delimiter)
      .map(folder => join(folder, 'ray'))
      .find(existsSync)
  if (program === undefined)
    throw new PeerMissing('ray: there is no `ray` program on the PATH; install Ray, or name its `ray` or `python` in RAY_BIN')
  if (!existsSync(program)) throw new PeerMissing(`ray: RAY_BIN names ${program}, which does not exist`)
  if (basename(program).startsWith('python')) return program
  const shebang = /^#!\s*(\S+)/.exec(readFileSync(program, 'utf8'))?.[1] ?? ''
  const candidates = [shebang, join(dirname(program), 'python3'), join(dirname(program), 'python')]
  const python = candidates.find(candidate => basename(candidate).startsWith('python') && existsSync(candidate))
  if (python === undefined) throw new PeerMissing(`ray: no Python was found for ${program}; name it in RAY_BIN`)
  return python
}

function runScript(python: string, args: string[], onLine: (line: Line) => void): Promise<void> {
  return new Promise((resolve, reject) => {
    const child = spawn(python, [script, ...args], { stdio: ['ignore', 'pipe', 'inherit'] })
    createInterface(child.stdout).on('line', line => {
      if (line.startsWith('JSON ')) onLine(JSON.parse(line.slice(5)) as Line)
    })
    child.on('error', reject)
    child.on('close', code => (code === 0 ? resolve() : reject(new Error(`ray.py ${args[0]} ended with code ${code}`))))
  })
}

export const ray: Peer = {
  name: 'ray',
  check() {
    const { status, stderr } = spawnSync(findPython(), [script, 'version'], { encoding: 'utf8' })
    if (status !== 0) throw new PeerMissing(`ray: ${findPython()} cannot import ray:\n${stderr}`)
  },
  async measure({ timing, filter, startupRuns }: PeerOptions): Promise<PeerResult> {
    const python = findPython()
    const rows: Measured[] = []
    const startups: Record<string, number>[] = []
    let version = ''
    const onLine = (line: Line): void => {
      if ('version' in line) version = `${line.version}, Python ${line.python}`
      else if ('startup' in line) startups.push(line.startup)
      else {
        const value = median(line.rounds)
        rows.push({ ...line, value })
        console.error(`  ray · ${line.name}: ${value.toPrecision(4)} ${line.unit}`)
      }
    }
    await runScript(python, ['version'], onLine)
    for (const part of ['micro', 'cluster'])
      await runScript(python, [part, String(timing.rounds), String(timing.roundMs / 1000), filter], onLine)
    for (let i = 0; i < startupRuns; i++) await runScript(python, ['startup'], onLine)
    for (const [name, unit] of startups.length > 0 ? startupRowNames : []) {
      const rounds = startups.map(run => run[name] ?? Number.NaN)
      rows.push({ name, group: 'start-up', unit, value: median(rounds), rounds })
    }
    return { name: 'ray', version, rows }
  },
}
