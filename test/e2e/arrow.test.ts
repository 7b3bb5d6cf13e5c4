// SPDX-License-Identifier: Apache-2.0
// Arrow tables in the store are streams that any implementation of Arrow reads: held by golden files, by a reader in another
// language that knows nothing but the format, and by pyarrow where it is installed.

import assert from 'node:assert/strict'
import { execFileSync, spawnSync } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import * as arrow from 'apache-arrow'
import { ObjectStore } from 'eagleray/store'
import { goldenPath, goldenTables } from '../fixtures/arrow/tables.js'
import { columnsOf } from '../unit/codec/arrow-tables.js'

const reader = fileURLToPath(new URL('../fixtures/arrow/read_stream.py', import.meta.url))

interface ReadStream {
  fields: { name: string; nullable: boolean; metadata: Record<string, string> }[]
  metadata: Record<string, string>
  batches: { rows: number; columns: unknown[][]; metadata: Record<string, string> }[]
}

const hex = (bytes: Uint8Array): string => Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('hex')

/** The integers of a row, for types whose values apache-arrow computes. */
function raw(type: arrow.DataType, values: Int32Array | Uint32Array | BigInt64Array, row: number, stride: number): unknown {
  const own = values.slice(row * stride, (row + 1) * stride)
  if (arrow.DataType.isDecimal(type)) return String(BigInt.asIntN(type.bitWidth, BigInt(`0x${hex(new Uint8Array(own.buffer).reverse())}`)))
  if (arrow.DataType.isInterval(type) && type.unit === arrow.IntervalUnit.MONTH_DAY_NANO)
    return [String(own[0]), String(own[1]), String(new BigInt64Array(own.buffer)[1])]
  return own.length === 1 ? String(own[0]) : Array.from(own as Int32Array, String)
}

/** A value as the reader prints it. */
function printed(type: arrow.DataType, value: unknown): unknown {
  const { DataType } = arrow
  if (value === null || value === undefined) return null
  if (DataType.isDictionary(type)) return printed(type.dictionary, value)
  if (DataType.isDate(type)) return String(Number(value) / (type.unit === arrow.DateUnit.DAY ? 86_400_000 : 1))
  if (DataType.isInt(type) || typeof value === 'bigint') return String(value)
  if (DataType.isUnion(type)) return typeof value === 'number' ? String(value) : value
  if (DataType.isMap(type)) {
    const [key, item] = (type.children[0]!.type as arrow.Struct).children
    return [...(value as Iterable<[unknown, unknown]>)].map(([k, v]) => [printed(key!.type, k), printed(item!.type, v)])
  }
  if (DataType.isStruct(type)) {
    const entries = [...(value as Iterable<[string, unknown]>)]
    return Object.fromEntries(entries.map(([name, each], i) => [name, printed(type.children[i]!.type, each)]))
  }
  if (value instanceof arrow.Vector) return Array.from(value, each => printed(value.type, each))
  return ArrayBuffer.isView(value) ? hex(value as Uint8Array) : value
}

function printedColumn(data: arrow.Data): unknown[] {
  const { DataType } = arrow
  const { type, values, stride } = data
  const computed = [DataType.isDecimal, DataType.isTime, DataType.isTimestamp, DataType.isInterval, DataType.isDuration]
  const vector = new arrow.Vector([data])
  return Array.from({ length: data.length }, (_, i) => {
    if (!computed.some(is => is(type))) return printed(type, vector.get(i))
    return data.getValid(i) ? raw(type, values, i, stride) : null
  })
}

/** What the reader prints of a table. */
function expectedOf(table: arrow.Table): ReadStream {
  const { schema, batches } = table
  return {
    fields: schema.fields.map(({ name, nullable, metadata }) => ({ name, nullable, metadata: Object.fromEntries(metadata) })),
    metadata: Object.fromEntries(schema.metadata),
    batches: batches.map(batch => ({
      rows: batch.numRows,
      columns: batch.data.children.map(printedColumn),
      metadata: Object.fromEntries(batch.metadata),
    })),
  }
}

suite('Arrow in the store', () => {
  const directory = mkdtempSync(join(existsSync('/dev/shm') ? '/dev/shm' : tmpdir(), 'eagleray-test-'))
  let store: ObjectStore
  suiteSetup(async () => {
    store = await ObjectStore.create({ path: join(directory, 'store'), capacityBytes: 16 << 20 })
  })
  suiteTeardown(() => {
    store.close()
    rmSync(directory, { recursive: true, force: true })
  })

  /** The bytes of a table in the store, in a file. */
  function written(name: string): string {
    const path = join(directory, `${name}.arrow`)
    using object = store.tryGet(store.put(goldenTables[name]!()))!
    writeFileSync(path, object.bytes)
    return path
  }

  for (const [name, make] of Object.entries(goldenTables)) {
    test(`${name}: the bytes are those of the golden file, and read as the table`, () => {
      const golden = readFileSync(goldenPath(name))
      using object = store.tryGet(store.put(make()))!
      assert.ok(golden.equals(object.bytes), 'see test/fixtures/arrow/tables.ts for how the files are made')
      for (const table of [arrow.tableFromIPC(golden), object.value<arrow.Table>()]) {
        assert.deepStrictEqual(columnsOf(table), columnsOf(make()))
        assert.deepStrictEqual(table.schema.metadata, make().schema.metadata)
      }
    })

    test(`${name}: a reader in another language finds the same`, () => {
      const found = JSON.parse(execFileSync('python3', [reader, written(name)], { encoding: 'utf8', maxBuffer: 1 << 26 })) as ReadStream
      assert.deepStrictEqual(found, expectedOf(make()))
    })
  }

  test('the reader in another language sees what is wrong', () => {
    const path = join(directory, 'wrong.arrow')
    const right = readFileSync(goldenPath('slice'))
    const marked = Buffer.from(right)
    marked.writeInt32LE(right.readInt32LE(4) + 4, 4)
    const unended = Buffer.from(right).fill(0, right.length - 8)
    for (const bytes of [marked, unended, right.subarray(0, right.length - 64), Buffer.concat([right, Buffer.alloc(8)])]) {
      writeFileSync(path, bytes)
      assert.notEqual(spawnSync('python3', [reader, path]).status, 0)
    }
  })

  test('pyarrow reads and validates them, where it is installed', function () {
    if (spawnSync('python3', ['-c', 'import pyarrow']).status !== 0) return this.skip()
    const program = `
import sys, pyarrow
for path in sys.argv[1:]:
    table = pyarrow.ipc.open_stream(pyarrow.memory_map(path)).read_all()
    table.validate(full=True)
    print(table.num_rows, table.num_columns)`
    const names = Object.keys(goldenTables)
    const lines = execFileSync('python3', ['-c', program, ...names.map(written)], { encoding: 'utf8' })
      .trim()
      .split('\n')
    assert.deepStrictEqual(
      lines,
      names.map(name => `${goldenTables[name]!().numRows} ${goldenTables[name]!().numCols}`),
    )
  }).timeout(60_000)
})
