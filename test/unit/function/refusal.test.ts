// SPDX-License-Identifier: Apache-2.0
// What cannot travel is refused at the call, and the message names the variable, the function and the line.

import assert from 'node:assert/strict'
import { receive, run, type Sent, send } from './children.js'

interface Refused {
  name: string
  error: string
}

const variable = (name: string, of: string, reason: string): string =>
  `SerializationError: captured variable \`${name}\` of ${of}: ${reason}`

const expected: Record<string, string> = {
  'a socket': variable('socket', 'remote function `score` (refusals.mjs:15)', 'a Server cannot be serialised'),
  'inside an object': variable('settings.inner.db', 'remote function (refusals.mjs:16)', 'a Server cannot be serialised'),
  'through a helper': variable(
    'socket',
    'function `helper` (refusals.mjs:13) of remote function `outer` (refusals.mjs:17)',
    'a Server cannot',
  ),
  'a WeakMap': variable('weak', 'remote function (refusals.mjs:18)', 'a WeakMap cannot be serialised'),
  'a bound function': variable('bound', 'remote function (refusals.mjs:19)', 'a native or bound function has no source'),
  'not initialised': 'SerializationError: captured variable `late` of remote function (refusals.mjs:20) is not initialised yet',
  'a class not initialised': 'SerializationError: captured variable `Late` of remote function (refusals.mjs:21) is not initialised yet',
  native: 'TypeError: `max` is a native function and has no source that could travel; pass an arrow function that calls it',
  'bound itself': 'TypeError: `bound ` is a bound function',
  'this of a method': 'SerializationError: remote function (refusals.mjs:27) uses `this` of the function around it',
  'super of an object': 'SerializationError: remote function `go` (refusals.mjs:28) uses `super`',
  'private name': 'SerializationError: remote function `reveal` (refusals.mjs:29) uses a private name',
  'arguments of the function around': 'SerializationError: remote function (refusals.mjs:30) uses `arguments` of the function around it',
  env: variable('given', 'remote function (refusals.mjs:31)', 'a Server cannot be serialised'),
  namespace: variable('ns', 'remote function (refusals.mjs:32)', 'a module namespace travels only when a static import gives it its name'),
  'computed key': 'SerializationError: captured variable `key` of actor class `Keyed` (refusals.mjs:34) is used in a computed key',
}

suite('functions that cannot travel', () => {
  test('are refused by name and place', async () => {
    const { stdout } = await run('refusals.mjs')
    const refused = stdout
      .split('\n')
      .filter(Boolean)
      .map(line => JSON.parse(line) as Refused)
    assert.deepEqual(refused.map(({ name }) => name).sort(), Object.keys(expected).sort())
    for (const { name, error } of refused) assert.ok(error?.startsWith(expected[name]!), `${name}: ${error}`)
  })

  test('without an inspector, what `env` gives and CommonJS exports still travel', async () => {
    const permission = process.allowedNodeEnvironmentFlags.has('--experimental-permission') ? '--experimental-permission' : '--permission'
    const told = (await send('without-inspector.cjs', [permission, '--allow-fs-read=*'])) as (Sent & Refused)[]
    const [refused, ...sent] = told
    assert.match(refused!.error, /captured variable `K` of remote function: this process has no inspector.*`env: \{ K \}`/)
    assert.deepEqual(
      sent.map(({ how }) => how),
      ['value', 'value', 'reference'],
    )
    const received = await receive(sent)
    assert.deepEqual(
      received.map(({ result }) => result),
      [2, 6, 6],
    )
  })
})
