// SPDX-License-Identifier: Apache-2.0
// Folders that belong to a process: each holds a lock as long as that process lives, so that one that was killed leaves folders that
// anybody can tell to be dead, also from another container. Whoever makes the next one beside them removes those.

import { existsSync, lstatSync, mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { native } from '../native.js'
import { makeFolder } from './make-folder.js'

/** Of folders with the files of one store's spilled objects. */
export const SPILL_PREFIX = 'eagleray-spill-'

/** A new folder, mode 0700, in `base`, which is made if it is not there. The caller removes it. */
export function lockedFolder(base: string, prefix: string): string {
  makeFolder(base)
  removeDead(base, prefix)
  for (;;) {
    const folder = mkdtempSync(join(base, prefix))
    // Another process may take it for dead in the moment between the lock's making and its taking, and remove it.
    if (native.lockFile(join(folder, 'lock'))) return folder
  }
}

/** A folder without a lock is just being made. Those of other users are theirs to remove, also where this process is root: it would follow what they put there. */
function removeDead(base: string, prefix: string): void {
  for (const name of readdirSync(base)) {
    const lock = join(base, name, 'lock')
    if (!name.startsWith(prefix) || !isOwn(join(base, name)) || !existsSync(lock)) continue
    try {
      if (native.lockFile(lock)) rmSync(join(base, name), { recursive: true, force: true })
    } catch {
      // Somebody else removed it at the same time.
    }
  }
}

function isOwn(path: string): boolean {
  const stats = lstatSync(path, { throwIfNoEntry: false })
  return stats?.isDirectory() === true && stats.uid === process.geteuid?.()
}
