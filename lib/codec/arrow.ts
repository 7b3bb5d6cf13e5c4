// SPDX-License-Identifier: Apache-2.0
// Arrow Tables and RecordBatches, as IPC streams: written with one copy (the writer hands out views of the columns, which
// become the parts of a region) and read with none. apache-arrow is loaded only when there is a table.

import { createRequire } from 'node:module'
import type * as Arrow from 'apache-arrow'
import { SerializationError, WireError } from '../errors.js'
import { ExactColumns, largestBuffer, largestDictionaryBuffer } from './arrow-columns.js'
import { verifyArrow } from './arrow-verify.js'
import { verifyViews } from './arrow-views.js'
import type { Region } from './envelope.js'

const load = createRequire(import.meta.url)

export const TABLE = 0
export const RECORD_BATCH = 1

/** apache-arrow computes with 32-bit integers, and would corrupt a larger buffer without a word. */
const BUFFER_BYTES_MAX = 2 ** 31 - 8

const tableMark = Symbol.for('apache-arrow/Table')
const batchMark = Symbol.for('apache-arrow/RecordBatch')

/** TABLE or RECORD_BATCH; -1 for anything else. Sees those of any copy of apache-arrow, and loads none. */
export function arrowKind(value: object): number {
  if (tableMark in value) return TABLE
  return batchMark in value ? RECORD_BATCH : -1
}

type Library = typeof Arrow

/**
 * The copy of apache-arrow that this process works with. A package has two, one for `import` and one for `require`, and
 * one cannot write the tables of the other.
 */
let library: Library | null = null

const common = (): Library => load('apache-arrow') as Library
const commonIsLoaded = (): boolean => load.resolve('apache-arrow') in load.cache
const module = (): Library => load(load.resolve('apache-arrow').replace(/\.js$/, '.mjs')) as Library

/** The copy to read with: the one in use, else the one that is loaded as far as that can be known, for a second costs 100 ms. */
function arrow(): Library {
  if (library === null) {
    try {
      library = commonIsLoaded() ? common() : module()
    } catch {
      library = common()
    }
  }
  return library
}

/** Loads the copy to read with, where that is the one for `import`: a loader may give `require` another. Null when there is nothing to wait for. */
export function prepareArrow(): Promise<void> | null {
  if (library !== null || commonIsLoaded()) return null
  return import('apache-arrow').then(found => {
    library ??= found
  })
}

/** The copy that made `value`. */
function arrowOf(value: object): Library {
  for (const copy of [() => library, () => (commonIsLoaded() ? common() : null), module, common]) {
    let found: Library | null = null
    try {
      found = copy()
    } catch {
      continue
    }
    if (found !== null && (isMadeBy(found.Table, value) || isMadeBy(found.RecordBatch, value))) {
      library ??= found
      return found
    }
  }
  // A copy that cannot be had: a loader such as tsx gives `import` and `require` copies of its own.
  return tolerant(arrow())
}

/** Makes a copy take the types of others for its own. It does so with all its classes but this one. */
function tolerant(copy: Library): Library {
  const { DataType, isArrowDataType } = copy
  Object.defineProperty(DataType, Symbol.hasInstance, {
    configurable: true,
    value(this: unknown, type: unknown): boolean {
      return Function.prototype[Symbol.hasInstance].call(this, type) || (this === DataType && isArrowDataType(type))
    },
  })
  return copy
}

/** By prototype: the `instanceof` of apache-arrow accepts those of any copy. */
function isMadeBy(type: { prototype: object }, value: object): boolean {
  return Object.prototype.isPrototypeOf.call(type.prototype, value)
}

/** The IPC stream of a Table or RecordBatch, as views of its columns. `path` names it in refusals. */
export function arrowRegion(value: object, path: string, bufferBytesMax = BUFFER_BYTES_MAX): Region {
  const library = arrowOf(value)
  const { RecordBatchStreamWriter, Table } = library
  const parts: Uint8Array[] = []
  let byteLength = 0
  class Collector extends RecordBatchStreamWriter {
    // The writer passes every chunk through here, uncopied.
    override _write(chunk: ArrayBufferView): this {
      const { _started: started } = this as unknown as { _started: boolean }
      if (started && chunk.byteLength > 0) {
        parts.push(new Uint8Array(chunk.buffer, chunk.byteOffset, chunk.byteLength))
        byteLength += chunk.byteLength
      }
      return this
    }
  }
  const writer = new Collector()
  const isTable = value instanceof Table
  const splitter = new Splitter(new ExactColumns(library), path, bufferBytesMax, isTable)
  const batches = (isTable ? value.batches : [value as Arrow.RecordBatch]).flatMap(batch => splitter.exact(batch))
  writer.reset(undefined, (value as Arrow.Table).schema)
  for (const batch of batches) writer.write(batch)
  writer.finish()
  return { byteLength, parts }
}

/** Batches none of whose buffers exceeds the maximum. */
class Splitter {
  constructor(
    private readonly columns: ExactColumns,
    private readonly path: string,
    private readonly bytesMax: number,
    /** A single batch must come back as one. */
    private readonly maySplit: boolean,
  ) {}

  exact(batch: Arrow.RecordBatch): Arrow.RecordBatch[] {
    const exact = this.columns.batch(batch)
    this.checkDictionaries(exact)
    if (largestDictionaryBuffer(exact) > this.bytesMax)
      throw this.refusal('a dictionary of this Arrow table holds', 'store the column without a dictionary, or in several tables')
    if (largestBuffer(exact) <= this.bytesMax) return [exact]
    if (!this.maySplit) throw this.refusal('a column of this Arrow record batch holds', 'put new Table([batch]), whose rows are split')
    const half = Math.floor(batch.numRows / 2)
    if (half === 0) throw this.refusal('one row of this Arrow table holds', 'put the bytes as a typed array beside the table')
    return [...this.exact(batch.slice(0, half)), ...this.exact(batch.slice(half))]
  }

  /** Collecting them fails where two columns have different ones under one number. */
  private checkDictionaries(batch: Arrow.RecordBatch): void {
    try {
      batch.dictionaries
    } catch {
      const what = 'two columns of this Arrow table have different dictionaries and one type'
      throw new SerializationError(`${this.path}: ${what}; give each column a type of its own (new Dictionary(…))`, this.path)
    }
  }

  private refusal(what: string, remedy: string): SerializationError {
    const limit = `${what} more than ${this.bytesMax} bytes in one buffer, which Arrow's writer would corrupt`
    return new SerializationError(`${this.path}: ${limit}; ${remedy}`, this.path)
  }
}

/** The Table or RecordBatch of an IPC stream; its columns are views over `bytes` (which must begin at a multiple of 8). */
export function readArrow(kind: number, bytes: Uint8Array): object {
  verifyArrow(bytes)
  const { tableFromIPC, RecordBatch } = arrow()
  const table = tableFromIPC(bytes)
  verifyViews(table)
  if (kind === TABLE) return table
  if (kind !== RECORD_BATCH || table.batches.length > 1) throw new WireError('a malformed Arrow record batch')
  return table.batches[0] ?? new RecordBatch(table.schema)
}
