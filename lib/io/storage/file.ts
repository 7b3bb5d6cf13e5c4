// SPDX-License-Identifier: Apache-2.0
// Tables in a folder, in one log: a record for each batch, behind all rows as they were when the log was begun. A log that
// has grown well beyond that is written anew beside the old one, and takes its place at once or not at all.
//
//   DIR/               mode 0700, locked by the one process that uses it
//     lock
//     tables-7.log     mode 0600; the highest number counts
//     tables-8.tmp     being written; of a process that died, of no meaning
//
// Invariants: what `write` resolved for is in the log that counts, and synced; a record that a death cut short is the
// last, and was never acknowledged; after a failed write or sync nothing more is acknowledged.

import { Buffer } from 'node:buffer'
import { join } from 'node:path'
import { type Disk, type DiskFile, realDisk } from './disk.js'
import { decodeRecords, encodeRecord, hasRecordAfter } from './record.js'
import { apply, type Change, type Storage, type StoredTables } from './storage.js'

/** A log is begun anew when it has this many bytes, and twice those of its beginning. */
const COMPACT_BYTES_MIN = 4 << 20
/** Of rows in one record, about, where a log begins. */
const ROWS_BYTES = 1 << 20
const FORMAT = 'eagleray tables 1'

export interface FileOptions {
  /** Gives false when another process holds it. */
  lock: (path: string) => boolean
  disk?: Disk
  compactBytesMin?: number
}

interface Waiting {
  readonly batch: readonly Change[]
  readonly record: Buffer
  readonly resolve: () => void
  readonly reject: (error: Error) => void
}

export class FileStorage implements Storage {
  readonly #folder: string
  readonly #disk: Disk
  readonly #compactBytesMin: number
  readonly #lock: (path: string) => boolean
  readonly #tables: StoredTables = new Map()
  #file: DiskFile | null = null
  #number = 0
  #bytes = 0
  /** Of what the log began with, about. */
  #beginBytes = 0
  /** Bytes at which a log that could not be begun anew is tried again. */
  #compactAgainAt = 0
  #waiting: Waiting[] = []
  #working: Promise<void> | null = null
  #broken: Error | null = null

  constructor(folder: string, { lock, disk = realDisk, compactBytesMin = COMPACT_BYTES_MIN }: FileOptions) {
    this.#folder = folder
    this.#lock = lock
    this.#disk = disk
    this.#compactBytesMin = compactBytesMin
  }

  async load(): Promise<StoredTables> {
    await this.#disk.makeFolder(this.#folder)
    if (!this.#lock(join(this.#folder, 'lock'))) {
      throw new Error(`the tables in ${this.#folder} are in use by another head: stop that one, or give this one another folder`)
    }
    const logs = (await this.#names()).filter(name => name.endsWith('.log')).map(numberOf)
    if (logs.length === 0) await this.#beginLog(1)
    else await this.#open(Math.max(...logs))
    for (const name of await this.#names()) if (name !== nameOf(this.#number)) await this.#disk.remove(join(this.#folder, name))
    return new Map([...this.#tables].map(([table, rows]) => [table, new Map(rows)]))
  }

  write(batch: readonly Change[]): Promise<void> {
    if (this.#broken !== null) return Promise.reject(this.#broken)
    if (batch.length === 0) return this.#working ?? Promise.resolve()
    const record = encodeRecord(JSON.stringify(batch.map(({ table, key, text }) => [table, key, text])))
    return new Promise((resolve, reject) => {
      this.#waiting.push({ batch, record, resolve, reject })
      this.#working ??= this.#work().finally(() => {
        this.#working = null
      })
    })
  }

  async close(): Promise<void> {
    await this.#working
    await this.#file?.close()
    this.#file = null
    this.#broken ??= new Error('the storage is closed')
  }

  async #names(): Promise<string[]> {
    return (await this.#disk.names(this.#folder)).filter(name => /^tables-\d+\.(log|tmp)$/.test(name))
  }

  /** Everything that waits goes to disk together; what comes meanwhile goes next. */
  async #work(): Promise<void> {
    while (this.#waiting.length > 0) {
      const group = this.#waiting
      this.#waiting = []
      try {
        await this.#append(group)
        for (const { batch, resolve } of group) {
          apply(this.#tables, batch)
          resolve()
        }
        await this.#compact()
      } catch (error) {
        this.#broken ??= new Error(`the tables in ${this.#folder} cannot be written any more: ${(error as Error).message}`, {
          cause: error,
        })
        for (const { reject } of [...group, ...this.#waiting]) reject(this.#broken)
        this.#waiting = []
      }
    }
  }

  async #append(group: readonly Waiting[]): Promise<void> {
    const bytes = Buffer.concat(group.map(({ record }) => record))
    const file = this.#file as DiskFile
    await file.append(bytes)
    await file.sync()
    this.#bytes += bytes.length
  }

  async #open(number: number): Promise<void> {
    const path = join(this.#folder, nameOf(number))
    const bytes = await this.#disk.read(path)
    const { texts, end } = decodeRecords(bytes)
    const [format, ...batches] = texts
    if (format !== undefined && format !== FORMAT) throw new Error(`${path} is of another version: ${JSON.stringify(format.slice(0, 40))}`)
    if (batches.length === 0 || hasRecordAfter(bytes, end + 1)) {
      throw new Error(
        `${path} is damaged at byte ${end}: this is not the trace of a crash but of a disk or a hand. Restore it, or begin with an empty folder`,
      )
    }
    for (const text of batches) {
      const rows = JSON.parse(text) as [string, string, string | null][]
      apply(
        this.#tables,
        rows.map(([table, key, text]) => ({ table, key, text })),
      )
    }
    this.#file = await this.#disk.open(path, false)
    if (end < bytes.length) {
      await this.#file.truncate(end)
      await this.#file.sync()
    }
    this.#number = number
    this.#bytes = end
    for (const rows of this.#tables.values()) for (const text of rows.values()) this.#beginBytes += text.length
  }

  /** The records that a log begins with: its format, and all rows. */
  *#everything(): Generator<Buffer> {
    yield encodeRecord(FORMAT)
    for (const rows of chunks(this.#rows(), ROWS_BYTES)) yield encodeRecord(JSON.stringify(rows))
  }

  *#rows(): Generator<[[string, string, string], number]> {
    for (const [table, rows] of this.#tables) for (const [key, text] of rows) yield [[table, key, text], text.length]
  }

  async #compact(): Promise<void> {
    if (this.#bytes < Math.max(this.#compactBytesMin, 2 * this.#beginBytes, this.#compactAgainAt)) return
    const old = this.#file as DiskFile
    const oldPath = join(this.#folder, nameOf(this.#number))
    if (!(await this.#beginLog(this.#number + 1))) {
      this.#compactAgainAt = this.#bytes + this.#compactBytesMin
      return
    }
    this.#compactAgainAt = 0
    await old.close()
    await this.#disk.remove(oldPath)
  }

  /** Begins a log with everything there is. Gives false, and nothing has changed, when there was no room for it or the like. */
  async #beginLog(number: number): Promise<boolean> {
    const path = join(this.#folder, nameOf(number))
    const unfinished = join(this.#folder, `tables-${number}.tmp`)
    let file: DiskFile | null = null
    let size = 0
    try {
      if ((await this.#disk.names(this.#folder)).includes(`tables-${number}.tmp`)) await this.#disk.remove(unfinished)
      file = await this.#disk.open(unfinished, true)
      for (const record of this.#everything()) {
        await file.append(record)
        size += record.length
      }
      await file.sync()
    } catch (error) {
      await file?.close().catch(() => {})
      // Without a log to go on with, that is the end.
      if (this.#file === null) throw error
      return false
    }
    // From here on the new one may be what a next process finds: it counts, or nothing more does.
    try {
      await this.#disk.rename(unfinished, path)
      await this.#disk.syncFolder(this.#folder)
    } catch (error) {
      await file.close()
      throw error
    }
    this.#file = file
    this.#number = number
    this.#bytes = this.#beginBytes = size
    return true
  }
}

function* chunks<T>(items: Iterable<[T, number]>, sizeMax: number): Generator<T[]> {
  let chunk: T[] = []
  let size = 0
  for (const [item, itemSize] of items) {
    chunk.push(item)
    size += itemSize
    if (size < sizeMax) continue
    yield chunk
    chunk = []
    size = 0
  }
  yield chunk
}

function nameOf(number: number): string {
  return `tables-${number}.log`
}

function numberOf(name: string): number {
  return Number(/\d+/.exec(name)?.[0])
}
