// SPDX-License-Identifier: Apache-2.0
// Where small objects are copied to: one allocation for many of them, since an ArrayBuffer of its own would cost each more than all
// the rest of a get. As with Buffer.allocUnsafe, neighbours share an ArrayBuffer.

import { limits } from '../options.js'

const POOL_BYTES = 64 * 1024
/** Arrays in a value begin on their own size's multiple within its encoding. */
const ALIGNMENT = 64

export class CopyPool {
  /** Where the next object is copied to: `bytes[offset]` on, `limits.copyOutBytesMax` at most. */
  bytes = new Uint8Array(POOL_BYTES)
  offset = 0

  /** The object of that length was copied there: keeps it and gives its offset in `bytes`. -1 when it was too long to be copied. */
  take(length: number): number {
    if (length > limits.copyOutBytesMax) return -1
    const { offset } = this
    this.offset = (offset + length + ALIGNMENT - 1) & -ALIGNMENT
    return offset
  }

  /** Makes room for one more. What `bytes` was before stays with the objects in it. */
  prepare(): void {
    if (this.offset + limits.copyOutBytesMax <= POOL_BYTES) return
    this.bytes = new Uint8Array(POOL_BYTES)
    this.offset = 0
  }
}
