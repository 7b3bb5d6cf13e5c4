// SPDX-License-Identifier: Apache-2.0
// How large an object may be for this version of Node to view it. Node 20 has no ArrayBuffer of more than 4 GiB over memory
// that it did not allocate itself; later versions have no limit that matters.

import { constants } from 'node:buffer'

const viewBytesMax = constants.MAX_LENGTH

/** A RangeError like any other to those who catch it; a class, so that the encoder knows its own. */
export class TooLargeToView extends RangeError {}

/** Throws RangeError where an object of `byteLength` bytes could not be viewed. `what` was attempted. */
export function checkViewable(what: string, byteLength: number, bytesMax = viewBytesMax): void {
  if (byteLength <= bytesMax) return
  const limit = `Node ${process.versions.node} can view at most ${bytesMax} of shared memory at once`
  throw new TooLargeToView(`${what}: it takes ${byteLength} bytes, and ${limit}; use Node 22 or later, or several objects`)
}
