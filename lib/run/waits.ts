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
  if (entry.settled) return runtime.reader.value(entry)
  return runtime.waiting(
    new Promise((resolve, reject) => {
      const timer = startTimer(runtime, timeoutMs, [entry], () => unwait(entry, settled), reject)
      const settled = () => {
        timer?.clear()
        void ref
        read(runtime, entry, resolve, reject)
      }
      subscribe(entry, settled)
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
  if (missing > 0) await runtime.waiting(allSettled(runtime, entries, missing, timeoutMs))
  let loading = false
  for (let i = 0; i < entries.length; i++) {
    values[i] = runtime.reader.value(entries[i] as Entry)
    if (values[i] instanceof Promise) loading = true
  }
  void refs
  return loading ? Promise.all(values) : values
}

/** Resolves when all have values, rejects as soon as one has failed. */
function allSettled(runtime: Runtime, entries: Entry[], missing: number, timeoutMs: number | undefined): Promise<void> {
  return new Promise((resolve, reject) => {
    const stop = () => {
      for (const entry of entries) if (!entry.settled) unwait(entry, settled)
    }
    const timer = startTimer(runtime, timeoutMs, entries, stop, reject)
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
    if (entry.settled) ready++
  }
  if (!Number.isInteger(numReturns) || numReturns < 0 || numReturns > refs.length || (numReturns === 0 && refs.length > 0)) {
    throw new RangeError(`wait(): numReturns is ${numReturns}; it must be a whole number from 1 to ${refs.length}, the number of refs`)
  }
  if (ready < numReturns) await runtime.waiting(someSettled(runtime, entries, numReturns, options.timeoutMs))
  return split(refs, entries, numReturns)
}

function someSettled(runtime: Runtime, entries: Entry[], numReturns: number, timeoutMs: number | undefined): Promise<void> {
  let ready = 0
  for (const entry of entries) {
    if (!entry.settled) runtime.need(entry)
    if (entry.settled) ready++
  }
  if (ready >= numReturns || timeoutMs === 0) return Promise.resolve()
  return new Promise(resolve => {
    const end = () => {
      timer?.clear()
      for (const entry of entries) if (!entry.settled) unwait(entry, settled)
      resolve()
    }
    const timer = timeoutMs === undefined ? undefined : new Timeout(timeoutMs, end)
    const settled = () => {
      if (++ready === numReturns) end()
    }
    for (const entry of entries) if (!entry.settled) subscribe(entry, settled)
  })
}

function split(refs: readonly ObjectRef[], entries: Entry[], numReturns: number): [ObjectRef[], ObjectRef[]] {
  const ready: ObjectRef[] = []
  const pending: ObjectRef[] = []
  for (let i = 0; i < refs.length; i++) {
    const side = ready.length < numReturns && (entries[i] as Entry).settled ? ready : pending
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
  entries: Entry[],
  stop: () => void,
  reject: (error: Error) => void,
): Timeout | undefined {
  if (timeoutMs === undefined) return undefined
  const expire = () => {
    stop()
    const pending = entries.filter(entry => !entry.settled).map(entry => objectId(entry.owner ?? runtime.self, entry.seq))
    const text = `get() waited ${timeoutMs} ms for ${pending.length} of ${entries.length} objects (${pending.slice(0, 3).join(', ')}${pending.length > 3 ? ', …' : ''}); they may still come`
    reject(new GetTimeoutError(text, { timeoutMs, pending }))
  }
  if (timeoutMs === 0) {
    queueMicrotask(expire)
    return undefined
  }
  return new Timeout(timeoutMs, expire)
}

function describe(value: unknown): string {
  if (value === null || value === undefined) return String(value)
  return typeof value === 'object' ? `a ${value.constructor?.name ?? 'object'}` : `a ${typeof value} (${String(value)})`
}
