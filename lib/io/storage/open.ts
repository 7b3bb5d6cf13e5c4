// SPDX-License-Identifier: Apache-2.0
// Storages by their names: `memory`, `file:DIR`, `redis://…`.

import { resolve } from 'node:path'
import { native } from '../../native.js'
import { limits } from '../../options.js'
import { FileStorage } from './file.js'
import { MemoryStorage } from './memory.js'
import { checkStorageName } from './name.js'
import { RedisStorage } from './redis.js'
import type { Storage } from './storage.js'

/** Throws TypeError when it names none. `onWaiting`: told now and then while it is away, with a sentence that says so, and with null when it is back. */
export function openStorage(name: string, onWaiting: (text: string | null) => void = () => {}): Storage {
  checkStorageName('storage', name)
  if (name === 'memory') return new MemoryStorage()
  if (name.startsWith('file:')) return new FileStorage(resolve(name.slice('file:'.length)), { lock: path => native.lockFile(path) })
  return new RedisStorage(name, { waitMs: limits.storageWaitMs, onWaiting })
}
