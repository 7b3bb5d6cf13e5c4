// SPDX-License-Identifier: Apache-2.0
// Directories of stores: where those live that name none, and that all of them go with the process that made them.
//
// Stores without a name share one folder per process, which holds a lock as long as the process lives.

import { existsSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { lockedFolder } from './locked-folder.js'

const PREFIX = 'eagleray-stores-'
const base = existsSync('/dev/shm') ? '/dev/shm' : tmpdir()

/** Directories to remove when this process ends. */
const made = new Set<string>()
let home: string | null = null
let stores = 0

/** The path of a new store that names none. */
export function unnamedPath(): string {
  if (home === null) {
    home = lockedFolder(base, PREFIX)
    removeAtEnd(home)
  }
  return join(home, String(stores++))
}

export function removeAtEnd(path: string): void {
  if (made.size === 0) process.on('exit', removeAll)
  made.add(path)
}

export function removeNow(path: string): void {
  remove(path)
  made.delete(path)
  if (made.size === 0) process.off('exit', removeAll)
}

function removeAll(): void {
  for (const path of made) remove(path)
}

function remove(path: string): void {
  rmSync(path, { recursive: true, force: true })
}
