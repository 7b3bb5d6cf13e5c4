// SPDX-License-Identifier: Apache-2.0
// Puts the compiled modules of dist/ together in dist/bundle/, which is what users import and what workers and node
// daemons run: to load a hundred small modules takes a process twice as long as to load a few large ones.
//
//   index.js, store.js, testing.js   re-export from core.js what the modules of these names export
//   core.js, worker.js, cli.js       share a chunk, so that every module exists once in a process
//   node.js, head.js                 each on its own: a node daemon or a head runs nothing else; what only nodes of clusters need
//                                    is in chunks that they load
//   module-hooks.js                  on its own: it runs in the thread of the module loader
//
// Usage: node bindings/bundle.mjs, after tsc

import { mkdirSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { build } from 'esbuild'

const root = fileURLToPath(new URL('..', import.meta.url))

const publicEntries = ['index', 'store', 'testing']
/** Core exports these too: workers import the actor behind a queue, though users do not. */
const internal = ['api/queue']

const common = {
  absWorkingDir: root,
  bundle: true,
  write: false,
  format: 'esm',
  platform: 'node',
  target: 'node20',
  // Of msgpack, the ES modules.
  mainFields: ['module', 'main'],
  external: ['apache-arrow', 'zeromq', 'acorn'],
  chunkNames: 'chunk-[hash]',
  // Names of classes are seen by users, and esbuild renames some.
  keepNames: true,
  // Compiled sooner. Names stay, and lines are short: Node shows the line of an uncaught error.
  minifyWhitespace: true,
  lineLimit: 140,
  sourcemap: 'linked',
  sourcesContent: false,
  logLevel: 'warning',
}

/** Puts core.js in place of a module, in the same place. */
const coreEntry = {
  name: 'core',
  setup({ onResolve, onLoad }) {
    onResolve({ filter: /^core$/ }, () => ({ path: 'core', namespace: 'core' }))
    onLoad({ filter: /^core$/, namespace: 'core' }, () => ({
      contents: [...publicEntries, ...internal].map(entry => `export * from './dist/${entry}.js'`).join('\n'),
      resolveDir: root,
    }))
  },
}

/** Bundles what is in dist/ into `outdir`, over what is there: processes that run from it go on, since files are replaced whole. */
export async function bundle(outdir = join(root, 'dist', 'bundle')) {
  const coreAndWorker = [
    { in: 'core', out: 'core' },
    { in: 'dist/run/worker.js', out: 'worker' },
    { in: 'dist/cli.js', out: 'cli' },
  ]
  const built = await Promise.all([
    build({ ...common, outdir, entryPoints: coreAndWorker, splitting: true, plugins: [coreEntry] }),
    build({ ...common, outdir, entryPoints: [{ in: 'dist/run/node.js', out: 'node' }], splitting: true }),
    build({ ...common, outdir, entryPoints: [{ in: 'dist/run/head.js', out: 'head' }] }),
    build({ ...common, outdir, entryPoints: [{ in: 'dist/run/module-hooks.js', out: 'module-hooks' }] }),
  ])
  const files = built.flatMap(({ outputFiles }) => outputFiles).map(({ path, contents }) => ({ path, contents }))
  for (const entry of publicEntries) {
    const contents = `export { ${(await exportsOf(entry)).join(', ')} } from './core.js'\n`
    files.push({ path: join(outdir, `${entry}.js`), contents })
  }
  mkdirSync(outdir, { recursive: true })
  // Chunks before those that import them.
  const isChunk = ({ path }) => basename(path).startsWith('chunk-')
  for (const file of [...files.filter(isChunk), ...files.filter(file => !isChunk(file))]) replaceFile(file)
}

async function exportsOf(entry) {
  const { metafile } = await build({ ...common, sourcemap: false, entryPoints: [`dist/${entry}.js`], outdir: 'dist', metafile: true })
  return Object.values(metafile.outputs).find(output => output.entryPoint !== undefined).exports
}

function replaceFile({ path, contents }) {
  const unfinished = `${path}.${process.pid}`
  writeFileSync(unfinished, contents)
  renameSync(unfinished, path)
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  rmSync(join(root, 'dist', 'bundle'), { recursive: true, force: true })
  await bundle()
}
