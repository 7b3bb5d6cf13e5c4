// SPDX-License-Identifier: Apache-2.0
// What ObjectStore.create and get are given, and whether it is right.

export interface CreateOptions {
  /** Directory of the store, which must not exist; made with mode 0700. Default: one of its own in shared memory. */
  path?: string
  /** Bytes for objects in memory. */
  capacityBytes: number
  /** Touch all of it now, so that no first use is slow. Default false. */
  prefault?: boolean
  /**
   * A directory on disk for what memory has no room for; made if it is not there. The store makes one of its own in it, mode 0700, and
   * removes it at its end. null, the default: a full store is an error, and nothing is ever evicted.
   */
  spillDir?: string | null
  /** Bytes that files there may take at most. Default: what the disk has, less a twentieth (4 GiB at most) that stays free. */
  spillQuotaBytes?: number
}

const KEYS = ['path', 'capacityBytes', 'prefault', 'spillDir', 'spillQuotaBytes']

export function checkedCreate(options: CreateOptions): CreateOptions {
  const wrong = (what: string): TypeError => new TypeError(`ObjectStore.create(): ${what}`)
  if (typeof options !== 'object' || options === null) throw wrong('options must be an object')
  for (const key of Object.keys(options)) if (!KEYS.includes(key)) throw wrong(`unknown option ${key}`)
  const { path, capacityBytes, prefault, spillDir, spillQuotaBytes } = options
  if (spillDir !== undefined && spillDir !== null && (typeof spillDir !== 'string' || spillDir === ''))
    throw wrong('spillDir must be the path of a directory, or null')
  if (path !== undefined && (typeof path !== 'string' || path === '')) throw wrong('path must be that of a directory to be made')
  if (prefault !== undefined && typeof prefault !== 'boolean') throw wrong('prefault must be true or false')
  checkBytes('capacityBytes', capacityBytes)
  if (spillQuotaBytes !== undefined) {
    checkBytes('spillQuotaBytes', spillQuotaBytes)
    if (spillDir === undefined || spillDir === null) throw wrong('spillQuotaBytes is the quota of spillDir, which is not given')
  }
  return options
}

function checkBytes(name: string, bytes: unknown): void {
  if (typeof bytes !== 'number') throw new TypeError(`ObjectStore.create(): ${name} must be a number of bytes`)
  if (!Number.isSafeInteger(bytes) || bytes <= 0)
    throw new RangeError(`ObjectStore.create(): ${name} is ${bytes}; it must be a positive whole number of bytes`)
}

export function checkedGet(options: { timeoutMs?: number }): { timeoutMs?: number } {
  if (typeof options !== 'object' || options === null) throw new TypeError('get(): options must be an object')
  for (const key of Object.keys(options)) if (key !== 'timeoutMs') throw new TypeError(`get(): unknown option ${key}`)
  const { timeoutMs } = options
  if (timeoutMs === undefined) return options
  if (typeof timeoutMs !== 'number' || Number.isNaN(timeoutMs)) throw new TypeError('get(): timeoutMs must be a number of milliseconds')
  if (timeoutMs < 0) throw new RangeError(`get(): timeoutMs is ${timeoutMs}; it must be 0 or more`)
  return options
}
