// SPDX-License-Identifier: Apache-2.0
// `eagleray logs`: what heads, node daemons and workers of this machine have printed.

import { closeSync, openSync, readdirSync, readSync, statSync } from 'node:fs'
import { basename, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { clusterHome, liveNodes } from '../run/cluster-home.js'
import { type Command, Failure, numberOf, print, UsageError, type Values } from './command.js'
import { bytes, table } from './table.js'

const DEFAULT_TAIL = 1_000
const LOOK_MS = 200
const PIECE_BYTES = 64 * 1024

export const logs: Command = {
  name: 'logs',
  takes: '[NAME]',
  counts: [0, 1],
  summary: 'Lists the log files of this machine, or shows one of them.',
  details: 'NAME is a part of the name of a file, such as the pid of a worker. The files of a node go when it ends.',
  options: {
    tail: { type: 'string', value: 'N', help: `how many of the last lines. Default: ${DEFAULT_TAIL}` },
    follow: { type: 'boolean', help: 'go on with what is added' },
  },
  run,
}

function files(): string[] {
  const home = clusterHome()
  const folders = [join(home, 'logs'), ...liveNodes(home).map(node => join(node.sessionDir, 'logs'))]
  return folders.flatMap(folder => {
    try {
      return readdirSync(folder).map(name => join(folder, name))
    } catch {
      return []
    }
  })
}

async function run(values: Values, [name]: string[]): Promise<number> {
  const tail = numberOf(values, 'tail') ?? DEFAULT_TAIL
  if (!(Number.isInteger(tail) && tail >= 0)) throw new UsageError(`--tail must be a whole number, not ${tail}`)
  const all = files()
  if (name === undefined) {
    if (all.length === 0) throw new Failure('there are no logs on this machine: no cluster runs here, or none has run')
    print(table(all.map(rowOf), ['name', 'size', 'path']))
    return 0
  }
  const found = all.filter(path => basename(path).includes(name))
  if (found.length === 0)
    throw new Failure(`no log file of this machine has ${JSON.stringify(name)} in its name; \`eagleray logs\` lists them`)
  if (found.length > 1 && values.follow === true)
    throw new UsageError(`--follow is for one file, and ${found.map(each => basename(each)).join(', ')} match`)
  for (const path of found) {
    if (found.length > 1) print(`==> ${path}`)
    const end = show(path, tail)
    if (values.follow === true) await follow(path, end)
  }
  return 0
}

function rowOf(path: string): Record<string, unknown> {
  return { name: basename(path), size: bytes(statSync(path).size), path }
}

/** Writes the last lines, and gives where they end. */
function show(path: string, tail: number): number {
  const { text, end } = readFrom(path, 0)
  const lines = text.split('\n')
  if (lines.at(-1) === '') lines.pop()
  for (const line of tail === 0 ? [] : lines.slice(-tail)) print(line)
  return end
}

async function follow(path: string, from: number): Promise<void> {
  // Until it is interrupted, or nobody reads it.
  for (let at = from; process.stdout.writable; ) {
    await sleep(LOOK_MS)
    const { text, end } = readFrom(path, at)
    process.stdout.write(text)
    at = end
  }
}

function readFrom(path: string, from: number): { text: string; end: number } {
  const file = openSync(path, 'r')
  try {
    const pieces: Buffer[] = []
    let at = from
    for (;;) {
      const piece = Buffer.alloc(PIECE_BYTES)
      const read = readSync(file, piece, 0, piece.length, at)
      if (read === 0) return { text: Buffer.concat(pieces).toString(), end: at }
      pieces.push(piece.subarray(0, read))
      at += read
    }
  } finally {
    closeSync(file)
  }
}
