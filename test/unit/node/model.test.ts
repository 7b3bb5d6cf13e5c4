// SPDX-License-Identifier: Apache-2.0
// The scheduler, the devices and the pool under random owners, against what must always hold.
import assert from 'node:assert/strict'
import fc from 'fast-check'
import { STEPS } from '#lib/core/resources.js'
import { limits } from '#lib/options.js'
import { environmentOf, FakeCluster, type MessageOf, workerIdOf } from '../../fakes/cluster.js'

const TOTAL = { CPU: 4, disk: 2 }
const GPUS = ['0', '1', '2']
const OWNERS = [1, 90, 91].map(workerIdOf)

/** None; one that is ready at once; one that has to be set up. */
const ENVIRONMENTS = [undefined, environmentOf('plain', { envVars: { A: '1' } }), environmentOf('packed', { packages: ['x'] })]

const needs = fc.record(
  {
    CPU: fc.constantFrom(0.5, 1, 2, 4),
    GPU: fc.constantFrom(0.25, 0.5, 1, 2),
    disk: fc.constantFrom(0.3, 1, 2),
  },
  { requiredKeys: [] },
)
const step = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({
      is: fc.constant('want' as const),
      owner: fc.nat(2),
      needs,
      count: fc.nat(4),
      fresh: fc.boolean(),
      env: fc.constantFrom(...ENVIRONMENTS),
    }),
  },
  { weight: 6, arbitrary: fc.record({ is: fc.constantFrom('return', 'block', 'unblock', 'die' as const), which: fc.nat(20) }) },
  { weight: 2, arbitrary: fc.record({ is: fc.constant('pass' as const), ms: fc.integer({ min: 1, max: 3000 }) }) },
  { weight: 3, arbitrary: fc.record({ is: fc.constant('settle' as const) }) },
  { weight: 2, arbitrary: fc.record({ is: fc.constant('setUp' as const), works: fc.boolean() }) },
  { weight: 1, arbitrary: fc.record({ is: fc.constant('ownerDies' as const), owner: fc.integer({ min: 1, max: 2 }) }) },
)

type Step = typeof step extends fc.Arbitrary<infer Each> ? Each : never

/** The owners' side: what is leased, by what the node told. */
class Model {
  readonly cluster = FakeCluster.started({ resources: TOTAL, gpuIds: GPUS })
  readonly held = new Map<number, { owner: string; grant: MessageOf<'grant'>; need: Record<string, number>; phase: string }>()
  readonly needOf = new Map<string, Record<string, number>>()
  #seen = 0

  constructor() {
    for (const owner of OWNERS.slice(1)) this.cluster.hello(owner, 'driver', 1)
  }

  run(event: Step): void {
    const { cluster } = this
    if (event.is === 'want') {
      const owner = OWNERS[event.owner] as string
      const environment = event.env
      cluster.want(owner, event.needs, event.count, { freshWorker: event.fresh, ...(environment && { environment }) })
      this.needOf.set(JSON.stringify([event.needs, event.fresh, ...(environment ? [environment.key] : [])]), event.needs)
    } else if (event.is === 'pass') cluster.pass(event.ms)
    else if (event.is === 'settle') cluster.settle()
    else if (event.is === 'setUp') this.#setUp(event.works)
    else if (event.is === 'ownerDies') this.#ownerDies(OWNERS[event.owner] as string)
    else this.#onLease(event.is, event.which)
    this.check()
  }

  #setUp(works: boolean): void {
    const environment = this.cluster.setUps.shift()
    if (environment === undefined) return
    const { key } = environment
    this.cluster.event(works ? { is: 'environmentReady', key } : { is: 'environmentFailed', key, field: 'runtimeEnv.npm', message: 'no' })
  }

  #onLease(is: string, which: number): void {
    const lease = [...this.held.values()][which % Math.max(1, this.held.size)]
    if (lease === undefined) return
    const { leaseId, workerId } = lease.grant
    if (is === 'return') this.giveBack(leaseId)
    else if (is === 'die') {
      this.held.delete(leaseId)
      this.cluster.die(workerId)
    } else {
      if (is === 'block') lease.phase = 'blocked'
      else if (lease.phase === 'blocked') lease.phase = 'resuming'
      this.cluster.from(workerId, is === 'block' ? { is: 'blocked', leaseId } : { is: 'unblock', leaseId })
    }
  }

  giveBack(leaseId: number): void {
    const { owner } = this.held.get(leaseId) as { owner: string }
    this.held.delete(leaseId)
    this.cluster.from(owner, { is: 'leaseReturn', leaseId, retire: false })
  }

  #ownerDies(owner: string): void {
    this.cluster.event({ is: 'peerClosed', workerId: owner, reason: 'died' })
    this.cluster.settle()
    for (const [leaseId, lease] of this.held) if (lease.owner === owner) this.held.delete(leaseId)
    this.cluster.hello(owner, 'driver', 1)
  }

  /** Reads what was sent since, and compares the books. */
  check(): void {
    for (; this.#seen < this.cluster.sent.length; this.#seen++) {
      const { to, message } = this.cluster.sent[this.#seen] as { to: string; message: MessageOf<'grant'> | MessageOf<'resumed'> }
      if (message.is === 'grant') {
        const need = this.needOf.get(message.classKey) as Record<string, number>
        const child = [...this.cluster.children.values()].find(each => each.workerId === message.workerId)
        const [, , environment = null] = JSON.parse(message.classKey) as [unknown, boolean, string?]
        assert.equal(child?.environment?.key ?? null, environment, 'a worker serves another environment')
        this.held.set(message.leaseId, { owner: to, grant: message, need, phase: 'running' })
      }
      if (message.is === 'resumed') {
        const lease = this.held.get(message.leaseId)
        if (lease !== undefined) lease.phase = 'running'
      }
    }
    const [used, byDevice] = this.#sums()
    for (const [name, total] of Object.entries({ ...TOTAL, GPU: GPUS.length })) {
      assert.ok((used[name] ?? 0) <= total + 1e-9, `${used[name]} of ${total} ${name} are granted`)
      assert.ok(
        Math.abs(this.cluster.available(name) - (total - (used[name] ?? 0))) < 1e-9,
        `${name}: the node says ${this.cluster.available(name)}`,
      )
    }
    for (const [id, amount] of byDevice) assert.ok(amount <= 1 + 1e-9, `${amount} of device ${id} are granted`)
  }

  #sums(): [Record<string, number>, Map<string, number>] {
    const used: Record<string, number> = {}
    const byDevice = new Map<string, number>()
    for (const { need, grant, phase } of this.held.values()) {
      for (const [name, amount] of Object.entries(need)) if (name !== 'CPU' || phase === 'running') used[name] = (used[name] ?? 0) + amount
      for (const id of grant.gpuIds) byDevice.set(id, (byDevice.get(id) ?? 0) + Math.min(1, need.GPU ?? 0))
      assert.equal(grant.gpuIds.length, Math.ceil(need.GPU ?? 0))
    }
    return [used, byDevice]
  }
}

suite('the scheduler against a model', () => {
  test('property: nothing beyond the total is granted, no device more than once, each in its environment, and everything comes back', () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), steps => {
        const model = new Model()
        for (const event of steps) model.run(event)
        for (const owner of OWNERS) for (const key of model.needOf.keys()) withdraw(model.cluster, owner, key)
        model.cluster.settle()
        model.check()
        for (const leaseId of [...model.held.keys()]) model.giveBack(leaseId)
        for (const [name, total] of Object.entries({ ...TOTAL, GPU: GPUS.length })) assert.equal(model.cluster.available(name), total)
      }),
      { numRuns: 150 },
    )
  })

  test('property: every request is served while leases are returned, whatever else is wanted', () => {
    const owners = fc.array(fc.record({ needs, count: fc.integer({ min: 1, max: 50 }) }), { minLength: 2, maxLength: 6 })
    fc.assert(
      fc.property(owners, all => {
        const cluster = FakeCluster.started({ resources: TOTAL, gpuIds: GPUS })
        const ids = all.map((_, index) => workerIdOf(90 + index))
        all.forEach(({ needs, count }, index) => {
          cluster.hello(ids[index] as string, 'driver', 1)
          cluster.want(ids[index] as string, needs, count)
        })
        const unserved = new Set(ids)
        const running: { to: string; grant: MessageOf<'grant'> }[] = []
        for (let seen = 0, round = 0; unserved.size > 0; round++) {
          assert.ok(round < 5_000, `never served: ${[...unserved]}`)
          cluster.settle()
          for (; seen < cluster.sent.length; seen++) {
            const { to, message } = cluster.sent[seen] as { to: string; message: MessageOf<'grant'> }
            if (message.is !== 'grant') continue
            running.push({ to, grant: message })
            unserved.delete(to)
            // Whoever was served wants as much again, for ever.
            const index = ids.indexOf(to)
            cluster.want(to, all[index]?.needs ?? {}, all[index]?.count)
          }
          // A task takes 60 ms; one ends each 20 ms.
          cluster.pass(20)
          if (running.length > 2 || round % 3 === 0) {
            const done = running.shift()
            if (done !== undefined) cluster.from(done.to, { is: 'leaseReturn', leaseId: done.grant.leaseId, retire: false })
          }
        }
      }),
      { numRuns: 40 },
    )
  })

  test('amounts are exact: ten thousand tenths of a thousandth make one', () => {
    const cluster = FakeCluster.started({ resources: { CPU: 1 }, prestart: 0 })
    assert.equal(limits.workersMax < STEPS, true)
    cluster.want(cluster.driver, { CPU: 0.0001 }, 300)
    for (let i = 0; i < 30; i++) cluster.settle()
    assert.equal(cluster.all('grant').length, 300)
    assert.equal(cluster.available('CPU'), 0.97)
    for (const grant of cluster.all('grant')) cluster.giveBack(grant)
    assert.equal(cluster.available('CPU'), 1)
  })
})

function withdraw(cluster: FakeCluster, owner: string, key: string): void {
  const [needs, fresh, environmentKey] = JSON.parse(key) as [Record<string, number>, boolean, string?]
  const environment = ENVIRONMENTS.find(each => each?.key === environmentKey)
  cluster.want(owner, needs, 0, { freshWorker: fresh, ...(environment && { environment }) })
}
