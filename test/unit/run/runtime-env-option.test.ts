// SPDX-License-Identifier: Apache-2.0
// The option runtimeEnv: what is refused, with the path to it, and what is made absolute.

import assert from 'node:assert/strict'
import { resolve } from 'node:path'
import { environmentUnder, type RuntimeEnv, resolveRuntimeEnv } from '#lib/api/runtime-env.js'
import { schedulingClass } from '#lib/api/task-options.js'
import { jobOf, workerIdOf } from '../../fakes/cluster.js'

const refused: [given: unknown, error: typeof TypeError | typeof RangeError, path: string][] = [
  [null, TypeError, 'runtimeEnv must be an object, not null'],
  [[], TypeError, 'runtimeEnv must be an object, not an array'],
  [{ pip: ['x'] }, TypeError, 'unknown field runtimeEnv.pip'],
  [{ envVars: ['A=1'] }, TypeError, 'runtimeEnv.envVars must be an object'],
  [{ envVars: { FOO: 3 } }, TypeError, 'runtimeEnv.envVars.FOO must be a string, not 3'],
  [{ envVars: { 'A=B': '' } }, RangeError, 'is no name of a variable'],
  [{ envVars: { A: 'x\0' } }, RangeError, 'runtimeEnv.envVars.A'],
  [{ envVars: { EAGLERAY_WORKER: 'x' } }, RangeError, 'runtimeEnv.envVars.EAGLERAY_WORKER is for eagleray itself'],
  [{ workingDir: 3 }, TypeError, 'runtimeEnv.workingDir'],
  [{ workingDir: ' ' }, RangeError, 'runtimeEnv.workingDir'],
  [{ workingDir: 'https://example.com/x.zip' }, RangeError, 'a directory of this machine'],
  [{ excludes: 'x' }, TypeError, 'runtimeEnv.excludes must be an array'],
  [{ excludes: ['x', '!y'] }, RangeError, 'runtimeEnv.excludes[1]'],
  [{ npm: 'x' }, TypeError, 'runtimeEnv.npm must be an object'],
  [{ npm: ['x', 4] }, TypeError, 'runtimeEnv.npm[1]'],
  [{ npm: ['--global'] }, RangeError, 'runtimeEnv.npm[0]'],
  [{ npm: { registry: 'https://r.example' } }, TypeError, 'runtimeEnv.npm.packages'],
  [{ npm: { packages: [], registry: 'r.example' } }, RangeError, 'runtimeEnv.npm.registry'],
  [{ npm: { packages: [], lockfile: 'x' } }, TypeError, 'unknown field runtimeEnv.npm.lockfile'],
  [{ preload: './x' }, TypeError, 'runtimeEnv.preload'],
  [{ preload: [''] }, RangeError, 'runtimeEnv.preload[0]'],
  [{ nodeOptions: ['max-old-space-size=3'] }, RangeError, 'runtimeEnv.nodeOptions[0]'],
  [{ nodeOptions: ['--expose-gc', '--eval=1'] }, RangeError, 'runtimeEnv.nodeOptions[1]'],
  [{ nodeOptions: ['-e'] }, RangeError, 'does not run a worker'],
  [{ nodeOptions: ['--'] }, RangeError, 'does not run a worker'],
  [{ nodeOptions: ['--import'] }, RangeError, 'its value must follow an ='],
]

suite('the option runtimeEnv', () => {
  for (const [given, error, path] of refused) {
    test(`refused: ${JSON.stringify(given)}`, () => {
      assert.throws(
        () => resolveRuntimeEnv('init()', given as RuntimeEnv),
        (thrown: Error) => thrown instanceof error && thrown.message.startsWith('init(): ') && thrown.message.includes(path),
      )
    })
  }

  test('paths become absolute; what names packages stays, and all of it again is the same', () => {
    const resolved = resolveRuntimeEnv('init()', {
      workingDir: './x',
      npm: ['lodash@4', '@scope/name', './p', 'file:../q', 'file:///abs', 'git+https://example.com/r.git'],
      envVars: { A: '' },
    })
    assert.equal(resolved.workingDir, resolve('x'))
    const files = [`file:${resolve('p')}`, `file:${resolve('../q')}`, 'file:/abs']
    assert.deepEqual(resolved.npm, { packages: ['lodash@4', '@scope/name', ...files, 'git+https://example.com/r.git'] })
    assert.deepEqual(resolveRuntimeEnv('init()', resolved), resolved)
    assert.equal(resolveRuntimeEnv('init()', { workingDir: 'file:///a/b' }).workingDir, '/a/b')
  })

  test('an environment is part of the scheduling class; the empty one leaves it as it was', () => {
    const classOf = (env?: RuntimeEnv) => schedulingClass({}, environmentUnder(null, env), jobOf(workerIdOf(1))).key
    assert.equal(classOf({}), classOf())
    assert.notEqual(classOf({ envVars: { A: '1' } }), classOf())
    assert.notEqual(classOf({ envVars: { A: '1' } }), classOf({ envVars: { A: '2' } }))
    assert.equal(classOf({ npm: ['x', 'y'] }), classOf({ npm: { packages: ['y', 'x'] } }))
  })
})
