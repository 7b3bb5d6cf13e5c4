// SPDX-License-Identifier: Apache-2.0
// Builds the libFuzzer targets and runs each for a while from its corpus; then the mutational fuzzer of values and tables.
//
//   node test/fuzz/fuzz.mjs [minutes]             shared out among all of them; 10 by default. Finds are left in build-native/fuzz
//   node test/fuzz/fuzz.mjs --seconds 5           each target, without that of values, which is a unit test anyway
//
// The corpus is what 66 minutes found in all on one core, 2026-11-26 (segment 278,437 inputs, table 328,915, channel 966,805; no find), of which
// the fewest that reach the same edges are kept:
//   build-native/fuzz/TARGET_fuzz -set_cover_merge=1 -use_counters=0 -max_len=400 test/fuzz/corpus/TARGET build-native/fuzz/corpus/TARGET
// Arrow headers are parsed in TypeScript alone (lib/codec/arrow-verify.ts): the mutational fuzzer of tables is theirs.
//
// Without clang the targets are skipped, which is said. Exits with 1 when something was found.

import { spawnSync } from 'node:child_process'
import { mkdirSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = dirname(dirname(dirname(fileURLToPath(import.meta.url))))
const build = join(root, 'build-native', 'fuzz')
const targets = ['segment', 'table', 'channel']
const short = process.argv[2] === '--seconds'
const amount = Number(process.argv[short ? 3 : 2] ?? 10)
if (!(amount > 0)) {
  console.error('usage: fuzz.mjs [minutes] | --seconds N')
  process.exit(2)
}
const secondsEach = short ? amount : Math.max(1, Math.round((60 * amount) / (targets.length + 1)))

function run(command, args, env = {}) {
  console.log(`\n$ ${[command, ...args].join(' ').replaceAll(`${root}/`, '')}`)
  return spawnSync(command, args, { cwd: root, stdio: 'inherit', env: { ...process.env, ...env } }).status === 0
}

/** The newest clang that is there; null when none is. */
function clang() {
  const names = ['clang++', 'clang++-19', 'clang++-18', 'clang++-17', 'clang++-16', 'clang++-15', 'clang++-14']
  return names.find(name => spawnSync(name, ['--version'], { stdio: 'ignore' }).status === 0) ?? null
}

function fuzzNative(compiler) {
  const configure = ['-S', '.', '-B', build, '-DEAGLERAY_FUZZ=ON', `-DCMAKE_CXX_COMPILER=${compiler}`, '-DCMAKE_BUILD_TYPE=RelWithDebInfo']
  if (!run('cmake', configure) || !run('cmake', ['--build', build, '--parallel', String(availableParallelism())])) return false
  return targets
    .map(target => {
      const found = join(build, 'corpus', target)
      mkdirSync(found, { recursive: true })
      const limits = [`-max_total_time=${secondsEach}`, '-max_len=400', '-timeout=20', '-rss_limit_mb=4096', '-print_final_stats=1']
      const artifacts = `-artifact_prefix=${join(build, `${target}-`)}`
      return run(join(build, `${target}_fuzz`), [...limits, artifacts, '-verbosity=0', found, join(root, 'test', 'fuzz', 'corpus', target)])
    })
    .every(Boolean)
}

const compiler = clang()
if (compiler === null) console.log('SKIPPED: the libFuzzer targets need clang (Debian: clang and libclang-rt-dev), which is not installed')
const nativeHeld = compiler === null || fuzzNative(compiler)
const valuesHeld =
  short ||
  run(join(root, 'node_modules', '.bin', 'mocha'), ['test/unit/codec/mutation.test.ts'], { FUZZ_MINUTES: String(secondsEach / 60) })
process.exitCode = nativeHeld && valuesHeld ? 0 : 1
