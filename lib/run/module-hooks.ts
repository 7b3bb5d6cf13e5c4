// SPDX-License-Identifier: Apache-2.0
// Hooks of Node's module loader, in its thread: `import` finds what the runtime environment brings (module-places.ts).

import { fileURLToPath, pathToFileURL } from 'node:url'
import { type ModulePlaces, ownFile, parentIn, searchFor } from './module-places.js'

interface ResolveContext {
  parentURL?: string | undefined
}
type Resolved = { url: string; shortCircuit?: boolean }
type Next = (specifier: string, context: ResolveContext) => Promise<Resolved>

let places: ModulePlaces | null = null

export function initialize(data: ModulePlaces): void {
  places = data
}

export async function resolve(specifier: string, context: ResolveContext, next: Next): Promise<Resolved> {
  if (places === null) return next(specifier, context)
  const own = ownFile(specifier, places)
  if (own !== null) return { url: own, shortCircuit: true }
  const parent = context.parentURL?.startsWith('file:') ? fileURLToPath(context.parentURL) : null
  const search = searchFor(specifier, parent, places)
  // What `next` is given it writes into its own context, for later calls as well.
  const original = { ...context }
  if (search === null) return next(specifier, original)
  const from = (directory: string): Promise<Resolved> =>
    next(specifier, { ...original, parentURL: pathToFileURL(parentIn(directory)).href })
  for (const directory of search.before) {
    const found = await from(directory).catch(() => null)
    if (found !== null) return found
  }
  try {
    return await next(specifier, original)
  } catch (error) {
    for (const directory of search.after) {
      const found = await from(directory).catch(() => null)
      if (found !== null) return found
    }
    throw error
  }
}
