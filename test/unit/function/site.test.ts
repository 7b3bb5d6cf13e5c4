// SPDX-License-Identifier: Apache-2.0
// Where a call was made, and that looking leaves no trace: no inspector, no patched Error, no pause for a debugger.

import assert from 'node:assert/strict'
import { Session } from 'node:inspector'
import { callSite, captureFunction } from '#lib/codec/function.js'

const context = { references: null, functions: null }
const capture = (fn: Function): void => void captureFunction(fn, { env: null, site: callSite(), context })

suite('the call site', () => {
  test('is the nearest place outside the package, in the source as written', () => {
    const site = callSite()!
    assert.equal(site.url, import.meta.url)
    assert.equal(site.line, 13)
  })

  test('is found through callers of any depth, and Error stays as it was', () => {
    const mine = (): string => 'mine'
    const { prepareStackTrace, stackTraceLimit } = Error
    try {
      Error.prepareStackTrace = mine
      Error.stackTraceLimit = 3
      const deep = (n: number): ReturnType<typeof callSite> => (n === 0 ? callSite() : deep(n - 1))
      assert.equal(deep(30)!.url, import.meta.url)
      assert.equal(Error.prepareStackTrace, mine)
      assert.equal(Error.stackTraceLimit, 3)
    } finally {
      Error.prepareStackTrace = prepareStackTrace!
      Error.stackTraceLimit = stackTraceLimit
    }
  })
})

suite('capturing', () => {
  test('leaves nothing on the global object', () => {
    const before = Reflect.ownKeys(globalThis).length
    const k = Symbol('k')
    capture(() => k)
    assert.equal(Reflect.ownKeys(globalThis).length, before)
  })

  test('does not disturb a debugger that is attached', () => {
    const session = new Session()
    session.connect()
    const seen: string[] = []
    try {
      session.post('Debugger.enable')
      session.on('Debugger.paused', () => seen.push('paused'))
      session.on('Debugger.resumed', () => seen.push('resumed'))
      const local = { a: 1 }
      capture(() => local)
      assert.deepEqual(seen, [])
      let parsed = false
      session.on('Debugger.scriptParsed', () => {
        parsed = true
      })
      new Function('return 1')()
      assert.ok(parsed, 'the debugger is still enabled')
    } finally {
      session.disconnect()
    }
  })
})
