// SPDX-License-Identifier: Apache-2.0
// remote(): makes a function or class one that runs elsewhere.

import { shapeOf } from '../codec/function.js'
import { registerRemotes } from '../run/remotes.js'
import { type ActorClass, ActorClassImpl, type ActorOptions, type AnyClass } from './actor-class.js'
import { REMOTE, REMOTE_OPTIONS, type RemoteFunction, RemoteFunctionImpl } from './remote-function.js'
import type { TaskOptions } from './task-options.js'

/**
 * Makes a function a remote function, or a class an actor class. Nothing is sent before the first `.remote()`, which
 * captures what the function uses: constants, helpers, imports, other remote functions, refs and handles.
 * Throws TypeError for native functions and unknown options.
 * @example const square = remote((x: number) => x * x); await get(square.remote(4))
 * @example const Counter = remote(class { n = 0; add(k = 1) { return (this.n += k) } }); const c = Counter.remote()
 */
export function remote<C extends AnyClass>(Class: C, options?: ActorOptions): ActorClass<C>
export function remote<A extends readonly unknown[], R, const O extends TaskOptions>(
  fn: (...args: A) => R,
  options: O,
): RemoteFunction<A, R, O extends { numReturns: infer N } ? N : 1>
export function remote<A extends readonly unknown[], R>(fn: (...args: A) => R): RemoteFunction<A, R>
export function remote(fn: unknown, options: object = {}): unknown {
  if (typeof fn !== 'function') throw new TypeError(`remote() takes a function or a class, not ${fn === null ? 'null' : `a ${typeof fn}`}`)
  const shape = shapeOf(fn as (...args: unknown[]) => unknown)
  return shape.isClass ? ActorClassImpl.define(fn, shape, options) : RemoteFunctionImpl.define(fn, shape, options)
}

registerRemotes({
  encode: wrapper => {
    if (wrapper instanceof RemoteFunctionImpl || wrapper instanceof ActorClassImpl)
      return { fn: wrapper[REMOTE], options: wrapper[REMOTE_OPTIONS] }
    return null
  },
  decode: (fn, options) => remote(fn as () => unknown, options as TaskOptions),
})
