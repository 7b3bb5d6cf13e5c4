// SPDX-License-Identifier: Apache-2.0
// The command `eagleray`, as a user types it: a cluster of two nodes from start to stop.

import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdtempSync, readdirSync, rmSync, statSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { get, getActor, init, remote, shutdown, wait } from 'eagleray'
import { HOME_ENV, liveHeads, liveNodes } from '#lib/run/cluster-home.js'
import { processGone, waitFor } from './support.js'

const CLI = fileURLToPath(new URL('../../dist/bundle/cli.js', import.meta.url))
const SMALL = ['--num-cpus', '1', '--object-store-bytes', String(64 << 20)]

interface Ran {
  code: number | null
  stdout: string
  stderr: string
}

async function freePort(): Promise<string> {
  const server = createServer()
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as { port: number }
  await new Promise(resolve => server.close(resolve))
  return String(port)
}

// Each command is a process of its own, which takes its time to start where others are busy.
suite('the command line', function () {
  this.timeout(120_000)
  let home: string
  const before = process.env[HOME_ENV]

  suiteSetup(() => {
    home = mkdtempSync(join(tmpdir(), 'eagleray-cli-'))
    process.env[HOME_ENV] = home
  })
  teardown(async () => {
    await shutdown()
    await run('stop')
  })
  suiteTeardown(() => {
    rmSync(home, { recursive: true, force: true })
    process.env[HOME_ENV] = before
  })

  async function run(...args: string[]): Promise<Ran> {
    const child = spawn(process.execPath, [CLI, ...args], { stdio: ['ignore', 'pipe', 'pipe'] })
    const output = { stdout: '', stderr: '' }
    for (const name of ['stdout', 'stderr'] as const) child[name].on('data', (text: Buffer) => (output[name] += text.toString()))
    const code = await new Promise<number | null>(resolve => child.on('close', resolve))
    return { code, ...output }
  }

  async function fine(...args: string[]): Promise<string> {
    const { code, stdout, stderr } = await run(...args)
    assert.equal(code, 0, `eagleray ${args.join(' ')}: ${stdout}\n${stderr}`)
    return stdout
  }

  async function fails(code: number, pattern: RegExp, ...args: string[]): Promise<void> {
    const ran = await run(...args)
    assert.deepEqual([ran.code, ran.stdout], [code, ''], `eagleray ${args.join(' ')}: ${ran.stderr}`)
    assert.match(ran.stderr, pattern)
  }

  test('help of each command names all its options; wrong arguments exit with 2', async () => {
    const all = await fine('--help')
    const names = [...all.matchAll(/^ {2}([a-z-]+) {2,}\S/gm)].map(match => match[1] as string)
    assert.deepEqual(names.slice(0, 4), ['start', 'stop', 'status', 'list'])
    for (const name of names) assert.match(await fine(name, '--help'), new RegExp(`^Usage: eagleray ${name}.*\n\n[A-Z].*\\.\n[^]*--help`))
    assert.match(await fine('--version'), /^\d+\.\d+\.\d+\n$/)
    await fails(2, /there is no command bogus/, 'bogus')
    await fails(2, /--bogus/, 'status', '--bogus')
    await fails(2, /either --head or --address/, 'start')
    await fails(2, /--port is for --head/, 'start', '--address', 'h:1', '--port', '3')
    await fails(2, /host:port/, 'start', '--address', 'h')
    await fails(2, /--num-cpus must be a number/, 'start', '--head', '--num-cpus', 'x')
    await fails(2, /--advertise must be an address/, 'start', '--head', '--host', '0.0.0.0', '--advertise', '::')
    await fails(2, /--node-timeout-ms is 0; it must be a whole number, 100 or more/, 'start', '--head', '--node-timeout-ms', '0')
    await fails(2, /objectStoreBytes is 5; it must be/, 'start', '--head', '--object-store-bytes', '5')
    await fails(2, /--labels must be a JSON object, such as '{"zone"/, 'start', '--head', '--labels', 'zone')
    await fails(2, /--resources must be a JSON object/, 'start', '--head', '--resources', '[1]')
    await fails(2, /there are no "things"/, 'list', 'things')
    await fails(2, /list takes/, 'list')
    await fails(2, /--filter must be/, 'list', 'nodes', '--filter', 'x')
    await fails(2, /--storage must be memory, file:DIR or redis:.*not "foo:bar"/, 'start', '--head', '--storage', 'foo:bar')
    await fails(2, /--format must be table or json, not xml/, 'status', '--format', 'xml')
  })

  test('who stops reading ends nothing with a stack trace', async () => {
    for (const stream of ['stdout', 'stderr'] as const) {
      const child = spawn(process.execPath, [CLI, ...(stream === 'stdout' ? ['--help'] : ['bogus'])], { stdio: ['ignore', 'pipe', 'pipe'] })
      const other = stream === 'stdout' ? child.stderr : child.stdout
      // Nobody has read: what it writes later finds no reader.
      child[stream].destroy()
      let said = ''
      other.on('data', (text: Buffer) => (said += text.toString()))
      const code = await new Promise<number | null>(resolve => child.on('close', resolve))
      assert.deepEqual([code, said], [stream === 'stdout' ? 0 : 2, ''])
    }
  })

  test('a node that gets no answer from where its head should listen says what it waits for', async () => {
    const silent = createServer(socket => socket.on('error', () => {}).resume()).listen(0, '127.0.0.1')
    await once(silent, 'listening')
    const { port } = silent.address() as { port: number }
    const env = { ...process.env, EAGLERAY_TOKEN: 'x' }
    const stdio = ['pipe', 'ignore', 'pipe'] as ['pipe', 'ignore', 'pipe']
    const child = spawn(process.execPath, [CLI, 'start', '--address', `127.0.0.1:${port}`, '--block', ...SMALL], { env, stdio })
    let said = ''
    child.stderr.on('data', (text: Buffer) => (said += text.toString()))
    const ended = once(child, 'exit')
    await Promise.race([ended, waitFor(() => said.includes('waits for'), 'it says so')])
    assert.match(said, new RegExp(`^eagleray: the node waits for the head at 127.0.0.1:${port}, which has not answered yet\n`))
    child.kill('SIGKILL')
    await ended
    silent.close()
  })

  test('of what is not running, start, stop and status say so and exit with 1', async () => {
    await fails(1, /^eagleray: no node of a cluster runs on this machine: .*eagleray start --head/, 'status')
    await fails(1, /^eagleray: no node of a cluster at 127.0.0.1:9 runs on this machine/, 'list', 'nodes', '--address', '127.0.0.1:9')
    await fails(1, /no head and no node runs on this machine/, 'stop')
    await fails(1, /no head runs on this machine/, 'stop', '--head')
    await fails(1, /no token is known for the cluster at 127.0.0.1:9/, 'start', '--address', '127.0.0.1:9')
    await fails(
      1,
      /it cannot listen at 192\.0\.2\.1:\d+: .*--host must be an address of this machine/,
      'start',
      '--head',
      '--host',
      '192.0.2.1',
      '--port',
      '0',
    )
    const other = createServer().listen(0, '127.0.0.1')
    await once(other, 'listening')
    const { port } = other.address() as { port: number }
    await fails(1, new RegExp(`it cannot listen at 127.0.0.1:${port}: .*Another program.*--port`), 'start', '--head', '--port', `${port}`)
    const storage = join(home, 'storage')
    assert.deepEqual(existsSync(storage) ? readdirSync(storage) : [], [], 'a head that could not start left something')
    other.close()
  })

  test('a cluster from start to stop', async () => {
    const started = await fine('start', '--head', '--port', '0', ...SMALL)
    const address = /A cluster runs at (\S+):/.exec(started)?.[1] as string
    assert.match(started, /EAGLERAY_TOKEN=… eagleray start --address/)
    assert.equal(statSync(join(home, 'token')).mode & 0o777, 0o600)
    await fine('start', '--address', address, '--resources', '{"disk": 2}', '--labels', '{"zone": "b"}', ...SMALL)
    const pids = [...liveHeads(home), ...liveNodes(home)].map(each => each.pid)
    assert.equal(pids.length, 3)
    const shown = await fine('status')
    assert.match(shown, new RegExp(`^Cluster at ${address}: 2 of 2 nodes alive`))
    assert.match(shown, /disk 0\/2.*zone:b/)
    const inZone = JSON.parse(await fine('list', 'nodes', '--filter', 'labels.zone=b', '--format', 'json')) as { labels: object }[]
    assert.deepEqual(
      inZone.map(({ labels }) => (labels as { zone: string }).zone),
      ['b'],
    )

    const context = await init()
    assert.equal(context.address, address)
    class Holder {
      async hold(): Promise<void> {}
    }
    const holder = remote(Holder, { name: 'holder', resources: { disk: 1 } }).remote()
    await get(holder.hold.remote())
    assert.match(await fine('status'), /disk 1\/2/)
    const actors = JSON.parse(await fine('list', 'actors', '--format', 'json', '--filter', 'name=holder'))
    assert.deepEqual([actors.length, actors[0].className, actors[0].state], [1, 'Holder', 'alive'])
    assert.equal(JSON.parse(await fine('get', 'actors', actors[0].actorId)).name, 'holder')
    await fails(1, /of actors there is none whose actorId is x/, 'get', 'actors', 'x')
    assert.match(await fine('list', 'nodes', '--filter', 'alive=false'), /There are no nodes like that/)
    const workers = JSON.parse(await fine('list', 'workers', '--format', 'json')) as { nodeId: string }[]
    assert.equal(new Set(workers.map(row => row.nodeId)).size, 2, 'workers of both nodes')
    const jobs = JSON.parse(await fine('list', 'jobs', '--format', 'json'))
    assert.deepEqual(
      jobs.map((row: { jobId: string; state: string }) => [row.jobId, row.state]),
      [[context.jobId, 'RUNNING']],
    )
    assert.match(await fine('list', 'placement-groups'), /There are no placement-groups/)
    assert.match(await fine('summary', 'actors'), /Holder +alive +1/)
    assert.match(await fine('memory'), /objects, /)
    assert.match(await fine('logs'), /head-.*\.log/)

    await fails(1, /a head runs at .* already/, 'start', '--head', '--port', address.split(':')[1] as string)
    await shutdown()
    const stopped = await fine('stop')
    assert.equal(stopped.match(/has ended/g)?.length, 3)
    for (const pid of pids) await processGone(pid)
  })

  test('a head that is stopped alone and started again goes on; a drained node leaves', async () => {
    const port = await freePort()
    await fine('start', '--head', '--port', port, ...SMALL)
    await fine('start', '--address', `127.0.0.1:${port}`, '--resources', '{"there": 1}', ...SMALL)
    const pids = liveNodes(home).map(node => node.pid)
    await init()
    class Counter {
      private n = 0
      add(): number {
        return ++this.n
      }
    }
    const counter = remote(Counter, { name: 'counter', lifetime: 'detached' }).remote()
    assert.equal(await get(counter.add.remote()), 1)
    assert.match(await fine('stop', '--head'), /The head at .* has ended/)
    assert.equal(liveHeads(home).length, 0)
    assert.equal(await get(counter.add.remote()), 2)
    await fails(
      1,
      /the head at 127.0.0.1:\d+ has not answered yet\n.*the head at 127.0.0.1:\d+ did not answer nodes within .*eagleray start --head/,
      'status',
    )
    assert.match(await fine('start', '--head', '--port', port, ...SMALL), /runs again .* is here already/)
    const found = await getActor<Counter>('counter')
    assert.equal(await get(found.add.remote()), 3)
    assert.deepEqual(
      liveNodes(home).map(node => node.pid),
      pids,
    )
    const there = liveNodes(home).find(node => !node.withHead)
    const large = remote(() => new Uint8Array(1 << 20), { resources: { there: 1 }, maxRetries: 0 }).remote()
    await wait([large], { fetchLocal: false })
    assert.match(await fine('drain-node', there?.nodeId as string), /takes no new work.*\nOf 1 object \(1.0 MiB\) no other node has a copy/)
    await processGone(there?.pid as number)
    const shown = await fine('status')
    assert.match(shown, /: 1 of 2 nodes alive/)
    assert.match(shown, /^\S+ +\S+ +dead +- +-$/m, 'nothing of a dead node is used')
    await fails(1, /no living node/, 'drain-node', 'x')
    await shutdown()
    await fine('stop')
    assert.deepEqual(readdirSync(join(home, 'storage')), [])
  })

  test('--block stays, and everything ends with it', async () => {
    const child = spawn(process.execPath, [CLI, 'start', '--head', '--port', '0', '--block', ...SMALL], {
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    await waitFor(() => liveNodes(home).length === 1 && liveHeads(home).length === 1, 'it runs')
    const pids = [...liveHeads(home), ...liveNodes(home)].map(each => each.pid)
    child.kill('SIGKILL')
    for (const pid of pids) await processGone(pid)
  })

  test('a node with a wrong token is told so', async () => {
    const address = /A cluster runs at (\S+):/.exec(await fine('start', '--head', '--port', '0', ...SMALL))?.[1] as string
    process.env.EAGLERAY_TOKEN = 'wrong'
    try {
      await fails(
        1,
        /did not start: the head at .* does not let this node in: its token .*EAGLERAY_TOKEN/,
        'start',
        '--address',
        address,
        ...SMALL,
      )
    } finally {
      delete process.env.EAGLERAY_TOKEN
    }
  })
})
