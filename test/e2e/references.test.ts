// SPDX-License-Identifier: Apache-2.0
// References: an object lives exactly as long as somebody can ask for it, wherever the refs are; so does an actor.
//
// Refs are made in functions of their own, so that no variable of a test keeps them when they should be garbage.

import assert from 'node:assert/strict'
import { type ActorHandle, get, type ObjectRef, put, remote, state } from 'eagleray'
import { collect, passed } from './programs/by-reference.js'
import { begin, end, gate, isAlive, isListed, objectsGone, processGone, runProgram, waitFor } from './support.js'

class Keeper {
  kept: unknown = null

  keep(value: unknown): void {
    this.kept = value
  }

  async read(): Promise<unknown> {
    return get((this.kept as { ref: ObjectRef<unknown> }).ref)
  }

  async drop(): Promise<void> {
    this.kept = null
    await collect()
  }

  pid(): number {
    return process.pid
  }
}

const RemoteKeeper = remote(Keeper)
const held = remote(passed<unknown>, { numCpus: 0 })
const collectThere = remote(collect)
const bothWorkers = () => get([collectThere.remote(), collectThere.remote()])

const actorState = async (id: string) => (await state.listActors()).find(each => each.actorId === id)?.state ?? 'GONE'
const isDead = (name: string) => /dead|gone/i.test(name)

suite('references', () => {
  suiteSetup(() => begin())
  suiteTeardown(end)

  test('a put whose ref is dropped leaves the store, by collection or at once by dispose', async () => {
    const make = (size: number) => put(new Uint8Array(size)).id
    await objectsGone([make(10), make(100_000)])
    const disposed = put(new Uint8Array(100_000))
    const { id } = disposed
    assert.ok(await isListed(id))
    disposed[Symbol.dispose]()
    await waitFor(async () => !(await isListed(id)), 'a disposed object gone without collection')
    disposed[Symbol.dispose]()
  })

  test('objects are listed with size and owner while they live', async () => {
    const ref = put(new Uint8Array(50_000))
    const row = (await state.listObjects()).find(each => each.objectId === ref.id)!
    assert.ok(row.sizeBytes >= 50_000)
    assert.equal(row.spilled, false)
    assert.ok(row.owner.length > 0)
    assert.equal((await get(ref)).length, 50_000)
  })

  test('results of tasks leave when nobody holds them, read or not', async () => {
    const make = remote((size: number) => new Uint8Array(size))
    const ids: string[] = []
    await (async () => {
      const refs = [make.remote(10), make.remote(200_000), make.remote(200_000)]
      ids.push(...refs.map(ref => ref.id))
      await get(refs.slice(0, 2))
    })()
    await objectsGone(ids)
  })

  test('an object used by a task that still waits lives until then', async () => {
    const door = gate()
    const start = () => {
      const argument = put(new Uint8Array(100_000).fill(3))
      const size = remote((array: Uint8Array, _: unknown) => array[99_999])
      return { id: argument.id, answer: size.remote(argument, held.remote(door.path, 0)) }
    }
    const { id, answer } = start()
    await collect()
    await collect()
    assert.ok(await isListed(id))
    door.open()
    assert.equal(await get(answer), 3)
    await objectsGone([id], bothWorkers)
  })

  test('a ref that a call keeps lives on, also when the call then throws', async () => {
    class Thief {
      kept: ObjectRef<Uint8Array> | null = null
      take(box: { ref: ObjectRef<Uint8Array> }): void {
        this.kept = box.ref
        throw new Error('and away')
      }
      async read(): Promise<number> {
        return (await get(this.kept!))[0]!
      }
    }
    const thief = remote(Thief, { maxConcurrency: 1 }).remote()
    const give = () => {
      using ref = put(new Uint8Array(100_000).fill(6))
      return thief.take.remote({ ref })
    }
    for (let round = 0; round < 10; round++) {
      await assert.rejects(get(give()), /and away/)
      assert.equal(await get(thief.read.remote()), 6)
    }
  })

  test('an object inside an object lives as long as the outer one', async () => {
    const ids: string[] = []
    const make = () => {
      const inner = put(new Uint8Array(100_000).fill(4))
      const outer = put({ list: [inner] })
      ids.push(inner.id, outer.id)
      return outer
    }
    await (async () => {
      const outer = make()
      await collect()
      assert.ok(await isListed(ids[0]!))
      const { list } = await get(outer)
      assert.equal((await get(list[0]!))[0], 4)
    })()
    await objectsGone(ids)
  })

  test('a ref that a function captures lives as long as the function does, wherever that is', async () => {
    const ids: string[] = []
    const make = () => {
      const ref = put(new Uint8Array(100_000).fill(9))
      ids.push(ref.id)
      return put({ read: async () => (await get(ref))[0] })
    }
    await (async () => {
      const box = make()
      await collect()
      await collect()
      assert.ok(await isListed(ids[0]!))
      const there = remote(async (inside: { read(): Promise<number | undefined> }) => inside.read())
      assert.equal(await get(there.remote(box)), 9)
      const { read } = await get(box)
      assert.equal(await read(), 9)
    })()
    await objectsGone(ids, bothWorkers)
  })

  test('a ref that a task returns belongs to its worker and lives while the caller holds it', async () => {
    const ids: string[] = []
    const make = remote(() => ({ inner: put(new Uint8Array(100_000).fill(6)) }))
    await (async () => {
      const result = await get(make.remote())
      ids.push(result.inner.id)
      await bothWorkers()
      assert.equal((await get(result.inner))[1], 6)
      // And on to a third process.
      const read = remote(async (box: { ref: ObjectRef<Uint8Array> }) => (await get(box.ref))[2])
      assert.equal(await get(read.remote({ ref: result.inner })), 6)
    })()
    await objectsGone(ids, bothWorkers)
  })

  test('a process that may go stays while others need what it owns', async () => {
    class Maker {
      make() {
        return { mine: put(new Uint8Array(100_000).fill(7)), pid: process.pid }
      }
    }
    const once = remote(() => ({ mine: put(new Uint8Array(100_000).fill(7)), other: RemoteKeeper.remote(), pid: process.pid }), {
      maxCalls: 1,
    })
    const use = async () => {
      const byTask = await get(once.remote())
      const byActor = await get(remote(Maker).remote().make.remote())
      await collect()
      await bothWorkers()
      await collect()
      assert.equal((await get(byTask.mine))[0], 7)
      assert.ok((await get(byTask.other.pid.remote())) > 0)
      assert.equal((await get(byActor.mine))[0], 7)
      return [byTask.pid, byActor.pid]
    }
    const pids = await use()
    await waitFor(() => collect().then(() => !pids.some(isAlive)), 'gone when nobody needs them')
  })

  test('an actor that keeps a ref keeps the object', async () => {
    const keeper = RemoteKeeper.remote()
    const give = async () => {
      const ref = put(new Uint8Array(100_000).fill(8))
      await get(keeper.keep.remote({ ref }))
      return ref.id
    }
    const id = await give()
    await collect()
    await bothWorkers()
    await collect()
    assert.ok(await isListed(id), 'nobody but the actor holds it')
    assert.equal(((await get(keeper.read.remote())) as Uint8Array)[5], 8)
    await get(keeper.drop.remote())
    await objectsGone([id], () => get(keeper.drop.remote()))
  })

  test('a process that is killed lets go of what it borrowed', async () => {
    const keeper = RemoteKeeper.remote()
    const pid = await get(keeper.pid.remote())
    const give = async () => {
      const ref = put(new Uint8Array(100_000))
      await get(keeper.keep.remote({ ref }))
      return ref.id
    }
    const id = await give()
    await collect()
    assert.ok(await isListed(id))
    process.kill(pid, 'SIGKILL')
    await objectsGone([id])
  })

  test('a view stays what it was after its ref is gone and its space was wanted', async () => {
    const make = async () => get(put(new Uint8Array(8 << 20).fill(11)))
    const view = await make()
    for (let i = 0; i < 20; i++) put(new Uint8Array(8 << 20).fill(12))[Symbol.dispose]()
    await collect()
    for (let i = 0; i < 20; i++) put(new Uint8Array(8 << 20).fill(13))[Symbol.dispose]()
    assert.ok(view.every(each => each === 11))
  })

  test('space comes back: far more than the store holds passes through it', async () => {
    const sum = remote((array: Uint8Array) => array[0]! + array[array.length - 1]!)
    for (let i = 0; i < 12; i++) {
      const ref = put(new Uint8Array(60 << 20).fill(i))
      assert.equal(await get(sum.remote(ref)), 2 * i)
      ref[Symbol.dispose]()
    }
  })

  test('garbage makes room by itself, here and in workers, with nothing disposed of', async () => {
    const make = remote((n: number) => new Uint8Array(12 << 20).fill(n))
    const keep = remote((n: number) => ({ inner: put(new Uint8Array(12 << 20).fill(n)) }))
    for (let i = 0; i < 60; i++) {
      const mine = put(new Uint8Array(12 << 20).fill(i))
      const [a, b, c] = await get([mine, make.remote(i), keep.remote(i)])
      assert.deepEqual([a[0], b.at(-1), (await get(c.inner))[1]], [i, i, i])
    }
  })

  test('an actor ends when its last handle is gone, and not before its calls', async () => {
    const door = gate()
    class Slow {
      pid() {
        return process.pid
      }
      wait(path: string) {
        return passed(path, 'done')
      }
    }
    const start = async () => {
      const slow = remote(Slow).remote()
      return { pid: await get(slow.pid.remote()), answer: slow.wait.remote(door.path) }
    }
    const { pid, answer } = await start()
    await collect()
    await collect()
    door.open()
    assert.equal(await get(answer), 'done', 'a call that was made is finished')
    await waitFor(async () => {
      await collect()
      return (await state.listActors()).every(each => each.pid !== pid || isDead(each.state))
    }, 'the actor dead')
    await processGone(pid)
  })

  test('a temporary handle serves its call', async () => {
    const pid = await get(RemoteKeeper.remote().pid.remote())
    assert.ok(pid > 0)
    await waitFor(() => collect().then(() => !isAlive(pid)), 'the actor gone')
  })

  test('dispose of a handle is enough, and handles in objects, actors and tasks count', async () => {
    const disposed = RemoteKeeper.remote()
    const pid = await get(disposed.pid.remote())
    disposed[Symbol.dispose]()
    await processGone(pid)

    const keeper = RemoteKeeper.remote()
    const give = async () => {
      const other = RemoteKeeper.remote()
      await get(keeper.keep.remote({ other }))
      return get(other.pid.remote())
    }
    const otherPid = await give()
    await collect()
    await bothWorkers()
    await collect()
    assert.ok(
      (await state.listActors()).some(each => each.pid === otherPid && !isDead(each.state)),
      'the keeper has a handle',
    )
    await get(keeper.drop.remote())
    await waitFor(async () => {
      await get(keeper.drop.remote())
      return (await state.listActors()).every(each => each.pid !== otherPid || isDead(each.state))
    }, 'the kept actor dead')

    const boxed = async () => {
      const inner = RemoteKeeper.remote()
      const innerPid = await get(inner.pid.remote())
      return { box: put({ inner }), innerPid }
    }
    const { box, innerPid } = await boxed()
    await collect()
    await collect()
    const { inner } = (await get(box)) as { inner: ActorHandle<Keeper> }
    assert.equal(await get(inner.pid.remote()), innerPid)
  })

  test('an actor belongs to its creator: it dies with it, also while others hold handles', async () => {
    class Parent {
      child() {
        return { child: RemoteKeeper.remote() }
      }
      pid() {
        return process.pid
      }
    }
    const parent = remote(Parent).remote()
    const { child } = await get(parent.child.remote())
    const childPid = await get(child.pid.remote())
    process.kill(await get(parent.pid.remote()), 'SIGKILL')
    await processGone(childPid)
    await assert.rejects(get(child.pid.remote()))
  })

  test('actors are listed with their state', async () => {
    const keeper = RemoteKeeper.remote()
    const pid = await get(keeper.pid.remote())
    const row = (await state.listActors()).find(each => each.pid === pid)!
    assert.equal(row.className, 'Keeper')
    assert.equal(row.numRestarts, 0)
    assert.match(await actorState(row.actorId), /alive/i)
  })

  test('under --expose-gc: a program that drops everything ends with an empty store', async () => {
    const { stdout } = await runProgram('drops.ts', { nodeOptions: ['--expose-gc'] })
    assert.match(stdout, /^objects left: 0$/m)
    assert.match(stdout, /^actors left: 0$/m)
  })
})
