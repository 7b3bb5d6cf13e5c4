// SPDX-License-Identifier: Apache-2.0

import assert from 'node:assert/strict'
import { withoutLoaders } from '#lib/run/loader-flags.js'

suite('loaders among the flags of workers', () => {
  test('tsx is taken out, however it is given', () => {
    for (const flags of [
      ['--import', 'tsx'],
      ['--import=tsx'],
      ['--loader', 'tsx'],
      ['--experimental-loader=tsx/esm'],
      ['-r', 'tsx/cjs'],
      ['--import', 'file:///p/node_modules/tsx/dist/loader.mjs'],
    ]) {
      const { flags: left, loaders } = withoutLoaders(['--expose-gc', ...flags, '-C', 'dev'])
      assert.deepEqual(left, ['--expose-gc', '-C', 'dev'], flags.join(' '))
      assert.equal(loaders.length, 1)
    }
  })

  test('what the command of tsx adds for itself goes with it', () => {
    const preflight = '/p/node_modules/.pnpm/tsx@4/node_modules/tsx/dist/preflight.cjs'
    const loader = 'file:///p/node_modules/.pnpm/tsx@4/node_modules/tsx/dist/loader.mjs'
    assert.deepEqual(withoutLoaders(['--require', preflight, '--import', loader]), { flags: [], loaders: [loader] })
  })

  test('other loaders stay', () => {
    const flags = ['--import', './register.js', '--require=tsx-like', '--import', 'ts-node/esm', '--import']
    assert.deepEqual(withoutLoaders(flags), { flags, loaders: [] })
  })
})
