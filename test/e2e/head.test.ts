// SPDX-License-Identifier: Apache-2.0
// A head that is killed and started again while programs work, with each storage that outlives it.

import assert from 'node:assert/strict'
import {
  type ActorHandle,
  explain,
  get,
  getActor,
  init,
  NodeDiedError,
  nodes,
  type ObjectRef,
  placementGroup,
  remote,
  shutdown,
  state,
} from 'eagleray'
import { Cluster, waitFor } from 'eagleray/testing'
import { HEAD_PROGRAM } from '#lib/own-files.js'
import { startHead } from '#lib/run/cluster-start.js'
import { HEAD_ENV, type HeadSettings } from '#lib/run/head-settings.js'
import { launch, reportOf } from '#lib/run/launch.js'
import { RedisServer } from '../fakes/redis.js'

class Counter {
  n = 0
  add(): number {
    return ++this.n
  }
  pid(): number {
    return process.pid
  }
}

const NAMESPACE = 'head-test'

function headOn(storage: string): HeadSettings {
  return { host: '127.0.0.1', port: 0, storage, token: 'token', nodeDeadAfterMs: null, life: 'own' }
}

async function startOn(storage?: string): Promise<Cluster> {
  const cluster = await Cluster.start({ head: { numCpus: 1, ...(storage === undefined ? {} : { storage }) } })
  await cluster.addNode({ numCpus: 1, resources: { other: 4 } })
  await init({ address: cluster.address, namespace: NAMESPACE })
  return cluster
}

/** Kills the head in the middle of work and checks that nothing of it is lost. */
async function survives(cluster: Cluster, between: () => Promise<void>): Promise<void> {
  const Remote = remote(Counter)
  const add = remote((a: number, b: number) => a + b)
  const near = Remote.remote()
  const far = Remote.options({ resources: { other: 1 } }).remote()
  const kept = Remote.options({ name: 'kept', lifetime: 'detached' }).remote()
  const all = [near, far, kept]
  assert.deepEqual(await get(all.map(each => each.add.remote())), [1, 1, 1])
  const pids = await get(all.map(each => each.pid.remote()))

  await cluster.killHead()
  await between()
  assert.deepEqual(await get(all.map(each => each.add.remote())), [2, 2, 2], 'actors answer while it is away')
  assert.deepEqual(await get([1, 2, 3].map(n => add.remote(n, n))), [2, 4, 6], 'and tasks run')
  const late = Remote.remote()
  const asked = getActor('kept', { namespace: NAMESPACE })
  await cluster.restartHead()

  assert.equal(await get(late.add.remote()), 1, 'what was created meanwhile comes to be')
  assert.equal(await get(((await asked) as ActorHandle<Counter>).add.remote()), 3, 'names are still there')
  assert.deepEqual(await get(all.map(each => each.pid.remote())), pids, 'in the same processes')
  assert.equal((await nodes()).filter(node => node.alive).length, 2)
  assert.equal((await state.listActors()).filter(row => row.state === 'alive').length, 4)
  assert.equal((await state.listJobs()).filter(row => row.state === 'RUNNING').length, 1)
}

/** What this process prints to its standard error while `run` runs; `printed` is to be looked at meanwhile. */
async function withStderr<T>(run: (printed: () => string) => Promise<T>): Promise<T> {
  const { write } = process.stderr
  let text = ''
  process.stderr.write = (chunk: unknown) => {
    text += String(chunk)
    return true
  }
  try {
    return await run(() => text)
  } finally {
    process.stderr.write = write
  }
}

/** A driver with work for a head that is away is told, once, and explain() says it at once; and that it is back. */
async function saysSo(pattern: RegExp, away: () => Promise<void>, back: () => Promise<unknown>): Promise<void> {
  await withStderr(async printed => {
    await away()
    const call = remote(Counter).remote().add.remote() as ObjectRef<number>
    const group = placementGroup([{ CPU: 0.1 }]).ready()
    await waitFor(() => printed().includes('\n'), { timeoutMs: 30_000 })
    assert.match(printed(), pattern)
    const why = pattern.source.replace(/^\^eagleray: /, '')
    for (const [ref, what] of [
      [call, 'Counter.add waits for the actor, which is to be created'],
      [group, 'the placement group \\w+ is not there yet'],
    ] as const)
      assert.match((await explain(ref)).reason, new RegExp(`^${what}: ${why}`))
    await back()
    assert.deepEqual(await get([call, group]), [1, undefined])
    await waitFor(() => printed().split('\n').length > 2, { timeoutMs: 30_000 })
    assert.match(printed(), /\neagleray: the head at 127\.0\.0\.1:\d+ is back\n$/)
  })
}

suite('a head that is killed', () => {
  let cluster: Cluster | null = null
  teardown(async () => {
    await shutdown()
    await cluster?.shutdown()
    cluster = null
  })

  test('goes on from its files: actors, names and nodes are there, and work never stopped', async () => {
    cluster = await startOn()
    await survives(cluster, async () => {})
    await survives2(cluster)
  }).timeout(120_000)

  test('goes on from Redis, which was restarted as well', async () => {
    const redis = await RedisServer.start()
    try {
      cluster = await startOn(`${redis.url}?cluster=e2e`)
      await survives(cluster, async () => {
        await redis.kill()
        await redis.start()
      })
      // A head that lives through the restart of its storage.
      await saysSo(
        /^eagleray: the head at 127.* waits for Redis at redis:.*ECONNREFUSED.*; work that runs goes on/,
        () => redis.kill(),
        () => redis.start(),
      )
      const reply = await redis.command('GET', 'eagleray:e2e:cluster:id')
      assert.match(reply, /\{"clusterId":"[0-9a-f]+"\}/, 'people can read what it keeps')
    } finally {
      await shutdown()
      await cluster?.shutdown()
      cluster = null
      await redis.close()
    }
  }).timeout(120_000)

  test('whoever starts one hears soon that its Redis is away and why; it comes up once Redis does', async () => {
    const redis = await RedisServer.start()
    await redis.kill()
    try {
      const told: string[] = []
      const head = await startHead(null, headOn(redis.url), text => {
        told.push(text)
        if (told.length === 1) void redis.start()
      })
      await head.stop()
      assert.match(told[0] as string, /^waits for Redis at redis:\/\/127.0.0.1:\d+, 60 s at most. .*ECONNREFUSED.*nothing listens there/)
    } finally {
      await redis.close()
    }
  }).timeout(120_000)

  test('one that waits for its Redis ends with whoever started it: nobody knows of it yet', async () => {
    const settings = headOn('redis://127.0.0.1:1')
    const launched = launch({ program: HEAD_PROGRAM, variable: HEAD_ENV, settings, life: 'own', output: 'pipe' })
    void reportOf(launched, () => launched.child.stdout?.destroy())
    assert.equal((await launched.exit).exitCode, 1)
  }).timeout(60_000)

  test('a driver that has something for it is told where it is missed and what to do, and that it is back', async () => {
    const running = (cluster = await startOn())
    const pattern = /^eagleray: the head at 127\.0\.0\.1:\d+ does not answer; work that runs goes on.*`eagleray start --head` with the same/
    await saysSo(
      pattern,
      () => running.killHead(),
      () => running.restartHead(),
    )
  }).timeout(120_000)

  test('with tables in memory only, a driver hears why its node is another, and init() waits for that', async () => {
    cluster = await startOn('memory')
    const waiting = get(remote(() => new Promise(() => {})).remote())
    const { address } = cluster
    const [why] = await Promise.all([waiting.catch((error: unknown) => error), cluster.restartHead()])
    assert.ok(why instanceof NodeDiedError)
    assert.match(why.message, /the cluster has given this node up: its cluster is gone.*; it joins again as another node, to which init/)
    assert.notEqual((await init({ address })).nodeId, why.nodeId)
  }).timeout(120_000)

  test('with tables in memory only, the cluster is lost: nodes begin anew as others', async () => {
    cluster = await startOn('memory')
    const before = new Set((await nodes()).map(node => node.nodeId))
    await shutdown()
    await cluster.restartHead()
    const { address } = cluster
    await waitFor(
      async () => {
        // Attached to a node that is about to begin anew, all of this may fail.
        try {
          await init({ address })
          const alive = (await nodes()).filter(node => node.alive)
          if (alive.length === 2 && alive.every(node => !before.has(node.nodeId))) return true
        } catch {}
        await shutdown()
        return false
      },
      { timeoutMs: 60_000 },
    )
  }).timeout(120_000)
})

/** Once more, with an actor that dies while nobody watches. */
async function survives2(cluster: Cluster): Promise<void> {
  const Restarting = remote(Counter, { maxRestarts: 1 })
  const actor = Restarting.remote()
  const pid = await get(actor.pid.remote())
  await cluster.killHead()
  process.kill(pid, 'SIGKILL')
  await cluster.restartHead()
  await waitFor(
    async () => {
      try {
        return (await get(actor.pid.remote())) !== pid
      } catch {
        return false
      }
    },
    { timeoutMs: 30_000 },
  )
}
