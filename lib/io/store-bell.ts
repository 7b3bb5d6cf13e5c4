// SPDX-License-Identifier: Apache-2.0
// Wakes those in this thread who wait for something to happen in a store: one doorbell per store, for all who opened it here.
//
// A process has one port on a segment. The thread that has it passes every ring on to the other threads, on a channel
// that the store's path names; they take the port over when it is given up. Whoever waits looks again whenever it is
// woken, so waking for nothing does no harm. Order for a waiter: `listen`, then expect and look, then `rung`.

import { BroadcastChannel } from 'node:worker_threads'
import { type NativePort, type NativeStore, native } from '../native.js'
import { collectGarbage } from './garbage.js'

const INBOX_BYTES = 4096
/** A thread that is terminated gives its port up and cannot say so: how soon the others try. */
const TAKE_OVER_MS = 100

const bells = new Map<string, StoreBell>()

/** The bell of a store in this thread; give it back with `leave`. */
export function bellOf(store: NativeStore): StoreBell {
  const bell = bells.get(store.path) ?? new StoreBell(store)
  bells.set(store.path, bell)
  bell.users++
  return bell
}

export class StoreBell {
  users = 0
  private readonly waiting = new Set<() => void>()
  private port: NativePort | null = null
  private threads: BroadcastChannel | null = null

  private starved: number

  constructor(private readonly store: NativeStore) {
    this.starved = store.starved
  }

  /** Hears every ring from now on. */
  listen(store: NativeStore): void {
    if (this.threads === null) {
      this.threads = new BroadcastChannel(`eagleray store ${this.store.path}`)
      this.threads.onmessage = () => this.wake()
      this.threads.unref()
    }
    if (this.port === null) this.port = this.take(store)
  }

  /** Resolves when something may have happened, or after `leftMs` (null: never). Keeps the process alive until then. */
  async rung(leftMs: number | null): Promise<void> {
    const limits = [leftMs, this.port === null ? TAKE_OVER_MS : null].filter(each => each !== null)
    this.port?.ref()
    let timer: NodeJS.Timeout | undefined
    await new Promise<void>(resolve => {
      this.waiting.add(resolve)
      if (limits.length > 0) timer = setTimeout(() => void (this.waiting.delete(resolve) && resolve()), Math.min(...limits))
    })
    clearTimeout(timer)
    if (this.waiting.size === 0) this.port?.unref()
  }

  wake(): void {
    this.collectIfStarved()
    const woken = [...this.waiting]
    this.waiting.clear()
    for (const resolve of woken) resolve()
  }

  /** Collects garbage when somebody needed room since the last look and all that was in memory was viewed. */
  collectIfStarved({ starved }: NativeStore = this.store): void {
    if (starved <= this.starved) return
    this.starved = starved
    // Not under whoever called: what is found dead is given back in later turns anyway.
    setImmediate(collectGarbage)
  }

  leave(): void {
    this.wake()
    if (--this.users > 0) return
    bells.delete(this.store.path)
    this.port?.close()
    if (this.port !== null) this.threads?.postMessage('left')
    this.port = null
    this.threads?.close()
  }

  /** Null while another thread of this process has it. */
  private take(store: NativeStore): NativePort | null {
    const onSealed = (): void => {
      this.threads?.postMessage('rung')
      this.wake()
    }
    const listener = { onPackets() {}, onClosed() {}, onOpened() {}, onWritable() {}, onSealed }
    try {
      return native.openPort(store, listener, new Uint8Array(native.packetBytesMax + INBOX_BYTES), new Int32Array(3), 0)
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ERR_EAGLERAY_INVALID_ARGUMENT') return null
      throw error
    }
  }
}
