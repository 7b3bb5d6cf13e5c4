// SPDX-License-Identifier: Apache-2.0
// A cluster over two hosts with addresses of their own, whose cable is pulled: for a moment, which nothing notices, and for
// long, after which the lost host is another node. Where namespaces cannot be made this is said, and the cuts of
// `zmq-transport.test.ts` go through a proxy instead.

import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { fileURLToPath } from 'node:url'
import { type Host, twoHosts } from './hosts.js'
import { endPrograms, type Program, startProgram, waitFor } from './support.js'

const CLI = fileURLToPath(new URL('../../dist/bundle/cli.js', import.meta.url))
const TIMEOUT_MS = 4_000

suite('two hosts', function () {
  this.timeout(180_000)
  const token = randomBytes(32).toString('hex')
  let hosts: [Host, Host] | null = null
  let program: Program
  let asked = 0

  async function eagleray(host: Host, ...args: string[]): Promise<void> {
    const { code, output } = await host.run([process.execPath, CLI, ...args], host.env(token))
    assert.equal(code, 0, `eagleray ${args.join(' ')}: ${output}`)
  }

  async function answer(line: string): Promise<unknown> {
    const number = ++asked
    program.say(line)
    const [, text] = await program.line(new RegExp(`^${number}: (.*)\n`, 'm'))
    return JSON.parse(text as string)
  }

  suiteSetup(async function () {
    hosts = twoHosts()
    // Namespaces need root and the Debian package iproute2.
    if (hosts === null) return this.skip()
    const [a, b] = hosts
    const small = ['--num-cpus', '1', '--object-store-bytes', String(64 << 20), '--host', '0.0.0.0']
    const here = ['--storage', 'memory', '--node-timeout-ms', String(TIMEOUT_MS), '--resources', '{"here":1}']
    await eagleray(a, 'start', '--head', ...small, ...here)
    await eagleray(b, 'start', '--address', `${a.address}:6390`, ...small, '--resources', '{"there":1}')
    program = startProgram('two-hosts.mjs', { under: a.under, env: a.env(token) })
    await program.line(/attached/)
  })
  suiteTeardown(async () => {
    if (hosts === null) return
    program.say('leave')
    await program.ended
    for (const host of hosts) await host.run([process.execPath, CLI, 'stop'], host.env(token))
    endPrograms()
    for (const host of hosts) host.remove()
  })

  test('each listens at all its addresses, and tells the other that by which it is reached', async () => {
    const told = (await answer('addresses')) as string[]
    assert.deepEqual(
      told.sort(),
      (hosts as [Host, Host]).map(host => host.address),
    )
  })

  test('tasks, actors and large values on the other host', async () => {
    assert.equal(await answer('count 1'), 1)
    assert.equal(await answer('large 500000'), 1_000_000)
  })

  test('a cable that is pulled for a moment loses and repeats nothing', async () => {
    const [, b] = hosts as [Host, Host]
    b.pull()
    assert.equal(await answer('send'), 'sent')
    b.plug()
    assert.deepEqual(
      await answer('answers'),
      Array.from({ length: 100 }, (_, i) => i + 2),
    )
    assert.equal(await answer('count 1'), 102)
  })

  test('a host that is cut off for long is given up, and comes back as another node', async () => {
    const [, b] = hosts as [Host, Host]
    const before = (await answer('alive')) as [string, boolean][]
    assert.equal(before.filter(([, alive]) => alive).length, 2)
    b.pull()
    await waitFor(
      async () => ((await answer('alive')) as [string, boolean][]).filter(([, alive]) => alive).length === 1,
      'the node given up',
      30_000,
    )
    b.plug()
    await waitFor(
      async () => ((await answer('alive')) as [string, boolean][]).filter(([, alive]) => alive).length === 2,
      'the host back',
      30_000,
    )
    assert.equal(await answer('large 500000'), 1_000_000)
    // The actor was restarted there, from nothing.
    assert.equal(await answer('count 1'), 1)
  })
})
