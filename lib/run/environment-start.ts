// SPDX-License-Identifier: Apache-2.0
// What a worker does to be in its runtime environment, before it says hello: its directory, where modules come from, and
// what is preloaded. Variables and flags of node it has from its start.

import { Module, register } from 'node:module'
import { join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { registerLoaders } from '../codec/function/late-loaders.js'
import { importFrom } from '../codec/function/load.js'
import { relocate } from '../codec/function/module-files.js'
import { MODULE_HOOKS, OWN_CODE, OWN_ENTRIES } from '../own-files.js'
import { keepVisibleDevices } from './accelerators.js'
import type { WorkerSettings } from './daemon-settings.js'
import { type ModulePlaces, ownFile, parentIn, searchFor } from './module-places.js'

/** The part that needs no promise. */
export function enterEnvironment({ environment, place, job }: WorkerSettings): void {
  if (environment === null || job === null) return
  if ('CUDA_VISIBLE_DEVICES' in environment.envVars) keepVisibleDevices()
  const { copy, packages } = place
  const source = environment.workingDir
  if (copy !== null) process.chdir(copy)
  if (copy !== null && source !== null) relocate(source, copy)
  if (copy === null && packages === null) return
  const places: ModulePlaces = { packages, copy, source, driver: job.cwd, own: OWN_ENTRIES }
  register<ModulePlaces>(MODULE_HOOKS.href, { parentURL: import.meta.url, data: places })
  requireFrom(places)
}

/** Imports what is to be there before anything runs. Rejects with an error whose message names the module. */
export async function preload(modules: readonly string[]): Promise<void> {
  await registerLoaders()
  const parent = pathToFileURL(join(process.cwd(), 'preload.js')).href
  for (const specifier of modules) {
    try {
      await importFrom(parent, specifier.startsWith('/') ? pathToFileURL(specifier).href : specifier)
    } catch (error) {
      throw new Error(`${specifier} could not be imported from ${process.cwd()}: ${textOf(error)}`, { cause: error })
    }
  }
}

/** With the frames of the user's code: where it is not found there are none. */
function textOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  const frames = (error.stack ?? '').split('\n').filter(line => /^ {4}at /.test(line))
  const own = frames.findIndex(line => line.includes('node:internal') || line.includes(OWN_CODE))
  return [`${error.name}: ${error.message}`, ...(own < 0 ? frames : frames.slice(0, own))].join('\n')
}

type Resolve = (request: string, parent: { filename?: string | null } | null, isMain: boolean, options?: { paths?: string[] }) => string

/** The same for `require`, which knows no hooks: those of the loader are for `import` alone before Node 22. */
function requireFrom(places: ModulePlaces): void {
  const holder = Module as unknown as { _resolveFilename: Resolve }
  const original = holder._resolveFilename
  holder._resolveFilename = function (this: unknown, request, parent, isMain, options) {
    const own = ownFile(request, places)
    if (own !== null) return fileURLToPath(own)
    const search = options?.paths === undefined ? searchFor(request, parent?.filename ?? null, places) : null
    if (search === null) return original.call(this, request, parent, isMain, options)
    const from = (directory: string): string | null => {
      try {
        return original.call(this, request, parent, isMain, { paths: [parentIn(directory)] })
      } catch {
        return null
      }
    }
    for (const directory of search.before) {
      const found = from(directory)
      if (found !== null) return found
    }
    try {
      return original.call(this, request, parent, isMain, options)
    } catch (error) {
      for (const directory of search.after) {
        const found = from(directory)
        if (found !== null) return found
      }
      throw error
    }
  }
}
