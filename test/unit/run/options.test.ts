// SPDX-License-Identifier: Apache-2.0
// What is refused where a function or class is made remote. No session is needed for that.

import assert from 'node:assert/strict'
import { remote } from 'eagleray'

class Worker {
  run(): number {
    return 1
  }
}

const refusal = (error: unknown) => error instanceof TypeError || error instanceof RangeError

suite('options', () => {
  const shared: object[] = [
    { resources: [] },
    { resources: { a: 'x' } },
    { resources: { constructor: 1 } },
    { memoryBytes: Number.POSITIVE_INFINITY },
    { memoryBytes: -1 },
    { numCpus: Number.POSITIVE_INFINITY },
    { numGpus: 1.5 },
    { name: 5 },
    { env: [] },
    { unknown: 1 },
  ]
  const ofTasks: object[] = [{ numReturns: 65_536 }, { numReturns: -1 }, { maxRetries: 1.5 }, { retryExceptions: [1] }]
  const ofActors: object[] = [
    { methods: 5 },
    { methods: { run: null } },
    { methods: { run: { numReturns: -1 } } },
    { methods: { run: { numReturns: 'a' } } },
    { methods: { run: { maxTaskRetries: -2 } } },
    { methods: { run: { concurrencyGroup: 'nobody' } } },
    { methods: { absent: {} } },
    { concurrencyGroups: 5 },
    { concurrencyGroups: { io: 0 } },
    { maxConcurrency: 0 },
    { maxPendingCalls: 0 },
    { maxRestarts: -2 },
    { getIfExists: 1, name: 'x' },
    { getIfExists: true },
    { namespace: 5 },
    { namespace: '' },
    { allowOutOfOrderExecution: 'yes' },
    { lifetime: 'for ever' },
  ]

  test('of tasks', () => {
    const task = remote(() => 1)
    for (const options of [...shared, ...ofTasks, null, 5, []]) {
      assert.throws(() => remote(() => 1, options as never), refusal, JSON.stringify(options))
      assert.throws(() => task.options(options as never), refusal, JSON.stringify(options))
    }
    for (const options of [{ memoryBytes: 1.5 }, { numReturns: 65_535 }, { maxRetries: -1 }, { resources: { a: 0.5 } }])
      task.options(options)
  })

  test('a function without a name is called by the one it is given', () => {
    const named = remote(() => 1, { name: 'parse' })
    assert.throws(() => remote(() => 1, { name: 'parse', numCpus: -1 }), /^RangeError: remote\(parse\): /)
    assert.throws(() => remote(function* () {}, { name: 'parse' }), /^TypeError: remote\(parse\): generator/)
    assert.throws(() => named.options({ numCpus: -1 }), /^RangeError: parse\.options\(\): /)
    assert.throws(() => remote(() => 1, { numCpus: -1 }), /^RangeError: remote\(function\): /)
  })

  test('of actors, also where they are overridden', () => {
    const actor = remote(Worker)
    for (const options of [...shared, ...ofActors, null, 5, []]) {
      assert.throws(() => remote(Worker, options as never), refusal, JSON.stringify(options))
      assert.throws(() => actor.options(options as never), refusal, JSON.stringify(options))
    }
    remote(Worker, { concurrencyGroups: { io: 2 }, methods: { run: { concurrencyGroup: 'io', numReturns: 2 } } }).options({
      maxPendingCalls: -1,
    })
  })
})
