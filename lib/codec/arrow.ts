// SPDX-License-Identifier: Apache-2.0
// Arrow Tables and RecordBatches, as IPC streams: written with one copy (the writer hands out views of the columns, which
// become the parts of a region) and read with none. apache-arrow is loaded only when there is a table.

import { createRequire } from 'node:module'
import type * as Arrow from 'apache-arrow'
import { SerializationError, WireError } from '../errors.js'
import { verifyArrow } from './arrow-verify.js'
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
  const { RecordBatchStreamWriter, Table } = arrowOf(value)
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
  const batches = value instanceof Table ? value.batches : [value as Arrow.RecordBatch]
  const schema = (value as Arrow.Table).schema
  const small = batches.flatMap(batch => split(batch, path, bufferBytesMax))
  writer.reset(undefined, schema)
  for (const batch of small) writer.write(batch)
  writer.finish()
  return { byteLength, parts }
}

/** A batch as batches none of whose buffers exceeds the maximum. */
function split(batch: Arrow.RecordBatch, path: string, bytesMax: number): Arrow.RecordBatch[] {
  if (largestBuffer(batch.data as unknown as ColumnData) <= bytesMax) return [batch]
  const half = Math.floor(batch.numRows / 2)
  if (half === 0) {
    throw new SerializationError(
      `${path}: a row of this Arrow table holds more than ${bytesMax} bytes in one column, which Arrow's writer cannot do`,
      path,
    )
  }
  return [...split(batch.slice(0, half), path, bytesMax), ...split(batch.slice(half), path, bytesMax)]
}

interface ColumnData {
  length: number
  stride: number
  valueOffsets?: ArrayLike<number | bigint>
  values?: ArrayBufferView & { BYTES_PER_ELEMENT: number }
  children: ColumnData[]
  dictionary?: { data: readonly ColumnData[] }
}

/** Bytes of the largest buffer the writer would write for the column. */
function largestBuffer(data: ColumnData): number {
  const { length, values, valueOffsets } = data
  let bytes = 0
  if (valueOffsets !== undefined && valueOffsets.length > length) {
    bytes = 8 * (length + 1)
    if (values !== undefined) bytes = Math.max(bytes, Number(valueOffsets[length]) - Number(valueOffsets[0]))
  } else if (values !== undefined) {
    bytes = Math.min(values.byteLength, length * data.stride * (values.BYTES_PER_ELEMENT ?? 8))
  }
  for (const child of [...data.children, ...(data.dictionary?.data ?? [])]) bytes = Math.max(bytes, largestBuffer(child))
  return bytes
}

/** The Table or RecordBatch of an IPC stream; its columns are views over `bytes` (which must begin at a multiple of 8). */
export function readArrow(kind: number, bytes: Uint8Array): object {
  verifyArrow(bytes)
  const { tableFromIPC, RecordBatch } = arrow()
  const table = tableFromIPC(bytes)
  if (kind === TABLE) return table
  if (kind !== RECORD_BATCH || table.batches.length > 1) throw new WireError('a malformed Arrow record batch')
  return table.batches[0] ?? new RecordBatch(table.schema)
}
