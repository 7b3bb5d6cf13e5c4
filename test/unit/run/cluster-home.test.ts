// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { hostname, tmpdir } from 'node:os'
import { join } from 'node:path'
import { ClusterConnectionError } from '#lib/errors.js'
import {
  checkedAddress,
  HOME_ENV,
  homeFolder,
  knownToken,
  liveHeads,
  liveNodes,
  type NodeRecord,
  ownToken,
  recordOf,
  rejoiningNodes,
  removeRecord,
  sweepRecords,
  TOKEN_ENV,
  writeRecord,
} from '#lib/run/cluster-home.js'
import { nodeFor, whileOneRejoins } from '#lib/run/cluster-lookup.js'

suite('what a user’s processes know of clusters', () => {
  let home: string
  const before = { home: process.env[HOME_ENV], token: process.env[TOKEN_ENV] }

  setup(() => {
    home = mkdtempSync(join(tmpdir(), 'eagleray-test-'))
    process.env[HOME_ENV] = home
    delete process.env[TOKEN_ENV]
  })

  teardown(() => {
    rmSync(home, { recursive: true, force: true })
    for (const [name, value] of Object.entries({ [HOME_ENV]: before.home, [TOKEN_ENV]: before.token })) {
      if (value === undefined) delete process.env[name]
      else process.env[name] = value
    }
  })

  function node(nodeId: string, address: string, more: Partial<NodeRecord> = {}): void {
    const seat = { daemonId: 'd', storePath: '/s', sessionDir: '/s', token: 't', listed: true, withHead: false, since: 1 }
    writeRecord(home, 'nodes', nodeId, { ...recordOf(process.pid, address), nodeId, ...seat, ...more })
  }

  test('addresses have one spelling, and everything else is refused', () => {
    const good = { 'localhost:1': '127.0.0.1:1', 'tcp://h:65535': 'h:65535', ' 10.0.0.1:6390 ': '10.0.0.1:6390', '[::1]:7': '[::1]:7' }
    for (const [text, address] of Object.entries(good)) assert.equal(checkedAddress('init()', text), address)
    for (const bad of ['', 'h', 'h:', 'h:0', 'h:65536', ':1', 'http://h:1', 'h:1/x', '::1:7', 'a b:1'])
      assert.throws(() => checkedAddress('init()', bad), { name: 'TypeError', message: /init\(\).*host:port/ }, bad)
  })

  test('a home that cannot be made says what to do', () => {
    const file = join(home, 'file')
    writeFileSync(file, '')
    for (const bad of [file, join(file, 'x')])
      assert.throws(
        () => homeFolder(bad, 'logs'),
        (error: Error) => error instanceof ClusterConnectionError && /file.*Set EAGLERAY_HOME/.test(error.message),
      )
  })

  test('the token is made once, for the user alone; EAGLERAY_TOKEN goes before it', () => {
    assert.equal(knownToken(home), null)
    const token = ownToken(home)
    assert.match(token, /^[0-9a-f]{64}$/)
    assert.equal(ownToken(home), token)
    assert.equal(knownToken(home), token)
    assert.equal(statSync(join(home, 'token')).mode & 0o777, 0o600)
    assert.equal(statSync(home).mode & 0o777, 0o700)
    process.env[TOKEN_ENV] = 'given'
    assert.equal(ownToken(home), 'given')
    assert.equal(readFileSync(join(home, 'token'), 'utf8'), `${token}\n`)
  })

  test('a record counts while its process lives, and is removed with others of the dead', async () => {
    const child = spawn('sleep', ['60'])
    node('gone', 'h:1', { pid: child.pid as number })
    node('other-process', 'h:1', { startTime: '1' })
    node('elsewhere', 'h:1', { hostname: 'another machine' })
    node('here', 'h:1')
    writeRecord(home, 'heads', 'h', { ...recordOf(process.pid, 'h:1'), logPath: '/l', storageDir: null })
    writeFileSync(join(home, 'nodes', 'garbage.json'), '{')
    child.kill('SIGKILL')
    await once(child, 'exit')
    assert.deepEqual(
      liveNodes(home).map(each => each.nodeId),
      ['here'],
    )
    assert.equal(liveHeads(home).length, 1)
    sweepRecords(home)
    const left = ['gone', 'other-process', 'elsewhere', 'here'].filter(name => existsSync(join(home, 'nodes', `${name}.json`)))
    assert.deepEqual(left, ['elsewhere', 'here'])
    assert.equal(statSync(join(home, 'nodes', 'here.json')).mode & 0o777, 0o600)
    assert.equal(hostname().length > 0, true)
  })

  test('one that joins its cluster again is none to attach to; who looks for it waits, at most for as long as it does', async () => {
    node('before', 'h:1', { rejoins: true })
    assert.deepEqual([liveNodes(home), rejoiningNodes(home).length], [[], 1])
    assert.throws(() => nodeFor('h:1'), ClusterConnectionError)
    let looked = 0
    const look = (): string | undefined => {
      if (++looked === 3) node('after', 'h:1')
      return nodeFor('h:1')?.nodeId
    }
    assert.equal(await whileOneRejoins(look), 'after')
    removeRecord(home, 'nodes', 'before')
    await assert.rejects(
      whileOneRejoins(() => nodeFor('h:2')),
      ClusterConnectionError,
    )
  })

  test('drivers find the node beside the head, else the oldest; a test’s cluster only by its address', () => {
    assert.equal(nodeFor(undefined), null)
    assert.throws(() => nodeFor('auto'), ClusterConnectionError)
    node('quiet', 'h:1', { listed: false })
    assert.equal(nodeFor(undefined), null)
    assert.equal(nodeFor('h:1')?.nodeId, 'quiet')
    node('young', 'h:2', { since: 9 })
    node('old', 'h:2', { since: 8 })
    assert.equal(nodeFor(undefined)?.nodeId, 'old')
    node('beside', 'h:2', { since: 10, withHead: true })
    assert.equal(nodeFor('auto')?.nodeId, 'beside')
    node('second', 'h:3')
    assert.throws(() => nodeFor('auto'), /2 clusters run on this machine, at h:2 and h:3|at h:3 and h:2/)
    assert.equal(nodeFor('h:3')?.nodeId, 'second')
    assert.throws(() => nodeFor('h:4'), { name: 'ClusterConnectionError', message: /no node of a cluster at h:4.*start --address h:4/ })
    writeRecord(home, 'heads', 'h', { ...recordOf(process.pid, 'h:4'), logPath: '/l', storageDir: null })
    assert.throws(() => nodeFor('h:4'), /the head of the cluster at h:4 runs on this machine, but no node/)
  })
})
