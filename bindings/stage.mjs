// SPDX-License-Identifier: Apache-2.0
// Lays out what is published in build-package/: the compiled library, the prebuilt addon, and a manifest without scripts.
// binding.gyp stays behind: a package manager that finds it at the root of a package compiles, whatever the manifest says.
// Usage: node bindings/stage.mjs [folder], after `npm run build:native && npm run build`

import { cpSync, existsSync, mkdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { join, resolve, sep } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('..', import.meta.url))

/** What of package.json concerns only this repository. */
const ownFields = ['scripts', 'devDependencies', 'binary', 'allowScripts']

const isPublished = path => statSync(path).isDirectory() || path.endsWith('.d.ts') || path.includes(`${sep}dist${sep}bundle${sep}`)

export function stage(folder) {
  const addon = join(root, 'build', 'Release', 'eagleray.node')
  for (const needed of [addon, join(root, 'dist', 'bundle', 'index.js')]) {
    if (!existsSync(needed)) throw new Error(`${needed} is not there: run npm run build:native && npm run build first`)
  }
  rmSync(folder, { recursive: true, force: true })
  mkdirSync(join(folder, 'prebuilds'), { recursive: true })
  // The bundle runs, and the declarations tell its types; the modules as compiled are for this repository's tests.
  cpSync(join(root, 'dist'), join(folder, 'dist'), { recursive: true, filter: isPublished })
  cpSync(addon, join(folder, 'prebuilds', `${process.platform}-${process.arch}.node`))
  for (const name of ['README.md', 'LICENSE', 'CHANGELOG.md']) cpSync(join(root, name), join(folder, name))
  const manifest = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'))
  for (const field of ownFields) delete manifest[field]
  manifest.files = ['dist', 'prebuilds']
  writeFileSync(join(folder, 'package.json'), `${JSON.stringify(manifest, null, 2)}\n`)
  return folder
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  console.log(stage(resolve(process.argv[2] ?? join(root, 'build-package'))))
}
