// SPDX-License-Identifier: Apache-2.0
// The node daemon by itself: real processes, a driver that speaks nothing but the node's messages.
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { existsSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { Mesh } from '#lib/io/mesh.js'
import { type NativeStore, native } from '#lib/native.js'
import { WORKER_PROGRAM } from '#lib/own-files.js'
import { type StartedDaemon, startDaemon } from '#lib/run/bootstrap.js'
import { WORKER_ENV, type WorkerSettings } from '#lib/run/daemon-settings.js'
import { defaultRoots } from '#lib/run/session.js'
import { type Control, PROTOCOL_VERSION } from '#lib/wire/messages.js'
import { processGone, runProgram, waitFor } from './support.js'

class Driver {
  readonly received: Control[] = []
  readonly daemon: StartedDaemon
  readonly store: NativeStore
  readonly mesh: Mesh

  constructor(daemon: StartedDaemon, token = daemon.token) {
    this.daemon = daemon
    this.store = native.openStore(daemon.storePath)
    const onControl = (_: unknown, message: Control): void => void this.received.push(message)
    this.mesh = new Mesh(this.store, { onControl, onFrame() {}, onPeerClosed() {}, onBatchEnd() {} }, 0)
    this.mesh.ref()
    const { workerId } = this.store
    const job = { ...daemon.job, driver: workerId }
    this.send({ is: 'hello', protocol: PROTOCOL_VERSION, workerId, pid: process.pid, kind: 'driver', token, job })
  }

  send(message: Control): void {
    this.mesh.send(this.daemon.nodeWorkerId, message)
  }

  await<Is extends Control['is']>(is: Is, count = 1): Promise<Extract<Control, { is: Is }>> {
    return waitFor(() => this.received.filter(message => message.is === is)[count - 1], is) as Promise<Extract<Control, { is: Is }>>
  }

  close(): void {
    this.mesh.close()
    this.store.close()
  }
}

suite('the node daemon', () => {
  const options = { numCpus: 1, objectStoreBytes: 64 << 20 }
  let daemon: StartedDaemon | null = null
  let driver: Driver | null = null

  async function start(): Promise<Driver> {
    daemon = await startDaemon(options)
    driver = new Driver(daemon)
    await driver.await('welcome')
    return driver
  }

  test('a worker whose daemon has died before it began ends by itself', async () => {
    const { daemon } = await start()
    const place = { copy: null, packages: null }
    const { storePath, nodeWorkerId: daemonId, sessionDir, token } = daemon
    // Its parent is this process, and not the daemon.
    const seat: WorkerSettings = {
      ...{ storePath, daemonId, daemonPid: daemon.child.pid as number, sessionDir, token },
      ...{ spawnKey: 'x', job: null, environment: null, place },
    }
    const child = spawn(process.execPath, [fileURLToPath(WORKER_PROGRAM)], { env: { ...process.env, [WORKER_ENV]: JSON.stringify(seat) } })
    try {
      await waitFor(() => child.exitCode !== null, 'the worker ends', 5_000)
      assert.equal(child.exitCode, 0)
    } finally {
      child.kill('SIGKILL')
    }
  })

  teardown(async () => {
    driver?.close()
    await daemon?.stop()
    driver = daemon = null
  })

  test('loads ZeroMQ only where there are other nodes: neither driver, daemon nor worker of one node has it', async () => {
    const { stdout } = await runProgram('without-zeromq.mjs')
    const [, having, all] = stdout.match(/(\d+) of (\d+)/) ?? []
    assert.equal(having, '0')
    assert.ok(Number(all) >= 3)
  })

  async function workerPids(): Promise<number[]> {
    const answers = driver?.received.filter(message => message.is === 'answer').length ?? 0
    driver?.send({ is: 'query', request: 1, what: 'workers', argument: '' })
    const answer = (await driver?.await('answer', answers + 1)) as { rows: { pid: number }[] } | undefined
    return (answer?.rows ?? []).map(row => row.pid)
  }

  test('welcomes its driver, grants a worker, and stops with nothing left', async () => {
    const { daemon } = await start()
    driver?.send({
      is: 'want',
      class: {
        key: 'k',
        resources: { CPU: 10_000 },
        freshWorker: false,
        maxCalls: 0,
        environment: null,
        job: daemon.job,
        where: null,
        near: null,
      },
      count: 1,
      held: 0,
      taskName: 't',
    })
    await driver?.await('grant')
    const pids = await workerPids()
    assert.equal(pids.length, 1)
    await daemon.stop()
    for (const pid of [...pids, daemon.child.pid as number]) await processGone(pid)
    for (const path of [daemon.sessionDir, daemon.storePath, daemon.lockPath]) assert.equal(existsSync(path), false, path)
    assert.equal((await daemon.ended).exitCode, 0)
  })

  test('a wrong token is refused', async () => {
    daemon = await startDaemon(options)
    driver = new Driver(daemon, 'guess')
    assert.equal((await driver.await('refused')).code, 'ERR_EAGLERAY_AUTHENTICATION')
  })

  test('a killed worker is told, with its signal, and replaced', async () => {
    await start()
    const [pid] = await workerPids()
    process.kill(pid as number, 'SIGKILL')
    const { death } = await (driver as Driver).await('workerDied')
    assert.deepEqual(death, { exitCode: null, signal: 'SIGKILL', stderrTail: '', reason: null, outOfMemory: false })
    await waitFor(async () => (await workerPids()).some(other => other !== pid), 'another worker')
  })

  test('kill -9 of the daemon: its workers die with it, the driver is told and removes its files', async () => {
    const { daemon } = await start()
    const pids = await workerPids()
    daemon.child.kill('SIGKILL')
    assert.equal((await daemon.ended).signal, 'SIGKILL')
    for (const pid of pids) await processGone(pid)
    for (const path of [daemon.sessionDir, daemon.storePath, daemon.lockPath]) assert.equal(existsSync(path), false, path)
  })

  test('SIGTERM ends it as its driver would', async () => {
    const { daemon } = await start()
    daemon.child.kill('SIGTERM')
    assert.equal((await daemon.ended).exitCode, 0)
    assert.equal(existsSync(daemon.storePath), false)
  })

  test('what a dead session left is removed when another starts', async () => {
    const roots = defaultRoots()
    const name = 'session-20200101-000000-1-dead'
    mkdirSync(join(roots.sessions, name), { recursive: true, mode: 0o700 })
    mkdirSync(join(roots.segments, name), { recursive: true, mode: 0o700 })
    writeFileSync(join(roots.segments, name, 'segment'), 'x')
    writeFileSync(join(roots.locks, `${name}.lock`), join(roots.sessions, name))
    await start()
    await waitFor(() => !existsSync(join(roots.locks, `${name}.lock`)), 'the lock of the dead session is removed')
    assert.equal(existsSync(join(roots.segments, name)), false)
    assert.equal(existsSync(join(roots.sessions, name)), false)
  })

  test('a store larger than any disk is refused, saying so, and nothing is left', async () => {
    await assert.rejects(startDaemon({ ...options, objectStoreBytes: 2 ** 50 }), {
      name: 'ClusterConnectionError',
      message: /did not start/,
    })
  })

  test('a resource that cannot be is refused before anything starts', async () => {
    await assert.rejects(startDaemon({ numGpus: -1 }), RangeError)
  })
})
