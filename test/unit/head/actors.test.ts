// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { toAmounts } from '#lib/core/resources.js'
import { limits } from '#lib/options.js'
import type { ActorSpec, ActorView, WorkerId } from '#lib/wire/messages.js'
import { actorSpec, FakeCluster, type MessageOf, workerIdOf } from '../../fakes/cluster.js'

class Actors extends FakeCluster {
  readonly id = idOf(this.driver, 1)

  static override started(options: ConstructorParameters<typeof FakeCluster>[0] = {}): Actors {
    const cluster = new Actors(options)
    cluster.event({ is: 'tick' })
    cluster.hello(cluster.driver, 'driver', 1)
    cluster.settle()
    return cluster
  }

  create(more: Partial<ActorSpec> = {}, from = this.driver, actorId = this.id): void {
    this.from(from, { is: 'actorCreate', spec: actorSpec(actorId, more) })
    this.settle()
  }

  /** The constructor of what was last placed returns. */
  construct(error: Uint8Array | null = null): void {
    const start = this.sent.findLast(each => each.message.is === 'actorStart') as { to: WorkerId; message: MessageOf<'actorStart'> }
    this.from(start.to, { is: 'actorStarted', actorId: start.message.spec.actorId, incarnation: start.message.incarnation, error })
  }

  alive(more: Partial<ActorSpec> = {}): WorkerId {
    this.create(more)
    this.construct()
    assert.equal(this.view()?.phase, 'alive')
    return this.view()?.workerId as WorkerId
  }

  view(to = this.driver, actorId = this.id): ActorView | undefined {
    return this.all('actorState', to).findLast(state => state.actorId === actorId)?.view
  }

  cause(to = this.driver, actorId = this.id): string {
    assert.equal(this.view(to, actorId)?.phase, 'dead')
    return new TextDecoder().decode(this.view(to, actorId)?.deathCause ?? new Uint8Array(0))
  }

  phases(): string[] {
    return this.all('actorState', this.driver)
      .filter(state => state.actorId === this.id)
      .map(state => state.view.phase)
  }

  /** A second process that may own actors. */
  other(): WorkerId {
    const id = workerIdOf(99)
    this.hello(id, 'driver', 99)
    return id
  }
}

suite('actors', () => {
  test('created, placed, constructed: whoever created or watches it hears of each', () => {
    const cluster = Actors.started()
    cluster.alive()
    assert.deepEqual(cluster.phases(), ['pending', 'starting', 'alive'])
    const other = cluster.other()
    cluster.from(other, { is: 'actorWatch', actorId: cluster.id })
    assert.equal(cluster.view(other)?.phase, 'alive')
    assert.equal(cluster.view(other)?.nodeId, 'aaaaaaaaaa')
  })

  test('a default actor needs a node with a CPU and takes none of it', () => {
    const cluster = Actors.started()
    cluster.want(cluster.driver, { CPU: 2 })
    cluster.alive()
    assert.equal(cluster.available('CPU'), 0)
    const none = Actors.started({ resources: { disk: 1 }, prestart: 1 })
    none.create()
    assert.match(none.last('warning')?.text ?? '', /Actor Counter needs \{CPU:1\}/)
    none.pass(limits.infeasibleAfterMs)
    assert.match(none.cause(), /^ActorUnschedulableError: Actor Counter needs/)
  })

  test('what it asks for it holds until it is dead, GPU ids too', () => {
    const cluster = Actors.started({ gpuIds: ['a', 'b'] })
    const amounts = toAmounts({ CPU: 1, GPU: 1 })
    const workerId = cluster.alive({ placement: amounts, held: amounts })
    assert.deepEqual(cluster.last('actorStart')?.gpuIds, ['a'])
    assert.deepEqual([cluster.available('CPU'), cluster.available('GPU')], [1, 1])
    cluster.from(cluster.driver, { is: 'actorKill', actorId: cluster.id, noRestart: true })
    assert.equal(cluster.available('GPU'), 1, 'the process is not dead yet')
    cluster.settle()
    assert.deepEqual([cluster.available('CPU'), cluster.available('GPU')], [2, 2])
    assert.equal(cluster.last('workerDied')?.workerId, workerId)
  })

  test('a constructor that throws is the end, restarts or not, and its process goes', () => {
    const cluster = Actors.started()
    cluster.create({ maxRestarts: 5 })
    cluster.construct(new TextEncoder().encode('thrown'))
    assert.equal(cluster.cause(), 'thrown')
    assert.equal(cluster.killed.size, 1)
    cluster.settle()
    assert.equal(cluster.all('actorStart').length, 1)
  })

  test('a crash is restarted while restarts are left, in a new incarnation', () => {
    const cluster = Actors.started()
    const first = cluster.alive({ maxRestarts: 1 })
    cluster.now += 5_000
    cluster.die(first)
    cluster.settle()
    cluster.construct()
    assert.deepEqual(cluster.phases(), ['pending', 'starting', 'alive', 'restarting', 'starting', 'alive'])
    assert.deepEqual([cluster.view()?.incarnation, cluster.view()?.restartsLeft], [1, 0])
    cluster.exit(cluster.keyOf(cluster.view()?.workerId as string), 3, null, 'last words')
    assert.match(cluster.cause(), /^ActorDiedError: Actor Counter died: .*exit code 3.*\nlast words/)
  })

  test('crashes right after the start are restarted with growing pauses', () => {
    const cluster = Actors.started()
    cluster.create({ maxRestarts: -1 })
    const starts = (): number => cluster.all('actorStart').length
    const crash = (): void => {
      cluster.die(cluster.view()?.workerId as string)
      cluster.settle()
    }
    crash()
    assert.equal(starts(), 2)
    crash()
    assert.equal(starts(), 2)
    cluster.pass(limits.actorRestartMs[0])
    cluster.settle()
    assert.equal(starts(), 3)
    crash()
    cluster.pass(limits.actorRestartMs[0])
    assert.equal(starts(), 3)
    cluster.pass(limits.actorRestartMs[0])
    cluster.settle()
    assert.equal(starts(), 4)
    assert.equal(cluster.view()?.restartsLeft, -1)
  })

  test('messages of an earlier incarnation are ignored', () => {
    const cluster = Actors.started()
    cluster.create({ maxRestarts: 1 })
    const first = cluster.view()?.workerId as string
    cluster.die(first)
    cluster.settle()
    cluster.from(cluster.view()?.workerId as string, { is: 'actorStarted', actorId: cluster.id, incarnation: 0, error: null })
    assert.equal(cluster.view()?.phase, 'starting')
    cluster.construct()
    assert.equal(cluster.view()?.phase, 'alive')
  })

  test('kill: dead at once in every phase, told once, twice is harmless', () => {
    for (const phase of ['pending', 'starting', 'alive', 'restarting'] as const) {
      const cluster = Actors.started({ resources: { CPU: 1, disk: 1 } })
      const held = toAmounts({ disk: 1 })
      if (phase === 'pending') cluster.want(cluster.driver, { disk: 1 })
      cluster.create({ maxRestarts: 3, held, name: 'it' })
      if (phase === 'alive' || phase === 'restarting') cluster.construct()
      if (phase === 'restarting') {
        const worker = cluster.view()?.workerId as string
        cluster.want(cluster.driver, { disk: 1 })
        cluster.die(worker)
      }
      assert.equal(cluster.view()?.phase, phase)
      for (let i = 0; i < 2; i++) cluster.from(cluster.driver, { is: 'actorKill', actorId: cluster.id, noRestart: true })
      assert.match(cluster.cause(), /killed with kill\(\)/)
      assert.equal(cluster.phases().filter(each => each === 'dead').length, 1)
      cluster.settle()
      for (const grant of cluster.all('grant')) cluster.giveBack(grant)
      assert.equal(cluster.available('disk'), 1)
      cluster.from(cluster.driver, { is: 'actorByName', request: 1, name: 'it', namespace: 'default' })
      assert.equal(cluster.last('actorNamed')?.view, null)
    }
  })

  test('kill with restart costs one restart', () => {
    const cluster = Actors.started()
    cluster.alive({ maxRestarts: 1 })
    const kill = (): void => {
      cluster.from(cluster.driver, { is: 'actorKill', actorId: cluster.id, noRestart: false })
      cluster.settle()
    }
    kill()
    assert.equal(cluster.view()?.phase, 'starting')
    kill()
    assert.match(cluster.cause(), /killed with kill/)
  })

  test('out of scope: it finishes and leaves, and is killed when that takes too long', () => {
    const cluster = Actors.started()
    const worker = cluster.alive({ maxRestarts: 5 })
    cluster.from(cluster.driver, { is: 'actorDrop', actorId: cluster.id })
    assert.equal(cluster.all('actorStop', worker).length, 1)
    assert.equal(cluster.killed.size, 0)
    cluster.pass(limits.actorStopMs)
    assert.equal(cluster.killed.size, 1)
    cluster.settle()
    assert.match(cluster.cause(), /out of scope/)
    assert.equal(cluster.all('actorStart').length, 1)
  })

  test('only its creator drops an actor, and nobody a detached one', () => {
    const cluster = Actors.started()
    cluster.alive({ detached: true, name: 'd' })
    cluster.from(cluster.other(), { is: 'actorDrop', actorId: cluster.id })
    cluster.from(cluster.driver, { is: 'actorDrop', actorId: cluster.id })
    assert.equal(cluster.all('actorStop').length, 0)
  })

  test('exitActor: dead at once, never restarted', () => {
    const cluster = Actors.started()
    const worker = cluster.alive({ maxRestarts: 5 })
    cluster.from(worker, { is: 'actorExited', actorId: cluster.id, incarnation: 0 })
    assert.match(cluster.cause(), /exitActor/)
    cluster.die(worker, 0)
    cluster.settle()
    assert.equal(cluster.all('actorStart').length, 1)
  })

  test('an actor that called exitActor and does not end is killed', () => {
    const cluster = Actors.started()
    const worker = cluster.alive()
    cluster.from(worker, { is: 'actorExited', actorId: cluster.id, incarnation: 0 })
    cluster.pass(limits.actorStopMs)
    assert.ok(cluster.killed.has(cluster.keyOf(worker)))
  })

  test('its owner takes it along, except when it is detached', () => {
    const cluster = Actors.started()
    const owner = cluster.other()
    const [mine, detached] = [idOf(owner, 1), idOf(owner, 2)]
    cluster.create({ maxRestarts: -1 }, owner, mine)
    cluster.create({ detached: true, name: 'd' }, owner, detached)
    for (const actorId of [mine, detached]) cluster.from(cluster.driver, { is: 'actorWatch', actorId })
    cluster.event({ is: 'peerClosed', workerId: owner, reason: 'died' })
    cluster.settle()
    assert.match(cluster.cause(cluster.driver, mine), /died with its owner/)
    assert.equal(cluster.view(cluster.driver, detached)?.phase, 'starting')
  })

  test('a name is one living actor in its namespace', () => {
    const cluster = Actors.started()
    cluster.create({ name: 'counter' })
    const again = idOf(cluster.driver, 2)
    cluster.create({ name: 'counter' }, cluster.driver, again)
    assert.match(cluster.cause(cluster.driver, again), /^ActorNameTakenError: .*"counter".*"default"/)
    const elsewhere = idOf(cluster.driver, 3)
    cluster.create({ name: 'counter', namespace: 'other' }, cluster.driver, elsewhere)
    assert.equal(cluster.view(cluster.driver, elsewhere)?.phase, 'starting')
    cluster.from(cluster.driver, { is: 'actorByName', request: 5, name: 'counter', namespace: 'default' })
    assert.equal(cluster.last('actorNamed')?.view?.actorId, cluster.id)
    cluster.from(cluster.driver, { is: 'actorKill', actorId: cluster.id, noRestart: true })
    const third = idOf(cluster.driver, 4)
    cluster.create({ name: 'counter' }, cluster.driver, third)
    assert.equal(cluster.view(cluster.driver, third)?.phase, 'starting')
  })

  test('getIfExists: the id that was asked for stands for the actor that has the name', () => {
    const cluster = Actors.started()
    cluster.alive({ name: 'one' })
    const other = cluster.other()
    const alias = idOf(other, 1)
    cluster.create({ name: 'one', getIfExists: true }, other, alias)
    assert.equal(cluster.all('actorStart').length, 1)
    assert.deepEqual([cluster.view(other, alias)?.actorId, cluster.view(other, alias)?.phase], [cluster.id, 'alive'])
    cluster.from(cluster.driver, { is: 'actorWatch', actorId: alias })
    assert.equal(cluster.view(cluster.driver, alias)?.actorId, cluster.id)
    cluster.from(other, { is: 'actorKill', actorId: alias, noRestart: true })
    assert.match(cluster.cause(other, alias), /killed/)
    assert.match(cluster.cause(cluster.driver, alias), /killed/)
    assert.match(cluster.cause(), /killed/)
  })

  test('who asks about an actor before it is created hears of it then, or that it never will be', () => {
    const cluster = Actors.started()
    const other = cluster.other()
    const [later, failed, dropped] = [idOf(other, 1), idOf(other, 2), idOf(other, 3)]
    for (const actorId of [later, failed, dropped]) cluster.from(cluster.driver, { is: 'actorWatch', actorId })
    assert.equal(cluster.all('actorState').length, 0)
    cluster.create({}, other, later)
    assert.equal(cluster.view(cluster.driver, later)?.phase, 'starting')
    cluster.from(other, { is: 'actorStarted', actorId: failed, incarnation: 0, error: new TextEncoder().encode('argument failed') })
    assert.equal(cluster.cause(cluster.driver, failed), 'argument failed')
    cluster.from(other, { is: 'actorDrop', actorId: dropped })
    assert.match(cluster.cause(cluster.driver, dropped), /^ActorDiedError/)
  })

  test('who asks about an actor of a process that is gone hears that at once', () => {
    const cluster = Actors.started()
    cluster.from(cluster.driver, { is: 'actorWatch', actorId: idOf(workerIdOf(50), 1) })
    assert.match(cluster.cause(cluster.driver, idOf(workerIdOf(50), 1)), /the process that created it ended/)
  })

  test('an actor killed before it is created is never placed', () => {
    const cluster = Actors.started()
    cluster.from(cluster.driver, { is: 'actorKill', actorId: cluster.id, noRestart: true })
    cluster.create()
    assert.match(cluster.cause(), /killed/)
    assert.equal(cluster.all('actorStart').length, 0)
  })

  test('rows of the state API', () => {
    const cluster = Actors.started()
    cluster.alive({ name: 'n' })
    cluster.from(cluster.driver, { is: 'query', request: 1, what: 'actors', argument: '' })
    const [row] = cluster.all('answer').at(-1)!.rows as Record<string, unknown>[]
    assert.deepEqual([row?.name, row?.state, row?.numRestarts, row?.className], ['n', 'alive', 0, 'Counter'])
  })
})

function idOf(owner: WorkerId, seq: number): string {
  return owner + seq.toString(16).padStart(16, '0')
}
