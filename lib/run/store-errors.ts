// SPDX-License-Identifier: Apache-2.0
// What the store refuses, as errors that name who holds it.

import { ObjectExistsError, ObjectStoreFullError, OutOfDiskError } from '../errors.js'
import type { ObjectInfo } from '../store.js'

const EXISTS = 'ERR_EAGLERAY_OBJECT_EXISTS'
const FULL = 'ERR_EAGLERAY_OBJECT_STORE_FULL'
const OUT_OF_DISK = 'ERR_EAGLERAY_OUT_OF_DISK'
const HOLDERS_NAMED = 10

/** An object is in the way, or all of them. */
export function inTheWay(error: unknown): error is Error & { code: string } {
  return [EXISTS, FULL, OUT_OF_DISK].includes((error as NodeJS.ErrnoException).code ?? '')
}

export function storeError(error: Error & { code: string }, id: string, requestedBytes: number, objects: ObjectInfo[]): Error {
  if (error.code === EXISTS) return new ObjectExistsError(`there is an object ${id} already`, { objectId: id, cause: error })
  const holders = objects
    .sort((a, b) => b.sizeBytes - a.sizeBytes)
    .slice(0, HOLDERS_NAMED)
    .map(each => ({
      objectId: each.id,
      sizeBytes: each.sizeBytes,
      owner: each.createdBy === 0 ? 'a process that is gone' : `pid ${each.createdBy}`,
      reason: reason(each),
      callSite: each.callSite === '' ? 'unknown call site' : each.callSite,
    }))
  const lines = holders.map(
    each => `  ${each.sizeBytes} bytes made at ${each.callSite} by ${each.owner}: ${each.reason} (${each.objectId})`,
  )
  const message = `${error.message}. The largest objects are:\n${lines.join('\n')}`
  if (error.code === OUT_OF_DISK)
    return new OutOfDiskError(`${message}\nDelete objects, free disk space, or raise spillQuotaBytes; nothing was lost`, { cause: error })
  return new ObjectStoreFullError(`${message}\nDelete objects, release views, or give the store a spillDir; nothing was lost`, {
    requestedBytes,
    cause: error,
    holders,
  })
}

function reason(object: ObjectInfo): string {
  if (object.pinnedBy.length > 0) {
    const since = object.pinnedSinceMs === null ? '' : ` since ${new Date(object.pinnedSinceMs).toISOString()}`
    return `viewed by pid ${object.pinnedBy.join(', ')}${since}`
  }
  return object.state === 'creating' ? 'being made' : `not deleted${object.spilled ? ', on disk' : ''}`
}
