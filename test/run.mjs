// SPDX-License-Identifier: Apache-2.0
// Everything `npm test` does, in order: build, format and lint, types, C++ tests (plain and under sanitizers),
// processes killed at random, a short round of fuzzing, mocha.
// `node test/run.mjs unit native` runs only the named steps. Every step is run even when an earlier one failed, except
// that nothing runs after a failed build. The last line is `N passed, N failed`, the sum over all test programs.

import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = dirname(dirname(fileURLToPath(import.meta.url)))
const scratch = join(root, 'build-native')
const bin = name => join(root, 'node_modules', '.bin', name)

/** One row of the summary. A step that runs no test framework counts as one test. */
const rows = []

function run(command, args, env = {}) {
  console.log(`\n$ ${[command.replace(`${root}/`, ''), ...args].join(' ')}`)
  const { status } = spawnSync(command, args, { cwd: root, stdio: 'inherit', env: { ...process.env, ...env } })
  return status === 0
}

function record(name, passed, failed, startedMs) {
  rows.push({ name, passed, failed, seconds: (Date.now() - startedMs) / 1000 })
  return failed === 0
}

function check(name, command, args) {
  const startedMs = Date.now()
  const ok = run(command, args)
  return record(name, ok ? 1 : 0, ok ? 0 : 1, startedMs)
}

/** Runs mocha on the globs; a crash before the counts are written is one failure. */
function mocha(name, patterns, extra = []) {
  const startedMs = Date.now()
  const countsPath = join(scratch, `mocha-${name}.json`)
  rmSync(countsPath, { force: true })
  const ok = run(bin('mocha'), ['--reporter', 'test/reporter.cjs', ...extra, ...patterns], { EAGLERAY_TEST_COUNTS: countsPath })
  const counts = existsSync(countsPath) ? JSON.parse(readFileSync(countsPath, 'utf8')) : { passed: 0, failed: 0 }
  return record(name, counts.passed, ok ? counts.failed : Math.max(1, counts.failed), startedMs)
}

/** Configures, builds and runs the C++ tests in one flavour. */
function ctest(flavour, options) {
  const startedMs = Date.now()
  const build = join(scratch, flavour)
  const junit = join(build, 'junit.xml')
  rmSync(junit, { force: true })
  const built =
    run('cmake', ['-S', '.', '-B', build, '-DEAGLERAY_TESTS=ON', ...options]) &&
    run('cmake', ['--build', build, '--parallel', String(availableParallelism())])
  const ok =
    built &&
    run('ctest', ['--test-dir', build, '--output-on-failure', '--parallel', String(availableParallelism()), '--output-junit', junit])
  const totals = existsSync(junit) ? /tests="(\d+)"\s+failures="(\d+)"/.exec(readFileSync(junit, 'utf8')) : null
  const failed = totals ? Number(totals[2]) : 1
  return record(`native ${flavour}`, totals ? Number(totals[1]) - failed : 0, ok ? failed : Math.max(1, failed), startedMs)
}

const hasTests = folder =>
  existsSync(join(root, folder)) && readdirSync(join(root, folder), { recursive: true }).some(f => f.endsWith('.test.ts'))
const suite = (name, extra) => () => !hasTests(`test/${name}`) || mocha(name, [`test/${name}/**/*.test.ts`], extra)

/** Debian packages that tests need, and a path that is there once each is installed. */
const needed = { cmake: '/usr/bin/cmake', 'g++': '/usr/bin/g++', make: '/usr/bin/make', 'libgtest-dev': '/usr/include/gtest/gtest.h' }
const server = { 'redis-server': '/usr/bin/redis-server' }

/** Installs what is missing where that is allowed, and names it where it is not. */
function packages(needed) {
  const missing = Object.keys(needed).filter(name => !existsSync(needed[name]))
  if (missing.length === 0) return true
  if (process.getuid?.() === 0 && existsSync('/usr/bin/apt-get')) {
    const env = { DEBIAN_FRONTEND: 'noninteractive' }
    if (run('apt-get', ['update', '-q'], env) && run('apt-get', ['install', '-y', '-q', '--no-install-recommends', ...missing], env))
      return true
  }
  console.error(`These Debian packages are needed: ${missing.join(' ')}. Install them: sudo apt-get install ${missing.join(' ')}`)
  return record('Debian packages', 0, 1, Date.now())
}

const steps = {
  build: () =>
    check('build addon', process.execPath, ['bindings/build.mjs']) &&
    check('build lib', bin('tsc'), ['-p', '.']) &&
    check('bundle lib', process.execPath, ['bindings/bundle.mjs']),
  lint: () => check('format and lint', bin('biome'), ['check', '.']),
  types: () => check('types of tests, bench, examples', bin('tsc'), ['-p', 'test']),
  native: () => {
    if (!packages(needed)) return false
    // Sanitizers need names of functions and lines, and no more: all else is time to compile.
    const sanitized = ['-DCMAKE_BUILD_TYPE=RelWithDebInfo', '-DCMAKE_CXX_FLAGS_RELWITHDEBINFO=-O1 -g1']
    const flavours = {
      release: ['-DCMAKE_BUILD_TYPE=Release'],
      asan: [...sanitized, '-DEAGLERAY_SANITIZE=address,undefined'],
      tsan: [...sanitized, '-DEAGLERAY_SANITIZE=thread'],
    }
    return Object.entries(flavours)
      .map(([flavour, options]) => ctest(flavour, options))
      .every(Boolean)
  },
  torture: () => check('torture: 500 kills', process.execPath, ['test/torture/torture.mjs', '--kills', '500']),
  fuzz: () => check('fuzz: a short round', process.execPath, ['test/fuzz/fuzz.mjs', '--seconds', '5']),
  project: () => mocha('project', ['test/*.test.ts']),
  unit: () => packages(server) && suite('unit')(),
  bindings: suite('bindings'),
  e2e: () => packages(server) && suite('e2e')(),
  sim: suite('sim'),
  chaos: () => check('chaos: a cluster for 60 s', bin('tsx'), ['test/chaos/chaos.ts', '--seconds', '60']),
  package: suite('package'),
}

const named = process.argv.slice(2)
const unknown = named.filter(name => !(name in steps))
if (unknown.length > 0) {
  console.error(`no such step: ${unknown.join(', ')}; there are: ${Object.keys(steps).join(' ')}`)
  process.exit(2)
}

mkdirSync(scratch, { recursive: true })
for (const name of Object.keys(steps)) {
  if (named.length > 0 && !named.includes(name)) continue
  if (!steps[name]() && name === 'build') break
}

console.log('\nSummary')
for (const row of rows) {
  const outcome = row.failed === 0 ? 'ok' : 'FAILED'
  console.log(
    `  ${row.name.padEnd(34)} ${String(row.passed).padStart(5)} passed ${String(row.failed).padStart(4)} failed ${row.seconds.toFixed(1).padStart(7)} s  ${outcome}`,
  )
}
const total = key => rows.reduce((sum, row) => sum + row[key], 0)
console.log(`${total('passed')} passed, ${total('failed')} failed`)
process.exitCode = total('failed') === 0 && rows.length > 0 ? 0 : 1
