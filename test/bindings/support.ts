// SPDX-License-Identifier: Apache-2.0
// Stores in directories of their own, ports that record what they hear, and helper processes.

import { type ChildProcess, fork } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { type NativePort, type NativePortListener, type NativeStore, native } from '#lib/native.js'

const base = existsSync('/dev/shm') ? '/dev/shm' : tmpdir()
const program = fileURLToPath(new URL('peer.mjs', import.meta.url))

/** Everything made through one of these is closed, killed and removed by `end`. */
export class Scene {
  readonly directory = mkdtempSync(join(base, 'eagleray-test-'))
  private readonly children: ChildProcess[] = []
  private readonly closers: (() => void)[] = []
  private segments = 0

  create(capacityBytes = 16 << 20): NativeStore {
    const store = native.createStore(join(this.directory, `segment-${this.segments++}`), capacityBytes, '0a0b0c0d0e', false, null, 0)
    this.closers.push(() => store.close())
    return store
  }

  /** One that takes objects to a directory beside it. */
  createSpilling(capacityBytes: number): NativeStore {
    const name = `segment-${this.segments++}`
    const disk = join(this.directory, `${name}-disk`)
    mkdirSync(disk)
    const store = native.createStore(join(this.directory, name), capacityBytes, '0a0b0c0d0e', false, disk, Number.MAX_SAFE_INTEGER)
    this.closers.push(() => store.close())
    return store
  }

  /** Once more, as another part of this process would. */
  open(store: NativeStore): NativeStore {
    const other = native.openStore(store.path)
    this.closers.push(() => other.close())
    return other
  }

  listen(store: NativeStore, spinMicros = 50, inboxBytes = 1 << 20): Heard {
    const heard = new Heard(store, spinMicros, inboxBytes)
    this.closers.push(() => heard.port.close())
    return heard
  }

  /** Starts peer.mjs doing `task`; gives the first thing it says. */
  async peer(task: string, ...args: string[]): Promise<Peer> {
    const child = fork(program, [task, ...args], { execArgv: ['--expose-gc'], stdio: ['ignore', 'inherit', 'inherit', 'ipc'] })
    this.children.push(child)
    const peer = new Peer(child)
    peer.hello = await peer.said()
    return peer
  }

  end(): void {
    for (const close of this.closers.reverse()) close()
    for (const child of this.children) child.kill('SIGKILL')
    rmSync(this.directory, { recursive: true, force: true })
  }
}

export interface Hello {
  slot: number
  workerId: string
}

export class Peer {
  hello: Hello = { slot: -1, workerId: '' }
  readonly exited: Promise<{ code: number | null; signal: string | null }>

  constructor(readonly child: ChildProcess) {
    this.exited = new Promise(resolve => child.once('exit', (code, signal) => resolve({ code, signal })))
  }

  /** The next thing it says. */
  async said<T = Hello>(): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      this.child.once('message', message => resolve(message as T))
      this.child.once('exit', code => reject(new Error(`the peer exited with ${code} and said nothing`)))
    })
  }

  async kill(): Promise<void> {
    this.child.kill('SIGKILL')
    await this.exited
  }
}

/** A port that writes down what its listener is told. */
export class Heard implements NativePortListener {
  readonly packets: { channel: number; bytes: Uint8Array }[] = []
  readonly opened: { channel: number; peerSlot: number }[] = []
  readonly closed: { channel: number; reason: string }[] = []
  readonly writable: number[] = []
  sealed = 0
  /** Called after anything was heard, within the call of the listener. */
  whenever: () => void = () => {}
  readonly port: NativePort
  private readonly inbox: Uint8Array
  private readonly index = new Int32Array(3 * 1024)
  private waiting: { holds: () => boolean; resolve: () => void }[] = []

  constructor(store: NativeStore, spinMicros: number, inboxBytes: number) {
    this.inbox = new Uint8Array(inboxBytes)
    this.port = native.openPort(store, this, this.inbox, this.index, spinMicros)
    this.port.ref()
  }

  /** Resolves when `holds` does; looked at whenever something was heard. */
  async until(holds: () => boolean): Promise<void> {
    if (holds()) return
    await new Promise<void>(resolve => this.waiting.push({ holds, resolve }))
  }

  onPackets(count: number): void {
    for (let i = 0; i < count; i++) {
      const [channel = -1, start = 0, length = 0] = this.index.subarray(3 * i, 3 * i + 3)
      this.packets.push({ channel, bytes: this.inbox.slice(start, start + length) })
    }
    this.heard()
  }
  onClosed(channel: number, reason: string): void {
    this.closed.push({ channel, reason })
    this.heard()
  }
  onOpened(channel: number, peerSlot: number): void {
    this.opened.push({ channel, peerSlot })
    this.heard()
  }
  onWritable(channel: number): void {
    this.writable.push(channel)
    this.heard()
  }
  onSealed(): void {
    this.sealed++
    this.heard()
  }

  private heard(): void {
    this.whenever()
    const waiting = this.waiting
    this.waiting = []
    for (const each of waiting) {
      if (each.holds()) each.resolve()
      else this.waiting.push(each)
    }
  }
}

/** The id of the store's `number`th object. */
export const idOf = (store: { workerId: string }, number: number): string => store.workerId + number.toString(16).padStart(16, '0')

setFlagsFromString('--expose-gc')
const gc = runInNewContext('gc') as () => void

/** Runs the collector and the finalizers it scheduled, until `holds` or `turns` times. */
export async function collectUntil(holds: () => boolean, turns = 50): Promise<void> {
  for (let turn = 0; turn < turns && !holds(); turn++) {
    gc()
    await new Promise(resolve => setImmediate(resolve))
  }
}
