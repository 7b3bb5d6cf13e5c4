// SPDX-License-Identifier: Apache-2.0
// Builds the torture of the store and runs it: `npm run torture -- --kills 20000`.

import { spawnSync } from 'node:child_process'
import { availableParallelism } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = dirname(dirname(dirname(fileURLToPath(import.meta.url))))
const build = join(root, 'build-native', 'release')
const run = (command, args) => spawnSync(command, args, { cwd: root, stdio: 'inherit' }).status === 0

const built =
  run('cmake', ['-S', '.', '-B', build, '-DEAGLERAY_TESTS=ON', '-DCMAKE_BUILD_TYPE=Release']) &&
  run('cmake', ['--build', build, '--parallel', String(availableParallelism()), '--target', 'torture'])
process.exitCode = built && run(join(build, 'torture'), process.argv.slice(2)) ? 0 : 1
