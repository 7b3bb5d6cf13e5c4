// SPDX-License-Identifier: Apache-2.0
// Where Node lacks what uncounted views take, they are Node-API's buffers: the same, but counted by V8 and bound to their thread.

import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

const program = `
  import assert from 'node:assert/strict'
  import { setFlagsFromString } from 'node:v8'
  import { runInNewContext } from 'node:vm'
  import { Worker } from 'node:worker_threads'
  import { native } from '#lib/native.js'

  setFlagsFromString('--expose-gc')
  const gc = runInNewContext('gc')
  const until = async holds => {
    for (let turn = 0; turn < 200 && !holds(); turn++) {
      gc()
      await new Promise(resolve => setImmediate(resolve))
    }
    assert.ok(holds())
  }
  const store = native.createStore(process.env.STORE, 8 << 20, '0a0b0c0d0e', false, null, 0)
  const id = number => store.workerId + number.toString(16).padStart(16, '0')
  const pins = () => store.stats().pins
  store.put(id(1), new Uint8Array(100_000).fill(7), 100_000)
  const before = process.memoryUsage().external
  const view = store.view(id(1))
  assert.equal(native.countsViews(), true)
  assert.ok(process.memoryUsage().external - before >= 100_000, 'V8 counts it')
  const part = store.part(view, 50_000, 1000)
  assert.equal(store.release(view), true)
  assert.equal(store.release(view), false)
  assert.equal(view.byteLength, 0)
  assert.deepEqual([new Uint8Array(part)[0], pins()], [7, 1])
  assert.equal(store.release(part), true)
  assert.equal(pins(), 0)
  ;(() => void store.view(id(1)))()
  await until(() => pins() === 0)
  const worker = new Worker(
    "import { parentPort } from 'node:worker_threads'; import { native } from '#lib/native.js';" +
      "globalThis.held = native.openStore(process.env.STORE).view('" + id(1) + "'); parentPort.postMessage(held.byteLength); setInterval(() => {}, 1000)",
    { eval: true },
  )
  await new Promise(resolve => worker.once('message', resolve))
  assert.equal(pins(), 1)
  await worker.terminate()
  await until(() => pins() === 0)
  assert.equal(store.check(), null)
  console.log('as it should be')`

suite('views that V8 counts', () => {
  test('are viewed, released, parted and collected like the others', () => {
    const directory = mkdtempSync(join(existsSync('/dev/shm') ? '/dev/shm' : tmpdir(), 'eagleray-test-'))
    try {
      const env = { ...process.env, EAGLERAY_COUNT_VIEWS: '1', STORE: join(directory, 'store') }
      const said = execFileSync(process.execPath, ['--input-type=module', '--eval', program], { env, encoding: 'utf8' })
      assert.match(said, /as it should be/)
    } finally {
      rmSync(directory, { recursive: true })
    }
  }).timeout(60_000)
})
