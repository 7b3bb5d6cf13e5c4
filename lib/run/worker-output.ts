// SPDX-License-Identifier: Apache-2.0
// What workers print: every line into a file of the session, and in small batches to the driver of their job.
//
// Invariant: lines of one stream reach a driver in order, and all of a worker's before its death does (`flush`).

import { closeSync, openSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import type { Stream } from '../io/processes.js'
import { limits } from '../options.js'
import type { Log, WorkerId } from '../wire/messages.js'
import { nameIn } from './output-name.js'

/** Whose output it is, and whom it is for: null, nobody yet. */
interface Speaker {
  workerId: WorkerId
  name: string
  driver: WorkerId | null
}

interface Source {
  readonly pid: number
  pending: { stream: Stream; line: string; name: string | null }[]
  readonly files: Map<Stream, { fd: number; left: number }>
  /** Whose lines come next, as the stream itself said; null when it did not. */
  readonly names: Record<Stream, string | null>
}

export class WorkerOutput {
  readonly #logsDir: string
  readonly #describe: (key: string) => Speaker
  readonly #send: (driver: WorkerId, message: Log) => void
  readonly #sources = new Map<string, Source>()
  #timer: NodeJS.Timeout | null = null

  constructor(logsDir: string, describe: (key: string) => Speaker, send: (driver: WorkerId, message: Log) => void) {
    this.#logsDir = logsDir
    this.#describe = describe
    this.#send = send
  }

  began(key: string, pid: number): void {
    this.#sources.set(key, { pid, pending: [], files: new Map(), names: { stdout: null, stderr: null } })
  }

  lines(key: string, stream: Stream, lines: readonly string[]): void {
    const source = this.#sources.get(key)
    if (source === undefined) return
    this.#store(
      source,
      stream,
      lines.filter(line => nameIn(line) === null),
    )
    for (const line of lines) {
      const name = nameIn(line)
      if (name !== null) {
        source.names[stream] = name === '' ? null : name
        continue
      }
      source.pending.push({ stream, line, name: source.names[stream] })
      if (source.pending.length >= limits.logBatchLines) this.flush(key)
    }
    this.#timer ??= setTimeout(() => this.flushAll(), limits.logBatchMs)
  }

  /** Sends what is left of a worker. */
  flush(key: string): void {
    const source = this.#sources.get(key)
    if (source === undefined || source.pending.length === 0) return
    const pending = source.pending
    source.pending = []
    const who = this.#describe(key)
    const { driver } = who
    if (driver === null) return
    let message: Log | null = null
    for (const { stream, line, name } of pending) {
      if (message === null || message.stream !== stream || message.name !== (name ?? who.name)) {
        if (message !== null) this.#send(driver, message)
        message = { is: 'log', workerId: who.workerId, name: name ?? who.name, pid: source.pid, stream, lines: [] }
      }
      message.lines.push(line)
    }
    if (message !== null) this.#send(driver, message)
  }

  ended(key: string): void {
    this.flush(key)
    for (const { fd } of this.#sources.get(key)?.files.values() ?? []) closeSync(fd)
    this.#sources.delete(key)
  }

  flushAll(): void {
    if (this.#timer !== null) clearTimeout(this.#timer)
    this.#timer = null
    for (const key of this.#sources.keys()) this.flush(key)
  }

  #store(source: Source, stream: Stream, lines: readonly string[]): void {
    if (lines.length === 0) return
    try {
      let file = source.files.get(stream)
      if (file === undefined) {
        const path = join(this.#logsDir, `worker-${source.pid}.${stream === 'stdout' ? 'out' : 'err'}`)
        file = { fd: openSync(path, 'a', 0o600), left: limits.logFileBytesMax }
        source.files.set(stream, file)
      }
      if (file.left > 0) file.left -= writeSync(file.fd, `${lines.join('\n')}\n`)
    } catch {
      // A full disk must not end the node; the driver still gets the lines.
    }
  }
}
