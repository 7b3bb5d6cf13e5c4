// SPDX-License-Identifier: Apache-2.0
// Functions and classes of every form give in another process what they give here, and from there in a third.

import assert from 'node:assert/strict'
import { type Received, receive, type Sent, send } from './children.js'

/** Node's own type stripping, where this Node has it. */
const strips = (process.features as { typescript?: unknown }).typescript
  ? [{ title: 'TypeScript under Node’s stripping', fixture: 'forms.ts', flags: [] }]
  : []

const programs: { title: string; fixture: string; flags: string[] }[] = [
  { title: 'an ES module', fixture: 'forms.mjs', flags: [] },
  { title: 'a CommonJS script', fixture: 'forms.cjs', flags: [] },
  { title: 'TypeScript under tsx', fixture: 'forms.ts', flags: ['--import', 'tsx'] },
  { title: 'TypeScript compiled to CommonJS by tsx', fixture: 'compiled.cts', flags: ['--import', 'tsx'] },
  ...strips,
  { title: 'modules that are not the entry', fixture: 'references.mjs', flags: [] },
  { title: 'code made by rebuilt code', fixture: 'nested.mjs', flags: [] },
]

function check(sent: Sent[], received: Received[]): void {
  const results = new Map(received.map(result => [result.name, result]))
  for (const { name, fnName, expected } of sent) {
    const got = results.get(name)
    assert.deepEqual(got?.error ?? got?.result, expected, name)
    assert.equal(got?.fnName, fnName, name)
  }
}

for (const { title, fixture, flags } of programs) {
  suite(`functions travel from ${title}`, () => {
    let sent: Sent[] = []
    let received: Received[] = []

    suiteSetup(async () => {
      sent = await send(fixture, flags)
      received = await receive(sent, flags)
    })

    test('and give there what they give here', () => {
      assert.ok(sent.length > 5)
      assert.equal(new Set(sent.map(({ name }) => name)).size, sent.length)
      check(sent, received)
    })

    test('and on to a third process', async () => {
      const again = new Map(received.map(result => [result.name, result.again]))
      check(
        sent,
        await receive(
          sent.map(one => ({ ...one, bytes: again.get(one.name)! })),
          flags,
        ),
      )
    })

    test('by reference where exported, else by value', () => {
      for (const { name, how } of sent) {
        if (name.endsWith('by reference')) assert.equal(how, 'reference', name)
        else if (name.endsWith('by value') || fixture.startsWith('forms.mjs')) assert.equal(how, 'value', name)
      }
    })

    test('with the refs they hold', () => {
      for (const { name, references } of sent) assert.equal(references, name.startsWith('reference') ? 1 : 0, name)
    })
  })
}
