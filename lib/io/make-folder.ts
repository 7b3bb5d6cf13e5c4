// SPDX-License-Identifier: Apache-2.0
// Makes a folder that a user has named, and those above it. Node's own `recursive` never comes back where the system says
// "no such file" of a folder whose parent is there, as in /proc (seen with Node 20).

import { mkdirSync, statSync } from 'node:fs'
import { dirname } from 'node:path'

/** Mode 0700 for what is made; what is there already stays as it is. Throws the system's error where it cannot be made. */
export function makeFolder(path: string): void {
  try {
    mkdirSync(path, { mode: 0o700 })
  } catch (error) {
    if (isFolder(path)) return
    const above = dirname(path)
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT' || isFolder(above)) throw error
    makeFolder(above)
    makeFolder(path)
  }
}

function isFolder(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isDirectory() ?? false
}
