// SPDX-License-Identifier: Apache-2.0

import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { closeSync, openSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { type NativeStore, native } from '#lib/native.js'
import { idOf, Scene } from './support.js'

const root = fileURLToPath(new URL('../..', import.meta.url))

/** Runs a script in a process of its own, with `native` in scope. */
function script(source: string): { status: number | null; signal: string | null; stdout: string } {
  const code = `import { native } from '#lib/native.js'\n${source}`
  const { status, signal, stdout } = spawnSync(process.execPath, ['--input-type=module', '-e', code], {
    cwd: root,
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'inherit'],
    env: { ...process.env, NODE_OPTIONS: '' },
  })
  return { status, signal, stdout }
}

suite('native store and ports, when processes end', () => {
  let scene: Scene
  let store: NativeStore

  setup(() => {
    scene = new Scene()
    store = scene.create()
    for (const number of [1, 2]) store.put(idOf(store, number), new Uint8Array(20_000).fill(number), 20_000)
  })
  teardown(() => scene.end())

  test('what a killed process pinned and was making is given back', async () => {
    const peer = await scene.peer('hold', store.path, store.workerId)
    assert.deepEqual(store.list().find(({ state }) => state === 'creating')?.creator, peer.hello.slot)
    assert.equal(store.stats().pins, 2)
    assert.equal(store.reap(peer.hello.slot), false)
    store.delete(idOf(store, 1))
    await peer.kill()
    assert.deepEqual(store.reapDead(), [peer.hello.slot])
    assert.deepEqual(store.reapDead(), [])
    const { pins, creating, sealed, objects, clients } = store.stats()
    assert.deepEqual({ pins, creating, sealed, objects, clients }, { pins: 0, creating: 0, sealed: 1, objects: 1, clients: 1 })
    assert.equal(store.check(), null)
  })

  test('process.exit in the middle of everything', async () => {
    const heard = scene.listen(store)
    const peer = await scene.peer('leave', store.path, store.workerId, String(store.slot))
    assert.deepEqual(await peer.exited, { code: 7, signal: null })
    await heard.until(() => heard.packets.length === 1)
    store.reapDead()
    await heard.until(() => heard.closed.length === 1)
    assert.deepEqual([store.stats().pins, store.stats().creating, store.stats().clients], [0, 0, 1])
    assert.equal(store.check(), null)
  })

  test('worker threads terminated in the middle of everything', async () => {
    const heard = scene.listen(store)
    heard.whenever = () => {
      heard.packets.length = 0
    }
    const peer = await scene.peer('threads', store.path, store.workerId)
    const left = await peer.said<{ creating: number; pinned: number }>()
    assert.deepEqual(left, { creating: 0, pinned: 0 })
    assert.deepEqual(await peer.exited, { code: 0, signal: null })
    assert.ok(heard.closed.length > 0)
    assert.equal(store.check(), null)
  }).timeout(60_000)

  test('a port that is not ref-ed lets the process end, and the loop runs dry', () => {
    const path = join(scene.directory, 'unref')
    const { status } = script(`
      const store = native.createStore(${JSON.stringify(path)}, 1 << 20, '0a0b0c0d0e', false, null, 0)
      const silent = { onPackets() {}, onClosed() {}, onOpened() {}, onWritable() {}, onSealed() {} }
      const port = native.openPort(store, silent, new Uint8Array(1 << 20), new Int32Array(300), 100)
      port.ref()
      setTimeout(() => port.unref(), 5)
    `)
    assert.equal(status, 0)
  })

  test('an uncaught error ends the process as ever', () => {
    const path = join(scene.directory, 'uncaught')
    const { status } = script(`
      const store = native.createStore(${JSON.stringify(path)}, 1 << 20, '0a0b0c0d0e', false, null, 0)
      const listener = { onPackets() {}, onClosed() {}, onOpened() {}, onWritable() {}, onSealed() { throw undefined } }
      const port = native.openPort(store, listener, new Uint8Array(1 << 20), new Int32Array(300), 100)
      port.ref()
      process.on('uncaughtException', () => process.exit(3))
      const id = store.workerId + '0000000000000001'
      store.expect(id)
      store.put(id, new Uint8Array(1), 1)
    `)
    assert.equal(status, 3)
  })

  test('a locked file is locked once, and free when its process is gone', () => {
    const path = JSON.stringify(join(scene.directory, 'lock'))
    const { stdout } = script(`console.log(native.lockFile(${path}), native.lockFile(${path}))`)
    assert.equal(stdout, 'true false\n')
    assert.equal(script(`console.log(native.lockFile(${path}))`).stdout, 'true\n')
    assert.throws(() => native.lockFile(join(scene.directory, 'no', 'such')), /no\/such: No such file/)
  })

  test('bytes are waited for at sockets only, and in whole numbers of them', () => {
    const file = openSync(fileURLToPath(import.meta.url), 'r')
    assert.equal(native.receiveAtLeast(file, 1), false)
    closeSync(file)
    assert.throws(() => native.receiveAtLeast(-1, 1), /fd must be an integer/)
    assert.throws(() => native.receiveAtLeast(0, 1.5), /bytes must be an integer/)
  })

  test('a child dies with its parent', () => {
    const { stdout } = script(`
      import { spawn } from 'node:child_process'
      const source = \`import { native } from '#lib/native.js'
        console.log(native.dieWithParent(process.ppid, 9), native.dieWithParent(1, 9) && process.ppid !== 1)
        setInterval(() => {}, 1000)\`
      const child = spawn(process.execPath, ['--input-type=module', '-e', source], { stdio: ['ignore', 'pipe', 'inherit'] })
      child.stdout.once('data', text => {
        console.log(child.pid, String(text).trim())
        process.kill(process.pid, 'SIGKILL')
      })
    `)
    const [, pid, yes, no] = /^(\d+) (\w+) (\w+)/.exec(stdout) ?? []
    assert.deepEqual([yes, no], ['true', 'false'])
    // The pipe it held has closed, or spawnSync would not have returned: it is gone, or about to be collected.
    assert.ok(Number(pid) > 0)
  })

  test('a program that loads the addon twice over in threads ends cleanly', () => {
    const path = join(scene.directory, 'loaded')
    const { status, stdout } = script(`
      import { Worker } from 'node:worker_threads'
      const store = native.createStore(${JSON.stringify(path)}, 1 << 20, '0a0b0c0d0e', false, null, 0)
      const source = \`import { workerData } from 'node:worker_threads'
        import { native } from '#lib/native.js'
        const store = native.openStore(\${JSON.stringify(store.path)})
        store.put(store.workerId + workerData, new Uint8Array(100), 100)
        globalThis.view = store.view(store.workerId + workerData)\`
      for (let i = 0; i < 4; i++) {
        const workerData = i.toString(16).padStart(16, '0')
        await new Promise((resolve, reject) => new Worker(source, { eval: true, workerData }).once('exit', resolve).once('error', reject))
      }
      const { objects, pins } = store.stats()
      console.log(objects, pins)
    `)
    assert.deepEqual([status, stdout], [0, '4 0\n'])
  })
})
