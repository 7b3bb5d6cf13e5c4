// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import fc from 'fast-check'
import { type DeviceShare, Devices } from '#lib/core/node/devices.js'
import { STEPS } from '#lib/core/resources.js'

const half = STEPS / 2

suite('devices', () => {
  test('fractions fill one device before the next', () => {
    const devices = new Devices(['0', '1'])
    const ids = [half, half, half].map(amount => devices.idsOf(devices.take(amount) as DeviceShare))
    assert.deepEqual(ids, [['0'], ['0'], ['1']])
  })

  test('a fraction takes the fullest device it fits on', () => {
    const devices = new Devices(['0', '1'])
    devices.take(0.3 * STEPS)
    devices.take(0.8 * STEPS)
    assert.deepEqual(devices.idsOf(devices.take(0.2 * STEPS) as DeviceShare), ['1'])
  })

  test('a fraction never spans devices', () => {
    const devices = new Devices(['0', '1'])
    devices.take(0.6 * STEPS)
    devices.take(0.6 * STEPS)
    assert.equal(devices.take(half), null)
  })

  test('more than one is whole devices, and those must be free', () => {
    const devices = new Devices(['GPU-a', 'GPU-b', 'GPU-c'])
    const share = devices.take(1) as DeviceShare
    assert.equal(devices.take(3 * STEPS), null)
    assert.deepEqual(devices.idsOf(devices.take(2 * STEPS) as DeviceShare), ['GPU-b', 'GPU-c'])
    devices.give(share)
    assert.deepEqual(devices.idsOf(devices.take(STEPS) as DeviceShare), ['GPU-a'])
  })

  test('what is impossible is known from the start', () => {
    const devices = new Devices(['0', '1'])
    assert.equal(devices.possible(2 * STEPS), true)
    assert.equal(devices.possible(3 * STEPS), false)
    assert.equal(devices.possible(1.5 * STEPS), false)
    assert.equal(new Devices([]).possible(1), false)
  })

  test('property: any takes and gives leave every device within its bounds, and all free in the end', () => {
    const amount = fc.oneof(
      fc.integer({ min: 1, max: STEPS }),
      fc.integer({ min: 1, max: 4 }).map(count => count * STEPS),
    )
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 4 }), fc.array(fc.oneof(amount, fc.constant(null)), { maxLength: 60 }), (count, steps) => {
        const devices = new Devices(Array.from({ length: count }, (_, index) => `${index}`))
        const held: DeviceShare[] = []
        for (const step of steps) {
          const share = step === null ? null : devices.take(step)
          if (step === null) devices.give(held.shift() ?? [])
          else if (share !== null) {
            assert.equal(
              share.reduce((sum, each) => sum + each.amount, 0),
              step,
            )
            assert.equal(share.length, step > STEPS ? step / STEPS : 1)
            held.push(share)
          }
          devices.invariants()
        }
        for (const share of held) devices.give(share)
        for (let index = 0; index < count; index++) assert.equal(devices.free(index), STEPS)
      }),
    )
  })
})
