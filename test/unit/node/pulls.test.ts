// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { ObjectFreedError, ObjectLostError, OwnerDiedError } from '#lib/errors.js'
import { limits } from '#lib/options.js'
import type { CopyMissing } from '#lib/wire/messages.js'
import { workerIdOf } from '../../fakes/cluster.js'
import { A, B, FakePulls, HERE, idOf, OWNER, PROCESS, type PullEffectOf } from '../../fakes/pulls.js'

const MB = 1 << 20
const OTHER = workerIdOf(2)
const lastFetch = (fake: FakePulls): PullEffectOf<'fetch'> => fake.all('fetch').at(-1) as PullEffectOf<'fetch'>

suite('pulls', () => {
  test('an object is asked for, made, fetched, sealed, told of, and let go of when it has been read', () => {
    const fake = new FakePulls()
    fake.want(1)
    assert.deepEqual(fake.sent('locate', OWNER), [{ is: 'locate', seqs: [1] }])
    fake.located(1, 10 * MB, [A])
    assert.deepEqual(fake.all('make'), [{ is: 'make', id: idOf(1), sizeBytes: 10 * MB }])
    fake.made(1)
    assert.deepEqual(fake.deliver(), new Map([[A, 3]]))
    const lengths = fake.all('fetch').map(({ offset, length }) => [offset, length])
    assert.deepEqual(lengths, [
      [0, 4 * MB],
      [4 * MB, 4 * MB],
      [8 * MB, 2 * MB],
    ])
    assert.deepEqual(
      fake.effects.slice(-4).map(({ is }) => is),
      ['seal', 'send', 'pin', 'send'],
    )
    assert.deepEqual(fake.sent('copyAdded', OWNER), [{ is: 'copyAdded', seqs: [1] }])
    assert.deepEqual(fake.sent('pulled', PROCESS), [{ is: 'pulled', id: idOf(1) }])
    fake.unwant(1)
    assert.equal(fake.all('unpin').length, 1)
    assert.equal(fake.pulls.get(idOf(1)), undefined)
    assert.equal(fake.sent('copyStopped').length, 0)
  })

  test('an empty object has one piece', () => {
    const fake = new FakePulls()
    fake.moving(1, 0, [A])
    assert.deepEqual(fake.deliver(), new Map([[A, 1]]))
    assert.equal(fake.all('seal').length, 1)
  })

  test('it comes once, however many processes want it', () => {
    const fake = new FakePulls()
    fake.want(1)
    fake.want(1, 'argument', OTHER)
    fake.located(1, MB, [A])
    fake.want(1, 'wait', workerIdOf(3))
    fake.made(1)
    fake.deliver()
    fake.want(1, 'get', workerIdOf(4))
    assert.equal(fake.all('fetch').length, 1)
    assert.equal(fake.sent('locate').length, 1)
    assert.equal(fake.sent('pulled').length, 4)
  })

  test('what is in the store by now is told at once', () => {
    const fake = new FakePulls()
    fake.act({ is: 'want', from: PROCESS, id: idOf(1), why: 'get', here: true })
    assert.equal(fake.sent('pulled').length, 1)
    fake.want(2)
    fake.located(2, MB, [A], {}, true)
    assert.equal(fake.sent('pulled').length, 2)
    assert.equal(fake.all('make').length, 0)
  })

  test('several sources are asked in turns, each for a few pieces ahead', () => {
    const fake = new FakePulls()
    fake.moving(1, 80 * MB, [A, B])
    assert.equal(fake.all('fetch').length, 2 * limits.piecesAhead)
    const counts = fake.deliver()
    assert.deepEqual([...counts.values()], [10, 10])
    assert.equal(fake.all('seal').length, 1)
  })

  test('a source that fails is replaced by the others, and what came is not asked for again', () => {
    const fake = new FakePulls()
    fake.moving(1, 40 * MB, [A, B])
    const first = fake.all('fetch')
    const [ofA, ofB] = [first.filter(each => each.source === A), first.filter(each => each.source === B)]
    fake.arrived(ofA[0] as PullEffectOf<'fetch'>)
    for (const each of fake.all('fetch').filter(({ source, piece }) => source === A && piece !== ofA[0]?.piece)) fake.failed(each)
    for (const each of ofB) fake.arrived(each)
    const answered = new Set(ofB)
    for (let i = 0; i < fake.effects.length; i++) {
      const effect = fake.effects[i]
      if (effect?.is !== 'fetch' || effect.source !== B || answered.has(effect)) continue
      fake.arrived(effect)
    }
    assert.equal(fake.all('seal').length, 1)
    assert.equal(fake.all('fetch').filter(({ piece }) => piece === ofA[0]?.piece).length, 1)
  })

  test('when all sources have failed the owner is asked again, and hears who has no copy', () => {
    const fake = new FakePulls()
    fake.moving(1, MB, [A])
    fake.failed(lastFetch(fake), true)
    assert.deepEqual(fake.sent('copyMissing', OWNER), [{ is: 'copyMissing', seq: 1, nodes: [A], losses: 0 }])
    // The answer to that names another.
    fake.located(1, MB, [B])
    assert.equal(lastFetch(fake).source, B)
    fake.deliver()
    assert.equal(fake.all('seal').length, 1)
  })

  test('what is said to be missing is the value that the owner spoke of, not one that was made again since', () => {
    const fake = new FakePulls()
    fake.want(1)
    fake.located(1, 20 * MB, [A], { losses: 3 })
    fake.made(1)
    const [first, second] = fake.all('fetch')
    assert.ok(first && second)
    fake.failed(first, true)
    // It is being made again, and may be there before this is heard.
    fake.located(1, 0, [], { state: 'pending', losses: 4 })
    fake.failed(second, true)
    assert.deepEqual(new Set(fake.sent('copyMissing', OWNER).map(message => (message as CopyMissing).losses)), new Set([3]))
  })

  test('an owner that insists on what cannot be reached is asked for a while, then it is an error that says why', () => {
    const fake = new FakePulls()
    fake.moving(1, MB, [A])
    fake.failed(lastFetch(fake))
    for (let i = 0; i < 100 && fake.all('fail').length === 0; i++) {
      fake.pass(limits.locatePauseMs[1])
      fake.located(1, MB, [A])
      const flying = fake.pulls.get(idOf(1))?.flying ?? 0
      if (flying > 0) fake.failed(lastFetch(fake))
    }
    const [failure] = fake.all('fail')
    assert.ok(failure?.error instanceof ObjectLostError)
    assert.match(failure.error.message, /a000000000: the connection broke/)
    assert.ok(fake.sent('locate').length > limits.locateRoundsMax / 2)
    assert.equal(fake.all('abort').length, 1)
    assert.equal(fake.sent('copyStopped').length, 1)
  })

  test('what came and could not be written here is told so, and not as a fault of its source', () => {
    const fake = new FakePulls()
    fake.moving(1, MB, [A])
    const unwritten = (): void => {
      const { id, source, piece } = lastFetch(fake)
      fake.act({ is: 'failed', id, source, piece, missing: false, unwritten: true, why: 'no space left on device' })
    }
    unwritten()
    for (let i = 0; i < 100 && fake.all('fail').length === 0; i++) {
      fake.pass(limits.locatePauseMs[1])
      fake.located(1, MB, [A])
      if ((fake.pulls.get(idOf(1))?.flying ?? 0) > 0) unwritten()
    }
    const [failure] = fake.all('fail')
    assert.ok(failure?.error instanceof ObjectLostError)
    assert.match(failure.error.message, /this node could not write it into its store \(no space left on device\)/)
    assert.doesNotMatch(failure.error.message, new RegExp(A))
    assert.deepEqual(fake.sent('copyMissing'), [])
  })

  test('an owner that thinks this node has a copy is told that it has none', () => {
    const fake = new FakePulls()
    fake.want(1)
    fake.located(1, MB, [HERE])
    assert.deepEqual(fake.sent('copyMissing', OWNER), [{ is: 'copyMissing', seq: 1, nodes: [HERE], losses: 0 }])
    fake.located(1, MB, [], { state: 'pending' })
    fake.located(1, MB, [B])
    assert.equal(fake.all('make').length, 1)
  })

  test('pending is waited for; freed, failed and ownerless are errors', () => {
    const fake = new FakePulls()
    fake.want(1)
    fake.located(1, 0, [], { state: 'pending' })
    fake.pass(10 * limits.locateAgainMs)
    assert.equal(fake.sent('locate').length, 1)
    fake.located(1, 0, [], { state: 'gone' })
    assert.ok(fake.all('fail')[0]?.error instanceof ObjectFreedError)
    fake.want(2)
    fake.located(2, 0, [], { state: 'failed', error: new Uint8Array([7]) })
    assert.deepEqual(fake.all('fail')[1]?.error, new Uint8Array([7]))
  })

  test('a value that is lost half way and made again is begun anew, once nothing is under way; nobody gets what had come', () => {
    const fake = new FakePulls()
    fake.moving(1, 10 * MB, [A])
    const [first, ...others] = fake.all('fetch') as [PullEffectOf<'fetch'>, ...PullEffectOf<'fetch'>[]]
    fake.arrived(first)
    assert.equal(fake.pulls.get(idOf(1))?.has(0, 4 * MB), true)
    fake.located(1, 0, [], { state: 'pending' })
    assert.equal(fake.pulls.get(idOf(1))?.has(0, 4 * MB), false)
    assert.equal(fake.all('ended').length, 1, 'who waits for pieces is told')
    fake.located(1, 10 * MB, [B])
    for (const each of others) {
      assert.equal(fake.all('abort').length, 0, 'the network may still write')
      fake.failed(each, true)
    }
    assert.equal(fake.all('abort').length, 1)
    assert.equal(fake.sent('locate').length, 2)
    assert.deepEqual(fake.all('seal'), [])
    fake.located(1, 10 * MB, [B])
    fake.made(1)
    const again = fake.all('fetch').slice(1 + others.length)
    assert.deepEqual([...new Set(again.map(({ source }) => source))], [B])
    for (const each of again) fake.arrived(each)
    assert.equal(fake.all('seal').length, 1)
    assert.equal(fake.sent('pulled', PROCESS).length, 1)
  })

  test('where an object is whose owner died is asked once more; copies that are known already are got', () => {
    const fake = new FakePulls()
    fake.moving(1, 40 * MB, [A])
    fake.want(3)
    fake.act({ is: 'died', workerId: OWNER })
    assert.deepEqual(fake.all('fail'), [])
    assert.equal(fake.sent('locate').length, 3)
    fake.deliver()
    assert.equal(fake.all('seal').length, 1)
    fake.act({ is: 'unasked', id: idOf(3) })
    assert.ok(fake.all('fail')[0]?.error instanceof OwnerDiedError)
    assert.equal(fake.all('fail').length, 1)
  })

  test('the death of an owner may be told again, while others are asked for what it had', () => {
    const fake = new FakePulls()
    fake.want(1)
    fake.act({ is: 'died', workerId: OWNER })
    fake.located(1, 10 * MB, [])
    fake.act({ is: 'died', workerId: OWNER })
    fake.act({ is: 'nodeDied', nodeId: OWNER.slice(0, 10) })
    assert.deepEqual(fake.all('fail'), [])
    fake.located(1, 10 * MB, [A])
    fake.made(1)
    fake.deliver()
    assert.equal(fake.sent('pulled', PROCESS).length, 1)
  })

  test('where nobody can be asked, and nobody knows that the owner is dead, it is lost', () => {
    const fake = new FakePulls()
    fake.want(1)
    fake.act({ is: 'unasked', id: idOf(1) })
    assert.equal(fake.sent('locate').length, 2)
    fake.act({ is: 'unasked', id: idOf(1) })
    assert.match(String(fake.all('fail')[0]?.error), /that owned it had ended before it was asked for/)
  })

  test('an owner that does not answer is asked again', () => {
    const fake = new FakePulls()
    fake.want(1)
    fake.pass(limits.locateAgainMs)
    assert.equal(fake.sent('locate').length, 2)
  })

  test('only so many bytes are on their way; gets come before waits before arguments', () => {
    const fake = new FakePulls(100 * MB)
    fake.moving(1, 90 * MB, [A], 'argument')
    for (const [seq, why] of [
      [2, 'argument'],
      [3, 'wait'],
      [4, 'get'],
    ] as const) {
      fake.want(seq, why)
      fake.located(seq, 60 * MB, [A])
    }
    assert.deepEqual(fake.pulls.counts(), { queued: 3, moving: 1 })
    fake.deliver()
    assert.equal(fake.all('make').length, 1, 'what was not read yet counts')
    fake.unwant(1)
    for (const seq of [4, 3, 2]) {
      assert.equal(fake.all('make').at(-1)?.id, idOf(seq))
      fake.made(seq)
      fake.deliver()
      fake.unwant(seq)
    }
  })

  test('an object larger than the budget comes alone', () => {
    const fake = new FakePulls(10 * MB)
    fake.moving(1, MB, [A])
    fake.want(2)
    fake.located(2, 50 * MB, [A])
    assert.equal(fake.all('make').length, 1)
    fake.deliver()
    fake.unwant(1)
    assert.equal(fake.all('make').length, 2)
  })

  test('a wait that becomes a get moves up', () => {
    const fake = new FakePulls(MB)
    fake.moving(1, MB, [A])
    for (const seq of [2, 3]) {
      fake.want(seq, 'argument')
      fake.located(seq, MB, [A])
    }
    fake.want(3, 'get')
    fake.deliver()
    fake.unwant(1)
    assert.equal(fake.all('make').at(-1)?.id, idOf(3))
  })

  test('one that has no room waits for some, has garbage collected, and fails after a while', () => {
    const fake = new FakePulls()
    fake.want(1)
    fake.located(1, MB, [A])
    fake.act({ is: 'noRoom', id: idOf(1), error: null })
    assert.equal(fake.all('collect').length, 1)
    for (let i = 0; fake.all('fail').length === 0; i++) {
      fake.pass(limits.pullRoomRetryMs)
      if (fake.all('make').length > fake.all('collect').length) fake.act({ is: 'noRoom', id: idOf(1), error: null })
      assert.ok(i < 2 * (limits.pullRoomWaitMs / limits.pullRoomRetryMs))
    }
    assert.match(String(fake.all('fail')[0]?.error), /no room/)
  })

  test('one that waits for room does not hold up others', () => {
    const fake = new FakePulls()
    fake.want(1)
    fake.located(1, MB, [A])
    fake.act({ is: 'noRoom', id: idOf(1), error: null })
    fake.moving(2, MB, [A])
    fake.deliver()
    assert.equal(fake.all('seal').length, 1)
  })

  test('who is gone or gives up ends it, after what is under way has landed', () => {
    const fake = new FakePulls()
    fake.moving(1, 40 * MB, [A])
    const fetches = fake.all('fetch')
    fake.act({ is: 'died', workerId: PROCESS })
    assert.equal(fake.all('abort').length, 0)
    for (const each of fetches) fake.arrived(each)
    assert.equal(fake.all('fetch').length, fetches.length, 'no more is asked for')
    assert.equal(fake.all('abort').length, 1)
    assert.deepEqual(fake.sent('copyStopped', OWNER), [{ is: 'copyStopped', seqs: [1] }])
  })

  test('who comes back while it is being given up gets it', () => {
    const fake = new FakePulls()
    fake.moving(1, 40 * MB, [A])
    fake.unwant(1)
    fake.arrived(fake.all('fetch')[0] as PullEffectOf<'fetch'>)
    fake.want(1, 'get', OTHER)
    for (const each of fake.all('fetch').slice(1)) fake.arrived(each)
    for (let i = fake.all('fetch').length; fake.all('seal').length === 0; i++) {
      assert.ok(i < 100)
      for (const each of fake.all('fetch')) fake.arrived(each)
    }
    assert.equal(fake.sent('pulled', OTHER).length, 1)
  })

  test('given up while its memory is being reserved', () => {
    const fake = new FakePulls()
    fake.want(1)
    fake.located(1, MB, [A])
    fake.unwant(1)
    fake.made(1)
    assert.equal(fake.all('abort').length, 1)
    fake.want(2)
    fake.located(2, MB, [A])
    fake.unwant(2)
    fake.act({ is: 'noRoom', id: idOf(2), error: null })
    assert.equal(fake.pulls.get(idOf(2)), undefined)
  })

  test('made here meanwhile by another: it is looked at again', () => {
    const fake = new FakePulls()
    fake.want(1)
    fake.located(1, MB, [A])
    fake.act({ is: 'exists', id: idOf(1), here: false })
    fake.pass(limits.pullRoomRetryMs)
    assert.equal(fake.all('make').length, 2)
    fake.act({ is: 'exists', id: idOf(1), here: true })
    assert.equal(fake.sent('pulled').length, 1)
    fake.unwant(1)
    assert.equal(fake.all('unpin').length, 1)
  })

  test('a pin ends after a while though nobody says that it was read', () => {
    const fake = new FakePulls()
    fake.moving(1, MB, [A])
    fake.deliver()
    fake.pass(limits.pullHoldMs)
    assert.equal(fake.all('unpin').length, 1)
    fake.unwant(1)
    assert.equal(fake.pulls.get(idOf(1)), undefined)
  })

  test('a source whose node died is asked for no more', () => {
    const fake = new FakePulls()
    fake.moving(1, 80 * MB, [A, B])
    fake.act({ is: 'nodeDied', nodeId: A })
    const before = fake.all('fetch')
    for (const each of before) each.source === A ? fake.failed(each) : fake.arrived(each)
    assert.ok(
      fake
        .all('fetch')
        .slice(before.length)
        .every(each => each.source === B),
    )
  })

  test('what has come can be served to others meanwhile', () => {
    const fake = new FakePulls()
    fake.moving(1, 12 * MB, [A])
    const pull = fake.pulls.get(idOf(1))
    assert.equal(pull?.has(0, MB), false)
    fake.arrived(fake.all('fetch')[0] as PullEffectOf<'fetch'>)
    assert.equal(pull?.has(0, 4 * MB), true)
    assert.equal(pull?.has(0, 4 * MB + 1), false)
    assert.equal(pull?.has(-1, 2), false)
    assert.equal(pull?.has(8 * MB, 5 * MB), false)
  })
})
