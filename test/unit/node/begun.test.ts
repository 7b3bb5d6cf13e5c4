// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { limits } from '#lib/options.js'
import { classOf, FakeCluster, type MessageOf } from '../../fakes/cluster.js'
import { Random } from '../../sim/random.js'

/** Programs of tasks that each wait for one of the next level; their messages in any order, but those of one process. */
class Chains {
  readonly cluster: FakeCluster
  readonly #said = new Map<string, (() => void)[]>()
  readonly #tasks = new Map<string, { level: number; owner: string; grant: MessageOf<'grant'> }>()
  #seen = 0
  #begun = 0
  done = 0
  most = 0

  constructor(
    readonly cpus: number,
    readonly depth: number,
    readonly roots: number,
    readonly random: Random,
  ) {
    this.cluster = FakeCluster.started({ resources: { CPU: cpus } })
    this.cluster.want(this.cluster.driver, { CPU: 1 }, roots)
  }

  run(): void {
    while (this.done < this.roots) {
      this.#hear()
      const next = this.random.pick([...this.#said].filter(([, queue]) => queue.length > 0))
      const starting = [...this.cluster.children].filter(([, child]) => child.workerId === null)
      if (next === undefined && starting.length === 0) assert.fail(`nothing can go on: ${this.done} of ${this.roots} are done`)
      if (next === undefined || (starting.length > 0 && this.random.chance(0.3))) this.cluster.start(starting[0]?.[0] as string)
      else next[1].shift()?.()
      this.cluster.pass(this.random.int(3))
      this.most = Math.max(this.most, this.cluster.children.size)
    }
  }

  #says(process: string, what: () => void): void {
    const queue = this.#said.get(process)
    if (queue === undefined) this.#said.set(process, [what])
    else queue.push(what)
  }

  #hear(): void {
    for (; this.#seen < this.cluster.sent.length; this.#seen++) {
      const { to, message } = this.cluster.sent[this.#seen] as (typeof this.cluster.sent)[number]
      if (message.is === 'resumed') this.#says(to, () => this.#ends(to))
      if (message.is !== 'grant') continue
      const level = (this.#tasks.get(to)?.level ?? 0) + 1
      this.#tasks.set(message.workerId, { level, owner: to, grant: message })
      this.#begins(message.workerId)
    }
  }

  #begins(worker: string): void {
    const { level, owner, grant } = this.#tasks.get(worker) as { level: number; owner: string; grant: MessageOf<'grant'> }
    if (owner === this.cluster.driver) this.#begun++
    if (level === this.depth) return this.#says(worker, () => this.#ends(worker))
    this.#says(worker, () => this.cluster.want(worker, { CPU: 1 }))
    this.#says(worker, () => this.cluster.from(worker, { is: 'blocked', leaseId: grant.leaseId }))
  }

  /** The driver's next runs on the same lease; a task that has what it waited for goes on, and gives its child's lease back. */
  #ends(worker: string): void {
    const { owner, grant } = this.#tasks.get(worker) as { owner: string; grant: MessageOf<'grant'> }
    if (owner !== this.cluster.driver) {
      const leaseId = this.#tasks.get(owner)?.grant.leaseId as number
      this.#says(owner, () => this.cluster.from(owner, { is: 'unblock', leaseId }))
      return this.#says(owner, () => this.cluster.giveBack(grant, owner))
    }
    this.done++
    if (this.#begun < this.roots) this.#begins(worker)
    else this.#says(owner, () => this.cluster.giveBack(grant))
  }
}

suite('what was begun is finished first', () => {
  for (const [cpus, depth] of [
    [1, 2],
    [1, 3],
    [1, 6],
    [2, 3],
    [4, 3],
  ] as const)
    test(`chains of ${depth} on ${cpus} CPUs take a process for each level and CPU, in any order of messages`, () => {
      for (let seed = 0; seed < 8; seed++) {
        const chains = new Chains(cpus, depth, 40, new Random(seed))
        chains.run()
        assert.ok(chains.most <= depth * cpus + cpus, `${chains.most} processes, seed ${seed}`)
      }
    })

  test('after eight children one of another class is served, and none of the same', () => {
    const cluster = FakeCluster.started({ resources: { CPU: 1 } })
    cluster.want(cluster.driver, { CPU: 1 }, 100)
    const parent = cluster.last('grant') as MessageOf<'grant'>
    cluster.want(parent.workerId, { CPU: 1, x: 0 }, 100)
    cluster.from(parent.workerId, { is: 'blocked', leaseId: parent.leaseId })
    serve(20)
    assert.equal(cluster.all('grant', cluster.driver).length, 1)
    cluster.want(cluster.driver, { CPU: 1, y: 0 }, 100)
    serve(20)
    const keys = cluster.all('grant', cluster.driver).map(each => each.classKey)
    assert.deepEqual([...new Set(keys.slice(1))], [classOf({ CPU: 1, y: 0 }).key])
    assert.ok(keys.length >= 3, `${keys.length - 1} of 20 went to others`)

    function serve(times: number): void {
      for (let n = 0; n < times; n++) {
        cluster.settle()
        const { to, message } = cluster.sent.findLast(each => each.message.is === 'grant') as { to: string; message: MessageOf<'grant'> }
        cluster.giveBack(message, to)
      }
      cluster.settle()
    }
  })

  test('what waits for children that lack something else lends its CPU to as many as there are CPUs, then to one more after ever longer', () => {
    const cluster = FakeCluster.started({ resources: { CPU: 2, lamp: 1 } })
    cluster.want(cluster.driver, { lamp: 1 })
    cluster.want(cluster.driver, { CPU: 1 }, 100)
    const waiting = (): number => {
      for (;;) {
        cluster.settle()
        const next = cluster.all('grant', cluster.driver).find(({ leaseId }, i) => i > 0 && !blocked.has(leaseId))
        if (next === undefined) return blocked.size
        blocked.add(next.leaseId)
        cluster.want(next.workerId, { lamp: 1 })
        cluster.from(next.workerId, { is: 'blocked', leaseId: next.leaseId })
      }
    }
    const blocked = new Set<number>()
    // Two that wait, and one that ran when the second began to.
    assert.equal(waiting(), 3)
    const [first, longest] = limits.beginAnewMs
    for (let n = 3, pause = 2 * first; n < 9; n++, pause = Math.min(2 * pause, longest)) {
      cluster.pass(pause - 1)
      assert.equal(waiting(), n)
      cluster.pass(1)
      assert.equal(waiting(), n + 1)
    }
  })
})
