// SPDX-License-Identifier: Apache-2.0
// How remote functions and actor classes travel inside code. lib/api registers how to see and make them; it knows of
// this folder, not the reverse.

import type { RemoteCodec } from '../codec/function.js'

let registered: RemoteCodec | null = null

export function registerRemotes(codec: RemoteCodec): void {
  registered = codec
}

export const remotes: RemoteCodec = {
  encode: wrapper => registered?.encode(wrapper) ?? null,
  decode: (fn, options) => {
    if (registered === null) throw new RangeError('remote functions cannot be rebuilt in this process')
    return registered.decode(fn, options)
  },
}
