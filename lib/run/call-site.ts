// SPDX-License-Identifier: Apache-2.0
// Where the user's code made an object: the first stack frame outside this package. For the state API and for errors
// that name who holds the store.

import { fileURLToPath } from 'node:url'
import { OWN_CODE } from '../own-files.js'

const PACKAGE = fileURLToPath(OWN_CODE)
const FRAMES = 12

/** "file.ts:12:3", or null when the stack shows none. A few microseconds: for large objects only. */
export function callSiteText(): string | null {
  const limit = Error.stackTraceLimit
  Error.stackTraceLimit = FRAMES
  const { stack } = new Error()
  Error.stackTraceLimit = limit
  for (const line of (stack ?? '').split('\n').slice(1)) {
    if (line.includes(PACKAGE) || line.includes('(node:') || line.includes('at node:')) continue
    const match = /\(?([^\s()]+:\d+:\d+)\)?$/.exec(line)
    if (match !== null) return (match[1] as string).replace('file://', '')
  }
  return null
}
