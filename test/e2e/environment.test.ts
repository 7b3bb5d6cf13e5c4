// SPDX-License-Identifier: Apache-2.0
// The environment of workers is the driver's, also where the node daemon between them goes without.

import assert from 'node:assert/strict'
import { get, remote } from 'eagleray'
import { begin, end } from './support.js'

suite('environment of workers', () => {
  const before = process.env.NODE_EXTRA_CA_CERTS
  suiteSetup(() => {
    process.env.NODE_EXTRA_CA_CERTS = '/dev/null'
    process.env.EAGLERAY_TEST_VARIABLE = 'seen'
    return begin()
  })
  suiteTeardown(async () => {
    delete process.env.EAGLERAY_TEST_VARIABLE
    if (before === undefined) delete process.env.NODE_EXTRA_CA_CERTS
    else process.env.NODE_EXTRA_CA_CERTS = before
    await end()
  })

  test('variables of the driver', async () => {
    const variables = remote((...names: string[]) => names.map(name => process.env[name]))
    const seen = await get(variables.remote('NODE_EXTRA_CA_CERTS', 'EAGLERAY_TEST_VARIABLE'))
    assert.deepEqual(seen, ['/dev/null', 'seen'])
  })
})
