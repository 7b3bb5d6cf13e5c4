// SPDX-License-Identifier: Apache-2.0
// Before tests run: when lib/ was compiled since it was bundled, bundles it, so that nothing is tested as it was before.

import { readdirSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { bundle } from '../bindings/bundle.mjs'

const dist = fileURLToPath(new URL('../dist', import.meta.url))

const changedMs = path => statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? 0

function compiledMs() {
  const modules = readdirSync(dist, { recursive: true }).filter(path => path.endsWith('.js') && !path.startsWith('bundle'))
  return Math.max(...modules.map(path => changedMs(join(dist, path))))
}

if (changedMs(join(dist, 'bundle', 'index.js')) < compiledMs()) await bundle()
