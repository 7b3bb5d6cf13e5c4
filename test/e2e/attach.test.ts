// SPDX-License-Identifier: Apache-2.0
// Drivers that attach to a running node: several at once, one after the other, and what is left of each that ended.

import assert from 'node:assert/strict'
import { existsSync, readFileSync, realpathSync, writeFileSync } from 'node:fs'
import { type AddressInfo, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { AuthenticationError, ClusterConnectionError, get, getActor, init, kill, NodeDiedError, remote, shutdown, state } from 'eagleray'
import { clusterHome, liveNodes, writeRecord } from '#lib/run/cluster-home.js'
import { type RunningHead, type RunningNode, startHead, startNode } from '#lib/run/cluster-start.js'
import { endPrograms, isAlive, objectsGone, type Program, processGone, scratchPath, startProgram, waitFor } from './support.js'

suite('attaching', () => {
  let head: RunningHead
  let node: RunningNode
  let ADDRESS: string
  const start = (token = 'secret', head = ADDRESS): Promise<RunningNode> => {
    const joining = { head, host: '127.0.0.1', token, home: clusterHome(), listed: true, withHead: true }
    return startNode({ numCpus: 2, objectStoreBytes: 64 << 20 }, joining, 'stdin', null)
  }

  suiteSetup(async () => {
    const settings = { host: '127.0.0.1', port: 0, storage: 'memory', token: 'secret', nodeDeadAfterMs: null, life: 'stdin' } as const
    head = await startHead(null, settings)
    ADDRESS = head.address
    node = await start()
  })
  teardown(async () => {
    await shutdown()
    endPrograms()
  })
  suiteTeardown(async () => {
    await node.stop()
    await head.stop()
  })

  async function driver(name: string, options: Parameters<typeof startProgram>[1] = {}): Promise<Program & { jobId: string }> {
    const program = startProgram('attached.mjs', { args: [name], ...options })
    const [, text] = await program.line(/attached (.*)\n/)
    const { jobId, nodeId, address } = JSON.parse(text as string)
    assert.deepEqual([nodeId, address], [node.nodeId, ADDRESS])
    return { ...program, jobId }
  }

  /** Tells the program to do something, and gives its answer. */
  async function ask<T>(program: Program, what: string): Promise<T> {
    program.say(what)
    const [, text] = await program.line(new RegExp(`${what.split(' ')[0]} (.*)\n`))
    return JSON.parse(text as string)
  }

  test('by address, by auto, by EAGLERAY_ADDRESS, and because a cluster runs here; shutdown leaves it alone', async () => {
    const jobs = new Set<string>()
    for (const options of [{ address: ADDRESS }, { address: `tcp://localhost:${ADDRESS.split(':')[1]}` }, { address: 'auto' }, {}]) {
      const context = await init(options)
      assert.deepEqual([context.address, context.nodeId, context.sessionDir], [ADDRESS, node.nodeId, node.sessionDir])
      assert.equal(await get(remote((a: number) => a + 1).remote(1)), 2)
      jobs.add(context.jobId)
      await context[Symbol.asyncDispose]()
      assert.ok(existsSync(node.sessionDir) && isAlive(node.pid))
    }
    assert.equal(jobs.size, 4)
    await init()
    const states = new Map((await state.listJobs()).map(job => [job.jobId, job.state]))
    for (const job of jobs) assert.equal(states.get(job), 'ENDED')
    assert.deepEqual([...states.values()].filter(each => each === 'RUNNING').length, 1)
  })

  test('what was decided at its start is refused; so is what is no address, or that of no cluster', async () => {
    await assert.rejects(init({ numCpus: 1 }), { name: 'TypeError', message: /numCpus is decided where a cluster is started.*127/ })
    await assert.rejects(init({ address: 'auto', resources: { x: 1 } }), TypeError)
    await assert.rejects(init({ address: 'somewhere' }), { name: 'TypeError', message: /host:port/ })
    const none = { name: 'ClusterConnectionError', message: /no node of a cluster at 127.0.0.1:1 .*eagleray start --address 127.0.0.1:1/ }
    await assert.rejects(init({ address: '127.0.0.1:1' }), none)
    const [record] = liveNodes(clusterHome())
    assert.ok(record !== undefined)
    writeRecord(clusterHome(), 'nodes', 'liar', { ...record, address: '127.0.0.1:2', token: 'guess' })
    await assert.rejects(init({ address: '127.0.0.1:2' }), AuthenticationError)
    await assert.rejects(init({ address: 'auto' }), { name: 'ClusterConnectionError', message: /2 clusters run on this machine/ })
    writeRecord(clusterHome(), 'nodes', 'liar', { ...record, address: '127.0.0.1:2', startTime: '1' })
    await assert.rejects(init({ address: '127.0.0.1:2' }), ClusterConnectionError, 'another process has that number now')
  })

  test('a node with another token hears that, and where the right one is; what is no head is told apart', async () => {
    const why = /^The node did not start: the head at 127.* does not let this node in: its token .* EAGLERAY_TOKEN .* token in its ~/
    await assert.rejects(start('guess'), { name: 'AuthenticationError', message: why })
    const other = createServer(socket =>
      socket
        .on('error', () => {})
        .resume()
        .end('no'),
    )
    await new Promise<void>(resolve => other.listen(0, '127.0.0.1', resolve))
    const where = `127.0.0.1:${(other.address() as AddressInfo).port}`
    const none = { name: 'ClusterConnectionError', message: new RegExp(`who listens at ${where} is no head of a cluster`) }
    await assert.rejects(start('secret', where), none)
    await new Promise(resolve => other.close(resolve))
  })

  test('two at once: workers, output and directories of their own', async () => {
    const [a, b] = await Promise.all([driver('a'), driver('b', { cwd: realpathSync(tmpdir()) })])
    const [ofA, ofB] = [await ask<{ pid: number; cwd: string }>(a, 'where'), await ask<{ pid: number; cwd: string }>(b, 'where')]
    assert.deepEqual([ofA.cwd, ofB.cwd], [process.cwd(), realpathSync(tmpdir())])
    assert.notEqual(ofA.pid, ofB.pid)
    await Promise.all([ask(a, 'say mine'), ask(b, 'say yours')])
    a.say('leave')
    b.say('leave')
    const [endA, endB] = [await a.ended, await b.ended]
    assert.match(endA.stdout, /^\(\S+ pid=\d+\) mine$/m)
    assert.doesNotMatch(endA.stdout, /yours/)
    assert.match(endB.stdout, /^\(\S+ pid=\d+\) yours$/m)
    assert.doesNotMatch(endB.stdout, /mine/)
    await processGone(ofA.pid)
  })

  test('what a driver had put and nobody borrows goes with it, whether it leaves or is killed', async () => {
    await init({ namespace: 'other' })
    await get(remote(() => 1).remote())
    const [leaving, killed] = await Promise.all([driver('a'), driver('b')])
    const ids = [await ask<string>(leaving, 'put'), await ask<string>(killed, 'put')]
    leaving.say('leave')
    killed.kill('SIGKILL')
    await Promise.all([leaving.ended, killed.ended])
    await objectsGone(ids)
  })

  test('what a driver has views of goes when its process has ended, also where it had left before', async () => {
    await init({ namespace: 'other' })
    await get(remote(() => 1).remote())
    const [leaving, crashing] = await Promise.all([driver('a'), driver('b')])
    const ids = [await ask<string>(leaving, 'view'), await ask<string>(crashing, 'view')]
    leaving.say('leave')
    crashing.say('crash')
    await Promise.all([leaving.ended, crashing.ended])
    await objectsGone(ids)
  })

  test('what a task had left running ends with its job, though its worker lives; not what a detached actor had made', async () => {
    const program = await driver('heirs')
    await ask(program, 'detached')
    const [mine, kept] = [scratchPath(), scratchPath()]
    const pidIn = async (path: string) => Number(await waitFor(() => existsSync(path) && readFileSync(path, 'utf8')))
    await ask(program, `bequeath ${mine}`)
    await ask(program, `bequeathByKept ${kept}`)
    const [ending, staying] = [await pidIn(mine), await pidIn(kept)]
    program.say('leave')
    await program.ended
    await processGone(ending)
    assert.ok(isAlive(staying))
    writeFileSync(`${kept}.end`, '')
    await processGone(staying)
    await init({ namespace: 'heirs' })
    kill((await getActor('kept')) as never)
  })

  test('kill -9 of a driver ends its tasks and actors, and nothing else', async () => {
    const [a, b] = await Promise.all([driver('a'), driver('b')])
    const actor = await ask<number>(a, 'actor')
    const detached = await ask<number>(a, 'detached')
    await ask(a, 'run')
    const other = await ask<number>(b, 'actor')
    a.kill('SIGKILL')
    await processGone(actor)
    assert.ok(isAlive(detached) && isAlive(other))
    await init({ namespace: 'a' })
    const stateOf = async (jobId: string) => (await state.listJobs()).find(job => job.jobId === jobId)?.state
    await waitFor(async () => (await stateOf(a.jobId)) === 'ENDED', 'the job of the killed driver has ended')
    assert.equal(await stateOf(b.jobId), 'RUNNING')
    await waitFor(async () => (await state.listWorkers()).every(each => each.state !== 'leased'), 'its lease is over')
    const again = await driver('a')
    assert.equal(await ask<number>(again, 'named'), detached)
  })

  test('kill -9 of the node: its drivers hear of it', async () => {
    await init({ address: 'auto' })
    const ref = remote(() => new Promise(() => {})).remote()
    await node.kill()
    const why =
      /^the node \w+ of this session is gone: its process ended without a word.*init\(\{ address: '127.*eagleray start --address 127/
    await assert.rejects(get(ref), error => error instanceof NodeDiedError && why.test(error.message) && error.nodeId === node.nodeId)
    function caller(): void {
      remote(() => 1).remote()
    }
    assert.throws(caller, error => error instanceof NodeDiedError && why.test(error.message) && /at caller /.test(error.stack ?? ''))
    await shutdown()
    await assert.rejects(init({ address: ADDRESS }), ClusterConnectionError)
    node = await start()
    await init({ address: ADDRESS })
    const waits = get(remote(() => new Promise(() => {})).remote())
    await node.stop()
    await assert.rejects(waits, { name: 'NodeDiedError', message: /is gone: the node daemon got SIGTERM; init/ })
    node = await start()
  })
})
