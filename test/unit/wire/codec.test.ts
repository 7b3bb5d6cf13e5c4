// SPDX-License-Identifier: Apache-2.0

import assert from 'node:assert/strict'
import { encode } from '@msgpack/msgpack'
import fc from 'fast-check'
import { WireError } from '#lib/errors.js'
import { limits } from '#lib/options.js'
import { decodeControl, encodeControl } from '#lib/wire/codec.js'
import type { Control } from '#lib/wire/messages.js'
import { messages, numbersIn, parts, placesIn, replaceAt } from '../../fakes/messages.js'

const { W, OBJECT, class_, environment, where, death, view, spec, node } = parts
const all = Object.values(messages) as Control[]
const plain = (value: unknown): unknown => JSON.parse(JSON.stringify(value, (_, each) => (each instanceof Uint8Array ? [...each] : each)))

suite('control messages', () => {
  test('every kind arrives as it was sent', () => {
    for (const message of all) assert.deepEqual(plain(decodeControl(encodeControl(message))), plain(message))
  })

  test('binary fields are copies: what was decoded may be overwritten', () => {
    const bytes = encodeControl(messages.code).slice()
    const decoded = decodeControl(bytes) as typeof messages.code
    bytes.fill(0)
    assert.deepEqual([...decoded.bytes], [1, 2])
  })

  test('property: a message with one field of another type, or without it, is refused', () => {
    const wrong = fc.constantFrom<unknown>(undefined, null, 3, 'x', true, Number.NaN, { x: 'y' }, [1, 'x'], new Uint8Array(2))
    const kindOf = (value: unknown): string =>
      value === null
        ? 'null'
        : Array.isArray(value)
          ? 'array'
          : value instanceof Uint8Array
            ? 'bytes'
            : Number.isNaN(value)
              ? 'NaN'
              : typeof value
    const nullable = /^(name|near|workerId|pid|nodeId|deathCause|error|view|exitCode|signal|reason|clusterId|value|job|capture|storage)$/
    fc.assert(
      fc.property(fc.constantFrom(...all), fc.nat(), wrong, (message, which, other) => {
        const keys = Object.keys(message).filter(key => key !== 'is')
        const key = keys[which % Math.max(1, keys.length)]
        const before = key === undefined ? undefined : message[key as keyof Control]
        if (key === undefined || kindOf(before) === kindOf(other) || nullable.test(key)) return
        const decoded = decodeControl(encode({ ...message, [key]: other }, { ignoreUndefined: true }))
        assert.ok(decoded instanceof WireError, `${message.is}.${key}`)
      }),
      { numRuns: 1000 },
    )
  })

  test('property: a message with a number that is none of its kind is refused, however deep it is inside', () => {
    const places = all.flatMap(message => numbersIn(message).map(path => ({ message, path })))
    const evil = fc.constantFrom(Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, -2, 0.5, 2 ** 53, 2 ** 63, -(2 ** 60))
    fc.assert(
      fc.property(fc.constantFrom(...places), evil, ({ message, path }, number) => {
        if (path.includes('available') && Number.isFinite(number)) return
        if (path.at(-1) === 'exitCode' && number === -2) return
        const copy = structuredClone(message)
        replaceAt(copy, path, number)
        assert.ok(decodeControl(encode(copy)) instanceof WireError, `${message.is}.${path.join('.')} = ${number}`)
      }),
      { numRuns: 5000 },
    )
  })

  test('property: a message with an id that names nothing is refused, however deep it is inside', () => {
    const isId = (value: unknown): boolean => value === W || value === OBJECT
    const places = all.flatMap(message => placesIn(message, isId).map(path => ({ message, path })))
    const evil = fc.constantFrom('x', `${W}x`, W.toUpperCase().replace(/^./, 'A'), W.slice(1), `${OBJECT}\n`, `${W}${'f'.repeat(16)}`)
    fc.assert(
      fc.property(fc.constantFrom(...places), evil, ({ message, path }, id) => {
        // Its own place refuses that one, in words.
        if (message.is === 'linkHello') return
        const copy = structuredClone(message)
        replaceAt(copy, path, id)
        assert.ok(decodeControl(encode(copy)) instanceof WireError, `${message.is}.${path.join('.')} = ${id}`)
      }),
      { numRuns: 2000 },
    )
  })

  test('nobody asks for more workers of a class than an owner wants at once', () => {
    const { wantMax } = limits
    for (const [count, isFine] of [
      [wantMax, true],
      [wantMax + 1, false],
      [0, true],
    ] as const) {
      for (const message of [
        { ...messages.want, count },
        { ...messages.wantRefused, count },
        { ...messages.spill, counts: [count] },
        { ...messages.beat, demand: [{ resources: {}, count }] },
      ])
        assert.equal(!(decodeControl(encode(message)) instanceof WireError), isFine, `${message.is} ${count}`)
    }
  })

  test('what was read can be written: nothing is nested deeper than that, also inside fields that nobody looks at', () => {
    const nested = (levels: number): unknown => (levels === 0 ? 1 : [nested(levels - 1)])
    const told = decodeControl(encode({ ...messages.told, rows: nested(31) }))
    assert.ok(!(told instanceof WireError))
    const forwarded = decodeControl(encodeControl({ is: 'deliver', to: W, message: told }))
    assert.ok(!(forwarded instanceof WireError))
    for (const levels of [32, 99, 101, 1000]) {
      const offences = [
        { ...messages.told, rows: nested(levels) },
        { ...messages.collect, more: nested(levels) },
        { ...messages.want, class: { ...class_, more: nested(levels) } },
      ]
      for (const offence of offences) assert.ok(decodeControl(encode(offence, { maxDepth: 2000 })) instanceof WireError, `${levels}`)
    }
  })

  test('records inside are checked as well, and lists to the last element', () => {
    const offences = [
      { ...messages.want, class: { ...class_, key: 7 } },
      { ...messages.want, class: { ...class_, environment: { ...environment, envVars: { A: 1 } } } },
      { ...messages.actorCreate, spec: { ...spec, environment: { ...environment, preload: [null] } } },
      { ...messages.want, class: { ...class_, resources: { CPU: 'all' } } },
      { ...messages.want, class: { ...class_, where: { ...where, labels: { zone: 1 } } } },
      {
        ...messages.want,
        class: { ...class_, where: { ...where, strategy: { is: 'group', groupId: OBJECT, bundle: '0', capture: true } } },
      },
      { ...messages.want, class: { ...class_, where: { ...where, strategy: { is: 'constructor' } } } },
      { ...messages.want, class: { ...class_, near: 7 } },
      { ...messages.want, class: { ...class_, where: { ...where, labels: { zone: 1 } } } },
      {
        ...messages.want,
        class: { ...class_, where: { ...where, strategy: { is: 'group', groupId: OBJECT, bundle: '0', capture: true } } },
      },
      { ...messages.want, class: { ...class_, where: { ...where, strategy: { is: 'constructor' } } } },
      { ...messages.want, class: { ...class_, near: 7 } },
      { ...messages.workerDied, death: { ...death, stderrTail: null } },
      { ...messages.actorState, view: { ...view, shape: 'x' } },
      { ...messages.actorCreate, spec: { ...spec, args: null } },
      { ...messages.borrow, seqs: [1, '2'] },
      { ...messages.grant, gpuIds: [0] },
      { ...messages.view, nodes: [node, { ...node, total: null }] },
      { ...messages.watching, actors: [[OBJECT]] },
      { ...messages.toHead, event: { is: 'processDied', workerId: W } },
      { ...messages.toNode, event: { is: 'unknown' } },
      { ...messages.forHead, message: { is: 'actorWatch' } },
      { ...messages.forHead, message: messages.forHead },
      { ...messages.pull, id: 'x' },
      { ...messages.free, ids: [OBJECT, OBJECT.slice(1)] },
    ]
    for (const offence of offences) assert.ok(decodeControl(encode(offence)) instanceof WireError, JSON.stringify(offence))
  })

  test('property: any bytes give a message or a WireError, and never throw', () => {
    const mutated = fc
      .tuple(fc.constantFrom(...all), fc.array(fc.tuple(fc.nat(), fc.nat(255)), { minLength: 1, maxLength: 4 }), fc.nat())
      .map(([message, changes, cut]) => {
        const bytes = encodeControl(message).slice()
        for (const [at, to] of changes) bytes[at % bytes.length] = to
        return cut % 3 === 0 ? bytes.slice(0, cut % bytes.length) : bytes
      })
    const anything = fc.oneof(
      fc.uint8Array({ maxLength: 200 }),
      mutated,
      fc.anything().map(value => safely(value)),
    )
    fc.assert(
      fc.property(anything, bytes => {
        const decoded = decodeControl(bytes)
        assert.ok(decoded instanceof WireError || Object.hasOwn(messages, decoded.is))
      }),
      { numRuns: 2000 },
    )
  })

  test('names of the prototype are not messages, nor what cannot become a name', () => {
    for (const is of ['constructor', '__proto__', 'toString', null, 3, ['want'], { toString: 1, valueOf: 1 }])
      assert.ok(decodeControl(encode({ is })) instanceof WireError)
  })
})

function safely(value: unknown): Uint8Array {
  try {
    return encode(value)
  } catch {
    return new Uint8Array(0)
  }
}
