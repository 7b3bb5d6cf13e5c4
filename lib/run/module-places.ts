// SPDX-License-Identifier: Apache-2.0
// Where a worker whose runtime environment brings modules looks for a package, for `import` and `require` alike.
//
// Code of the user finds what the environment brings before what lies beside it: installed packages first, then the copy of
// workingDir. An installed package finds what lies beside it first, as it was made to. What is found nowhere there is
// looked for from the other places, the directories of the driver last: a copy may go without node_modules.

import { isBuiltin } from 'node:module'
import { join, sep } from 'node:path'

/** Directories, absolute; null where the environment has none. */
export interface ModulePlaces {
  packages: string | null
  copy: string | null
  /** What was copied. */
  source: string | null
  driver: string
  /** Where this package's own files for users lie: a file: URL with a slash at the end. */
  own: string
}

/** From where to look, in order, before and after where Node would; null: it is not for us. */
export interface Search {
  before: string[]
  after: string[]
}

export function searchFor(specifier: string, parent: string | null, places: ModulePlaces): Search | null {
  if (/^([./#]|[a-z][a-z0-9+.-]+:)/i.test(specifier) || isBuiltin(specifier)) return null
  const { packages, copy, source, driver } = places
  const all = [packages, copy, source, driver].filter(each => each !== null)
  const isUsers = parent === null || !parent.includes(`${sep}node_modules${sep}`)
  if (!isUsers) return { before: [], after: all }
  const isInCopy = copy !== null && parent?.startsWith(copy + sep)
  const before = [packages, isInCopy ? null : copy].filter(each => each !== null)
  return { before, after: all.filter(each => !before.includes(each)) }
}

/** The file of this package that a specifier names; null for all others. Two copies in one process would not know each other. */
export function ownFile(specifier: string, { own }: ModulePlaces): string | null {
  const match = /^eagleray(?:\/(store|testing))?$/.exec(specifier)
  return match === null ? null : `${own}${match[1] ?? 'index'}.js`
}

/** The name of a file in that directory, for resolvers that want a parent. */
export function parentIn(directory: string): string {
  return join(directory, 'environment.js')
}
