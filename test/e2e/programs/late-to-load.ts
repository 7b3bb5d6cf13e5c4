// SPDX-License-Identifier: Apache-2.0
// A module that takes its time in a process with LOADS_AT: it says that it is being loaded, and goes on when that gate is opened.

import { countRun, passed } from './by-reference.js'

const gate = process.env.LOADS_AT
if (gate !== undefined) {
  countRun(`${gate}.loading`)
  await passed(gate, null)
}

export function countLateRun(path: string): number {
  return countRun(path)
}
