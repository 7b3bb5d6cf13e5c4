// SPDX-License-Identifier: Apache-2.0
// How functions and classes travel: by reference where their module exports them, else as source and captures.
// docs/functions.md tells the rules as a user sees them; the files in function/ hold one idea each, and `capture.ts` and
// `rebuild.ts` are the two to read first.

import type { FunctionCodec } from './context.js'
import { type BundleHead, writeBundle } from './function/bundle.js'
import { Capture, type CaptureOptions } from './function/capture.js'
import type { FunctionContext } from './function/captured-values.js'
import { sourceOf } from './function/identity.js'
import { buildFunction, prepareFunction } from './function/rebuild.js'
import { unwrap } from './function/reference.js'
import { type FunctionShape, shapeOf } from './function/shape.js'
import type { CallSite } from './function/site.js'

export type { FunctionContext, RemoteCodec } from './function/captured-values.js'
export { WRAPPED } from './function/reference.js'
export { type FunctionShape, shapeOf } from './function/shape.js'
export { type CallSite, callSite } from './function/site.js'

/** A function as it travels. */
export interface Code {
  /** 32 hexadecimal digits of the sha256 of `bytes`. */
  hash: string
  /** Self-contained. */
  bytes: Uint8Array
  shape: FunctionShape
  /** Refs and handles that the code holds: whoever keeps the code keeps these. */
  references: object[]
}

/**
 * Captures `fn` as it is now, synchronously. `env` adds to the variables that are found and wins over them. `site` is
 * where `remote()` was called, and only makes finding the module cheaper.
 * Throws SerializationError with the variable and its path for what cannot travel, TypeError for functions without source.
 */
export function captureFunction(
  fn: Function,
  options: { env: Record<string, unknown> | null; site: CallSite | null; context: FunctionContext },
): Code {
  const shape = shapeOf(fn)
  const { bytes, references } = (options.env ? null : sourceOf(fn)) ?? capture(fn, { ...options, path: null })
  // Not imported: most workers capture nothing, and start sooner without.
  const { createHash } = process.getBuiltinModule('node:crypto')
  return { hash: createHash('sha256').update(bytes).digest('hex').slice(0, 32), bytes, shape, references }
}

/** Gives the function or class in this process. Rejects with SerializationError when a module it needs is not here, or not the same. */
export async function rebuildFunction(bytes: Uint8Array, context: FunctionContext): Promise<Function> {
  await prepareFunction(bytes, context)
  return buildFunction(bytes, context)
}

/**
 * Functions and classes met inside values. `context` is asked for at each use: it usually holds this very codec.
 * What travels by reference and classes are captured once in a process; other functions each time, as they are then.
 */
export function makeFunctionCodec(context: () => FunctionContext): FunctionCodec {
  const settled = new WeakMap<Function, Uint8Array>()
  return {
    encode(fn, path, held) {
      const known = settled.get(fn)
      if (known) return known
      const { bytes, references, isSettled } =
        (unwrap(fn) ? null : sourced(fn)) ?? capture(fn, { env: null, site: null, context: context(), path })
      held.push(...references)
      if (isSettled && references.length === 0) settled.set(fn, bytes)
      return bytes
    },
    prepare: bytes => prepareFunction(bytes, context()),
    decode: bytes => buildFunction(bytes, context()),
  }
}

interface Captured {
  bytes: Uint8Array
  references: object[]
  /** A later capture would give the same. */
  isSettled: boolean
}

/** A function that came from elsewhere and holds no refs goes on as it came. */
function sourced(fn: Function): Captured | null {
  const source = sourceOf(fn)
  return source && source.references.length === 0 ? { ...source, isSettled: true } : null
}

function capture(fn: Function, options: CaptureOptions): Captured {
  const run = new Capture(options)
  const root = run.root(fn)
  const head: BundleHead = { root, modules: run.modules, records: run.records }
  const bytes = writeBundle(head, run.values.byteLength, (target, start) => run.values.writeTo(target, start))
  const record = run.records[root]!
  const isSettled = record.kind !== 'function' || record.classId !== null
  return { bytes, references: run.values.references, isSettled }
}
