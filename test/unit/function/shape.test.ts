// SPDX-License-Identifier: Apache-2.0
// biome-ignore-all lint/complexity/noArguments: functions that use it are told apart
import assert from 'node:assert/strict'
import { EventEmitter } from 'node:events'
import { type FunctionShape, shapeOf } from '#lib/codec/function.js'

const arity = (fn: Function): [number, number | null] => {
  const { requiredArgs, maxArgs } = shapeOf(fn)
  return [requiredArgs, maxArgs]
}

class Base {
  #x: number
  constructor(x: number, y = 2, ...more: number[]) {
    this.#x = x + y + more.length
  }
  get value(): number {
    return this.#x
  }
  add(a: number, b = 1): number {
    return a + b + this.#x
  }
  async wait(): Promise<void> {}
  *each(): Generator<number> {
    yield 1
  }
  sum(): number {
    return arguments.length
  }
  static create(): Base {
    return new Base(1)
  }
}

class Derived extends Base {
  field = 1
  override add(a: number): number {
    return a
  }
}

suite('the shape of a function', () => {
  test('counts arguments', () => {
    assert.deepEqual(
      arity(() => 0),
      [0, 0],
    )
    assert.deepEqual(
      arity((a: number) => a),
      [1, 1],
    )
    assert.deepEqual(
      arity((a: number, b = 1, c?: number) => [a, b, c]),
      [1, 3],
    )
    assert.deepEqual(
      arity((a: number, ...b: number[]) => [a, b]),
      [1, null],
    )
    assert.deepEqual(
      arity(({ a }: { a: number }, [b]: number[]) => [a, b]),
      [2, 2],
    )
    assert.deepEqual(
      arity(function (a: number) {
        return [a, arguments.length]
      }),
      [1, null],
    )
    assert.deepEqual(
      arity(function (a: number) {
        return () => [a, arguments.length]
      }),
      [1, null],
    )
    assert.deepEqual(
      arity((a: number) => [
        a,
        function () {
          return arguments.length
        },
      ]),
      [1, 1],
    )
    assert.deepEqual(
      arity(function (a: number, b = arguments.length) {
        return [a, b]
      }),
      [1, null],
    )
  })

  test('tells async, generators and classes apart', () => {
    const kind = ({ isAsync, isGenerator, isClass }: FunctionShape): boolean[] => [isAsync, isGenerator, isClass]
    assert.deepEqual(kind(shapeOf(() => 0)), [false, false, false])
    assert.deepEqual(kind(shapeOf(async () => 0)), [true, false, false])
    assert.deepEqual(
      kind(
        shapeOf(function* () {
          yield 0
        }),
      ),
      [false, true, false],
    )
    assert.deepEqual(
      kind(
        shapeOf(
          {
            async *each() {
              yield 0
            },
          }.each,
        ),
      ),
      [true, true, false],
    )
    assert.deepEqual(kind(shapeOf(Base)), [true, false, true])
    assert.deepEqual(
      kind(
        shapeOf(
          class {
            run() {
              return 0
            }
          },
        ),
      ),
      [false, false, true],
    )
    assert.equal(shapeOf(Base).name, 'Base')
    assert.equal(shapeOf(() => 0).methods, null)
  })

  test('of a class lists its methods, inherited ones included', () => {
    const { methods } = shapeOf(Derived)
    assert.deepEqual(Object.keys(methods!).sort(), ['add', 'each', 'sum', 'wait'])
    assert.deepEqual([methods!.add!.requiredArgs, methods!.add!.maxArgs], [1, 1])
    assert.deepEqual([shapeOf(Base).methods!.add!.requiredArgs, shapeOf(Base).methods!.add!.maxArgs], [1, 2])
    assert.equal(methods!.wait!.isAsync, true)
    assert.equal(methods!.each!.isGenerator, true)
    assert.equal(methods!.sum!.maxArgs, null)
  })

  test('of a class counts the arguments of its constructor, also an inherited one', () => {
    assert.deepEqual(arity(Base), [1, null])
    assert.deepEqual(
      arity(
        class {
          constructor(a: number, b = 1) {
            void [a, b]
          }
        },
      ),
      [1, 2],
    )
    assert.deepEqual(arity(class {}), [0, 0])
    assert.deepEqual(
      arity(
        class extends class {
          constructor(a: number) {
            void a
          }
        } {},
      ),
      [0, 1],
    )
    assert.deepEqual(arity(class extends Map {}), [0, null])
    assert.equal(shapeOf(class extends EventEmitter {}).methods!.emit!.maxArgs, null)
  })

  test('is refused for functions without source, with advice', () => {
    assert.throws(() => shapeOf(Math.max), { name: 'TypeError', message: /`max` is a native function.*pass an arrow function/ })
    assert.throws(() => shapeOf((() => 0).bind(null)), { name: 'TypeError', message: /bound function/ })
  })
})
