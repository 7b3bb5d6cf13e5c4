// SPDX-License-Identifier: Apache-2.0
// get and wait: promises over the state of entries. While any is pending the event loop stays alive, and a task that
// waits here gives its CPU back.

import { type Entry, STATE } from '../core/owner/entry.js'
import { GetTimeoutError } from '../errors.js'
import { objectId } from '../ids.js'
import { entryOf, ObjectRef } from './ref.js'
import type { Runtime } from './runtime.js'
import { Timeout } from './timeout.js'

let lastMark = 0

export function get(runtime: Runtime, refs: unknown, timeoutMs: number | undefined): Promise<unknown> {
  if (refs instanceof ObjectRef) return getOne(runtime, refs, timeoutMs)
  if (!Array.isArray(refs)) throw new TypeError(`get() takes an ObjectRef or an array of them, not ${describe(refs)}`)
  const entries = refs.map((ref, i) => {
    if (!(ref instanceof ObjectRef)) throw new TypeError(`get() takes ObjectRefs; element ${i} of the array is ${describe(ref)}`)
    return entryOf(ref)
  })
  return getAll(runtime, refs, entries, timeoutMs)
}

async function getOne(runtime: Runtime, ref: ObjectRef, timeoutMs: number | undefined): Promise<unknown> {
  const entry = entryOf(ref)
  if (runtime.pressure.high) await runtime.breathe()
  if (!entry.settled) runtime.need(entry)
  const until = timeoutMs === undefined ? undefined : performance.now() + timeoutMs
  if (!entry.settled) {
    await runtime.waiting(
      new Promise<void>((resolve, reject) => {
        const timer = startTimer(runtime, timeoutMs, timeoutMs, [entry], () => unwait(entry, settled), reject)
        const settled = () => {
          timer?.clear()
          resolve()
        }
        subscribe(entry, settled)
      }),
    )
  }
  void ref
  if (entry.state !== STATE.stored) return runtime.reader.value(entry)
  const cancels: (() => void)[] = []
  const value = runtime.reader.value(entry, cancels)
  return cancels.length === 0 ? value : brought(runtime, [entry], value as Promise<unknown>, cancels, timeoutMs, until)
}

/** Values that have to be brought here first come within the time, or not at all. */
function brought<T>(
  runtime: Runtime,
  entries: Entry[],
  values: Promise<T>,
  cancels: (() => void)[],
  timeoutMs: number | undefined,
  until: number | undefined,
): Promise<T> {
  return runtime.waiting(
    new Promise((resolve, reject) => {
      const stop = () => {
        for (const cancel of cancels) cancel()
      }
      const left = until === undefined ? undefined : Math.max(0, until - performance.now())
      const timer = startTimer(runtime, timeoutMs, left, entries, stop, reject)
      values.then(resolve, reject).finally(() => timer?.clear())
    }),
  )
}

async function getAll(runtime: Runtime, refs: unknown[], entries: Entry[], timeoutMs: number | undefined): Promise<unknown[]> {
  const values: unknown[] = new Array(entries.length)
  if (runtime.pressure.high) await runtime.breathe()
  let missing = 0
  for (const entry of entries) {
    if (!entry.settled) runtime.need(entry)
    if (entry.state === STATE.failed) return runtime.reader.fail(entry)
    if (!entry.settled) missing++
  }
  const until = timeoutMs === undefined ? undefined : performance.now() + timeoutMs
  if (missing > 0) await runtime.waiting(allSettled(runtime, entries, missing, timeoutMs))
  const cancels: (() => void)[] = []
  const loading = readAll(runtime, entries, values, cancels)
  void refs
  if (!loading) return values
  return cancels.length === 0 ? Promise.all(values) : brought(runtime, entries, Promise.all(values), cancels, timeoutMs, until)
}

/** Gives whether some are promises. */
function readAll(runtime: Runtime, entries: Entry[], values: unknown[], cancels: (() => void)[]): boolean {
  let loading = false
  try {
    for (let i = 0; i < entries.length; i++) {
      values[i] = runtime.reader.value(entries[i] as Entry, cancels)
      if (values[i] instanceof Promise) loading = true
    }
  } catch (error) {
    // Nobody will look at the others.
    for (const value of values) if (value instanceof Promise) value.catch(() => {})
    for (const cancel of cancels) cancel()
    throw error
  }
  return loading
}

/** Resolves when all have values, rejects as soon as one has failed. */
function allSettled(runtime: Runtime, entries: Entry[], missing: number, timeoutMs: number | undefined): Promise<void> {
  return new Promise((resolve, reject) => {
    const stop = () => {
      for (const entry of entries) if (!entry.settled) unwait(entry, settled)
    }
    const timer = startTimer(runtime, timeoutMs, timeoutMs, entries, stop, reject)
    const settled = (entry: Entry) => {
      if (entry.state === STATE.failed) {
        timer?.clear()
        read(runtime, entry, resolve as () => void, reject)
        stop()
      } else if (--missing === 0) {
        timer?.clear()
        resolve()
      }
    }
    for (const entry of entries) if (!entry.settled) subscribe(entry, settled)
  })
}

export interface WaitOptions {
  numReturns?: number
  timeoutMs?: number
  fetchLocal?: boolean
}

export async function wait(runtime: Runtime, refs: readonly ObjectRef[], options: WaitOptions): Promise<[ObjectRef[], ObjectRef[]]> {
  const { fetchLocal } = options
  if (fetchLocal !== undefined && typeof fetchLocal !== 'boolean') throw new TypeError('wait(): fetchLocal must be true or false')
  if (!Array.isArray(refs)) throw new TypeError(`wait() takes an array of ObjectRefs, not ${describe(refs)}`)
  const mark = ++lastMark
  const entries: Entry[] = new Array(refs.length)
  const numReturns = options.numReturns ?? Math.min(1, refs.length)
  let ready = 0
  for (let i = 0; i < refs.length; i++) {
    const ref = refs[i]
    if (!(ref instanceof ObjectRef)) throw new TypeError(`wait() takes ObjectRefs; element ${i} of the array is ${describe(ref)}`)
    const entry = entryOf(ref)
    if (entry.mark === mark) throw new TypeError(`wait() takes each ref once; element ${i} (${ref.id}) is there twice`)
    entry.mark = mark
    entries[i] = entry
    if (isReady(runtime, entry, fetchLocal)) ready++
  }
  if (!Number.isInteger(numReturns) || numReturns < 0 || numReturns > refs.length || (numReturns === 0 && refs.length > 0)) {
    throw new RangeError(`wait(): numReturns is ${numReturns}; it must be a whole number from 1 to ${refs.length}, the number of refs`)
  }
  /** Those that cannot be brought here, which `get` will say. */
  const failed = new Set<Entry>()
  if (ready < numReturns) await runtime.waiting(someReady(runtime, entries, failed, numReturns, options))
  return split(refs, entries, numReturns, entry => failed.has(entry) || isReady(runtime, entry, fetchLocal))
}

/** It has a value (or an error), on this node unless that does not matter. */
function isReady(runtime: Runtime, entry: Entry, fetchLocal = true): boolean {
  return entry.settled && (!fetchLocal || runtime.fetches.isHere(entry))
}

function someReady(
  runtime: Runtime,
  entries: Entry[],
  failed: Set<Entry>,
  numReturns: number,
  { timeoutMs, fetchLocal }: WaitOptions,
): Promise<void> {
  let ready = 0
  for (const entry of entries) {
    if (!entry.settled) runtime.need(entry)
    if (isReady(runtime, entry, fetchLocal)) ready++
  }
  if (ready >= numReturns || (timeoutMs === 0 && entries.every(entry => !entry.settled))) return Promise.resolve()
  return new Promise(resolve => {
    let ended = false
    const end = () => {
      ended = true
      timer?.clear()
      for (const entry of entries) if (!entry.settled) unwait(entry, settled)
      resolve()
    }
    const isOneMore = () => {
      if (!ended && ++ready === numReturns) end()
    }
    // What is not here is brought here; also beyond the end of this wait, since it is likely to be wanted.
    const settled = (entry: Entry) => {
      if (isReady(runtime, entry, fetchLocal)) isOneMore()
      else
        runtime.fetches.want(entry.storedAs ?? runtime.idOf(entry), 'wait', error => {
          if (error !== null) failed.add(entry)
          isOneMore()
        })
    }
    const timer = timeoutMs === undefined ? undefined : new Timeout(timeoutMs, end)
    for (const entry of entries) {
      if (!entry.settled) subscribe(entry, settled)
      else if (!isReady(runtime, entry, fetchLocal)) settled(entry)
    }
  })
}

function split(
  refs: readonly ObjectRef[],
  entries: Entry[],
  numReturns: number,
  isReady: (entry: Entry) => boolean,
): [ObjectRef[], ObjectRef[]] {
  const ready: ObjectRef[] = []
  const pending: ObjectRef[] = []
  for (let i = 0; i < refs.length; i++) {
    const side = ready.length < numReturns && isReady(entries[i] as Entry) ? ready : pending
    side.push(refs[i] as ObjectRef)
  }
  return [ready, pending]
}

function read(runtime: Runtime, entry: Entry, resolve: (value: unknown) => void, reject: (error: unknown) => void): void {
  try {
    resolve(runtime.reader.value(entry))
  } catch (error) {
    reject(error)
  }
}

/** Calls `then` once the entry has a value or has failed: now, or when it does. */
export function whenSettled(runtime: Runtime, entry: Entry, then: (entry: Entry) => void): void {
  if (!entry.settled) runtime.need(entry)
  if (entry.settled) then(entry)
  else subscribe(entry, then)
}

function subscribe(entry: Entry, settled: (entry: Entry) => void): void {
  if (entry.waiters === null) entry.waiters = [settled]
  else entry.waiters.push(settled)
}

function unwait(entry: Entry, settled: (entry: Entry) => void): void {
  const at = entry.waiters?.indexOf(settled) ?? -1
  if (at >= 0) entry.waiters?.splice(at, 1)
}

function startTimer(
  runtime: Runtime,
  timeoutMs: number | undefined,
  /** Of that. */
  leftMs: number | undefined,
  entries: Entry[],
  stop: () => void,
  reject: (error: Error) => void,
): Timeout | undefined {
  if (timeoutMs === undefined || leftMs === undefined) return undefined
  const expire = () => {
    stop()
    const pending = entries
      .filter(entry => !entry.settled || !runtime.fetches.isHere(entry))
      .map(entry => objectId(entry.owner ?? runtime.self, entry.seq))
    const text = `get() waited ${timeoutMs} ms for ${pending.length} of ${entries.length} objects (${pending.slice(0, 3).join(', ')}${pending.length > 3 ? ', …' : ''}); they may still come`
    reject(new GetTimeoutError(text, { timeoutMs, pending }))
  }
  if (leftMs === 0) {
    queueMicrotask(expire)
    return undefined
  }
  return new Timeout(leftMs, expire)
}

function describe(value: unknown): string {
  if (value === null || value === undefined) return String(value)
  return typeof value === 'object' ? `a ${value.constructor?.name ?? 'object'}` : `a ${typeof value} (${String(value)})`
}
