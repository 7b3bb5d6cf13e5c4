// SPDX-License-Identifier: Apache-2.0
// Checks the columns of Utf8View and BinaryView of a table that was read. A view says where its bytes are, so that what the metadata
// says (arrow-verify.ts) is not all there is to check: apache-arrow throws, or gives fewer bytes, only when such a row is asked for.
//
//   view     16 bytes a row: length i32 | up to 12 bytes in place,
//            or, if there are more, the first four | which data buffer i32 | where in it i32
//
// Rows that are null say nothing, and what they have for a view is not looked at.

import type * as Arrow from 'apache-arrow'
import { WireError } from '../errors.js'

const BINARY_VIEW = 23
const UTF8_VIEW = 24
const VIEW_BYTES = 16
const IN_PLACE_BYTES = 12

/** Throws a WireError unless every view of the table lies within its data. */
export function verifyViews(table: Arrow.Table): void {
  // A dictionary is shared by batches, and by columns.
  const seen = new Set<Arrow.Data>()
  const visit = (data: Arrow.Data): void => {
    if (seen.has(data)) return
    seen.add(data)
    if (data.typeId === BINARY_VIEW || data.typeId === UTF8_VIEW) verifyColumn(data)
    for (const child of data.children) visit(child)
    for (const chunk of data.dictionary?.data ?? []) visit(chunk)
  }
  for (const batch of table.batches) visit(batch.data)
}

function verifyColumn(data: Arrow.Data): void {
  const views: Uint8Array = data.values ?? new Uint8Array(0)
  const view = new DataView(views.buffer, views.byteOffset, views.byteLength)
  // Beyond the end of a bitmap all is null: however many rows a column says, no more are looked at than it has bits.
  const rows = data.nullCount > 0 ? Math.min(data.length, data.nullBitmap.byteLength * 8 - data.offset) : data.length
  for (let row = 0; row < rows; row++) {
    if (!data.getValid(row)) continue
    const at = row * VIEW_BYTES
    if (at + VIEW_BYTES > views.byteLength) throw new WireError('a malformed Arrow stream: a column has fewer views than rows')
    const length = view.getInt32(at, true)
    if (length >= 0 && length <= IN_PLACE_BYTES) continue
    const bytes = data.variadicBuffers[view.getInt32(at + 8, true)]
    const offset = view.getInt32(at + 12, true)
    if (length < 0 || offset < 0 || bytes === undefined || offset + length > bytes.byteLength)
      throw new WireError('a malformed Arrow stream: a view points outside of its data')
  }
}
