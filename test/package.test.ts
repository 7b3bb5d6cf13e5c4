// SPDX-License-Identifier: Apache-2.0
// What a user installs: packed, installed from the tarball and a lockfile with scripts blocked, loaded with no compiler in reach.

import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { root } from './rules/source.js'

interface LockedPackage {
  dev?: boolean
  devOptional?: boolean
  dependencies?: Record<string, string>
}

const readJson = <T>(path: string): T => JSON.parse(readFileSync(path, 'utf8')) as T

/** The lockfile of a project that depends on the tarball alone: the versions are those this repository is tested with. */
function lockfile(tarball: string): object {
  const own = readJson<{ packages: Record<string, LockedPackage> }>(join(root, 'package-lock.json')).packages
  const manifest = readJson<{ version: string; dependencies: Record<string, string> }>(join(root, 'package.json'))
  const runtime = Object.entries(own).filter(([path, entry]) => path !== '' && !entry.dev && !entry.devOptional)
  const consumer = { name: 'consumer', dependencies: { eagleray: `file:${tarball}` } }
  const packed = { version: manifest.version, resolved: `file:${tarball}`, dependencies: manifest.dependencies }
  return {
    name: 'consumer',
    lockfileVersion: 3,
    packages: { '': consumer, 'node_modules/eagleray': packed, ...Object.fromEntries(runtime) },
  }
}

const program = `
import assert from 'node:assert/strict'
import { rmSync } from 'node:fs'
import { ObjectStore } from 'eagleray/store'
import { get, init, put, remote, shutdown } from 'eagleray'

const path = process.argv[2]
const store = await ObjectStore.create({ path, capacityBytes: 16 * 2 ** 20 })
const id = store.put(Uint8Array.of(1, 2, 3))
assert.deepEqual([...(await store.get(id)).bytes], [1, 2, 3])
store.close()
rmSync(path, { recursive: true, force: true })

await init({ numCpus: 1, objectStoreBytes: 64 * 2 ** 20 })
assert.deepEqual(await get(put({ a: [1, 2] })), { a: [1, 2] })
assert.equal(await get(remote(n => n + 1).remote(1)), 2)
await shutdown()
console.log('ok')
`

suite('package', () => {
  let folder = ''
  setup(() => {
    folder = mkdtempSync(join(tmpdir(), 'eagleray-package-'))
  })
  teardown(() => rmSync(folder, { recursive: true, force: true }))

  const npm = (cwd: string, ...args: string[]): string =>
    execFileSync('npm', [...args, '--no-audit', '--no-fund', '--loglevel=error'], { cwd, encoding: 'utf8' })

  test('installs from its tarball without scripts and runs without a compiler', () => {
    const staged = join(folder, 'staged')
    execFileSync(process.execPath, ['bindings/stage.mjs', staged], { cwd: root })
    assert.ok(!existsSync(join(staged, 'binding.gyp')))
    const manifest = readJson<Record<string, unknown>>(join(staged, 'package.json'))
    assert.equal(manifest.scripts, undefined)
    assert.equal(manifest.gypfile, false)

    const consumer = join(folder, 'consumer')
    mkdirSync(consumer)
    npm(staged, 'pack', '--pack-destination', consumer)
    const tarball = readdirSync(consumer).find(name => name.endsWith('.tgz')) ?? ''
    const lock = lockfile(tarball)
    writeFileSync(join(consumer, 'package.json'), JSON.stringify({ name: 'consumer', dependencies: { eagleray: `file:${tarball}` } }))
    writeFileSync(join(consumer, 'package-lock.json'), JSON.stringify(lock))
    npm(consumer, 'ci', '--ignore-scripts', '--prefer-offline')

    const installed = join(consumer, 'node_modules', 'eagleray')
    assert.ok(!existsSync(join(installed, 'build')), 'nothing was compiled')
    assert.ok(existsSync(join(installed, 'prebuilds', `${process.platform}-${process.arch}.node`)))

    const path = join(folder, 'bin')
    mkdirSync(path)
    symlinkSync(process.execPath, join(path, 'node'))
    writeFileSync(join(consumer, 'program.mjs'), program)
    const output = execFileSync(join(path, 'node'), ['program.mjs', join(folder, 'store')], {
      cwd: consumer,
      encoding: 'utf8',
      env: { PATH: path, HOME: folder },
    })
    assert.match(output, /ok\n$/)
  }).timeout(180_000)
})
