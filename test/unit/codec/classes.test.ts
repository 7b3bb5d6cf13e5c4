// SPDX-License-Identifier: Apache-2.0

import assert from 'node:assert/strict'
import { type CodecContext, Decoder, deregisterSerializer, registerSerializer } from '#lib/codec/value.js'
import { SerializationError, WireError } from '#lib/errors.js'
import { decode, encode, fakeFunctions, nothing, roundTrip } from './codecs.js'

let constructed = 0
class Point {
  x: number
  y: number
  constructor(x: number, y: number) {
    constructed++
    this.x = x
    this.y = y
  }
  get length(): number {
    return Math.hypot(this.x, this.y)
  }
}
class Node3 extends Point {
  parent: Node3 | null = null
  children: Node3[] = []
  set only(_: unknown) {
    throw new Error('a setter ran')
  }
}
class Bag extends Map<string, unknown> {
  label = 'bag'
}
class Stack extends Array<number> {
  top(): number {
    return this.at(-1)!
  }
}
class Vector extends Float64Array {
  norm(): number {
    return Math.hypot(...this)
  }
}
class Day extends Date {
  name = 'today'
}
class Money {
  #cents: number
  constructor(cents: number) {
    this.#cents = cents
  }
  get cents(): number {
    return this.#cents
  }
}
class Price extends Money {
  currency = 'EUR'
}
class Counted {
  static #count = 0
  n = Counted.#count++
}
class Secretive {
  #whisper(): number {
    return 1
  }
  ask(): number {
    return this.#whisper()
  }
}

const known: Record<string, Function> = { Point, Node3, Bag, Stack, Vector, Day, Money, Price, Counted, Secretive, helper }
const context: CodecContext = { references: null, functions: fakeFunctions(known) }
function helper(): string {
  return 'helped'
}

suite('codec: functions', () => {
  test('travel by the codec they are given to, once each', () => {
    const back = roundTrip({ helper, again: [helper], Point }, context)
    assert.equal(back.helper, helper)
    assert.equal(back.again[0], helper)
    assert.equal(back.Point, Point)
    assert.ok(encode([helper, helper, helper], context).length <= encode([helper], context).length + 16)
    assert.equal(roundTrip(helper, context), helper)
  })

  test('what they need is loaded first', async () => {
    const decoder = new Decoder({ references: null, functions: fakeFunctions(known, { helper: Promise.resolve() }) })
    assert.equal(decoder.prepare(encode([Point], context)), null)
    assert.equal(decoder.prepare(encode([1], context)), null)
    assert.equal(decoder.prepare(encode(5, context)), null)
    const loading = decoder.prepare(encode([helper, Point], context))
    assert.ok(loading instanceof Promise)
    assert.equal(await loading, undefined)
    const failing = new Decoder({ references: null, functions: fakeFunctions(known, { helper: Promise.reject(new Error('no module')) }) })
    await assert.rejects(failing.prepare(encode([helper], context))!, /no module/)
  })

  test('where there is no codec for them, they are refused, or a WireError', () => {
    assert.throws(
      () => encode({ f: [helper] }),
      error => error instanceof SerializationError && error.path === 'value.f[0]',
    )
    assert.throws(() => decode(encode([helper], context), nothing), WireError)
  })
})

suite('codec: instances of classes', () => {
  test('come back with their class and fields, without running the constructor', () => {
    const value = new Point(3, 4)
    const before = constructed
    const back = roundTrip({ value }, context).value
    assert.equal(constructed, before)
    assert.ok(back instanceof Point)
    assert.deepStrictEqual(back, value)
    assert.equal(back.length, 5)
  })

  test('may point at each other, and fields do not run setters', () => {
    const root = new Node3(0, 0)
    const leaf = new Node3(1, 1)
    leaf.parent = root
    root.children.push(leaf)
    Object.defineProperty(root, 'only', { value: 1, enumerable: true })
    const back = roundTrip(root, context)
    assert.equal(back.children[0]!.parent, back)
    assert.ok(back.children[0] instanceof Node3)
    assert.equal(back.only, 1)
  })

  test('of classes that extend built-in ones keep both sides', () => {
    const bag = new Bag([['a', 1]])
    bag.set('self', bag)
    const back = roundTrip(
      { bag, stack: new Stack(1, 2), vector: new Vector([3, 4]), day: new Day(1e12), large: new Vector(2000) },
      context,
      true,
    )
    assert.ok(back.bag instanceof Bag)
    assert.equal(back.bag.get('self'), back.bag)
    assert.equal(back.bag.label, 'bag')
    assert.equal(back.stack.top(), 2)
    assert.ok(back.stack instanceof Stack)
    assert.equal(back.vector.norm(), 5)
    assert.equal(back.day.getTime(), 1e12)
    assert.equal(back.day.name, 'today')
    assert.ok(back.large instanceof Vector)
    assert.equal(back.large.length, 2000)
  })

  test('with private fields are refused, also inherited ones, and say what to do', () => {
    for (const [value, field] of [
      [new Money(1), 'Money.#cents'],
      [new Price(1), 'Money.#cents'],
      [new Secretive(), 'Secretive.#whisper'],
    ] as const) {
      assert.throws(
        () => encode({ value }, context),
        (error: Error) =>
          error instanceof SerializationError &&
          error.path === 'value.value' &&
          error.message.includes(field) &&
          error.message.includes('registerSerializer'),
      )
    }
    assert.ok(roundTrip(new Counted(), context) instanceof Counted)
  })

  test('of a class that cannot travel are refused with their path', () => {
    class Local {
      a = 1
    }
    assert.throws(
      () => encode({ list: [new Local()] }, context),
      error => error instanceof SerializationError && error.path === 'value.list[0]',
    )
    assert.throws(() => encode(new Point(1, 2)), SerializationError)
  })

  test('of what is no class here are a WireError', () => {
    const arrow: CodecContext = { references: null, functions: fakeFunctions({ ...known, Point: () => {} }) }
    assert.throws(() => decode(encode([new Point(1, 2)], context), arrow), WireError)
    assert.throws(() => decode(encode([new Point(1, 2)], context), { references: null, functions: fakeFunctions({}) }), WireError)
  })
})

suite('codec: registered serializers', () => {
  teardown(() => {
    deregisterSerializer(Money)
    deregisterSerializer(Node3)
    deregisterSerializer(Point)
  })

  test('say how a class travels', () => {
    registerSerializer(Money, { name: 'test.Money', to: m => ({ cents: m.cents }), from: ({ cents }) => new Money(cents) })
    const money = new Money(250)
    const back = roundTrip({ a: money, b: [money] })
    assert.ok(back.a instanceof Money)
    assert.equal(back.a.cents, 250)
    assert.equal(back.a, back.b[0])
    assert.equal(deregisterSerializer(Money), true)
    assert.equal(deregisterSerializer(Money), false)
    assert.throws(() => encode(money), SerializationError)
  })

  test('hold for exactly that class', () => {
    registerSerializer(Money, { name: 'test.Money', to: m => m.cents, from: cents => new Money(cents) })
    assert.throws(() => encode(new Price(1), context), SerializationError)
  })

  test('missing where the value arrives: its own from is used, else it is an error that names it', () => {
    const from = (cents: number): Money => new Money(cents)
    known.from = from
    registerSerializer(Money, { name: 'test.Money', to: m => m.cents, from })
    const [with_, without] = [encode([new Money(9)], context), encode([new Money(9)])]
    deregisterSerializer(Money)
    assert.equal((decode(with_, context) as Money[])[0]!.cents, 9)
    assert.throws(
      () => decode(without, context),
      (error: Error) => error instanceof SerializationError && error.message.includes('test.Money'),
    )
    delete known.from
  })

  test('what they throw is told with the path, and with the name', () => {
    registerSerializer(Point, {
      name: 'test.Point',
      to: p => {
        if (p.x < 0) throw new Error('negative')
        return p.x
      },
      from: () => {
        throw new Error('broken')
      },
    })
    assert.throws(
      () => encode([new Point(-1, 0)]),
      (error: Error) => error instanceof SerializationError && error.path === 'value[0]' && (error.cause as Error).message === 'negative',
    )
    assert.throws(
      () => roundTrip(new Point(1, 0)),
      (error: Error) => error instanceof SerializationError && error.message.includes('test.Point'),
    )
  })

  test('a cycle through one is refused', () => {
    registerSerializer(Node3, {
      name: 'test.Node3',
      to: n => ({ children: n.children }),
      from: ({ children }) => Object.assign(new Node3(0, 0), { children }),
    })
    const fine = new Node3(0, 0)
    fine.children.push(new Node3(1, 1))
    assert.equal(roundTrip(fine).children.length, 1)
    fine.children.push(fine)
    assert.throws(() => encode(fine), /cycle/)
  })

  test('arguments are checked', () => {
    assert.throws(() => registerSerializer({} as never, { name: 'a', to: () => 1, from: () => ({}) }), TypeError)
    assert.throws(() => registerSerializer(Point, { name: '', to: () => 1, from: () => new Point(1, 1) }), TypeError)
    assert.throws(() => registerSerializer(Point, { name: 'a', to: 1, from: () => new Point(1, 1) } as never), TypeError)
    assert.throws(() => registerSerializer(Point, { name: 'a', to: () => 1, from: () => new Point(1, 1), extra: 1 } as never), /extra/)
  })
})
