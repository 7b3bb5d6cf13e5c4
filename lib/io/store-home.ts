// SPDX-License-Identifier: Apache-2.0
// Directories of stores: where those live that name none, and that all of them go with the process that made them.
//
// Stores without a name share one folder per process, which holds a lock as long as the process lives. So a process that
// was killed leaves a folder that anybody can tell to be dead, also from another container; the next one removes it.

import { existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { native } from '../native.js'

const PREFIX = 'eagleray-stores-'
const base = existsSync('/dev/shm') ? '/dev/shm' : tmpdir()

/** Directories to remove when this process ends. */
const made = new Set<string>()
let home: string | null = null
let stores = 0

/** The path of a new store that names none. */
export function unnamedPath(): string {
  home ??= makeHome()
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

function makeHome(): string {
  removeDead()
  for (;;) {
    const folder = mkdtempSync(join(base, PREFIX))
    removeAtEnd(folder)
    // Another process may take it for dead in the moment between the lock's making and its taking, and remove it.
    if (native.lockFile(join(folder, 'lock'))) return folder
    made.delete(folder)
  }
}

/** A folder without a lock is just being made, and that of another user cannot be looked into. */
function removeDead(): void {
  for (const name of readdirSync(base)) {
    const lock = join(base, name, 'lock')
    if (!name.startsWith(PREFIX) || !existsSync(lock)) continue
    try {
      if (native.lockFile(lock)) remove(join(base, name))
    } catch {
      // Somebody else removed it at the same time.
    }
  }
}
