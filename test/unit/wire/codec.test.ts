// SPDX-License-Identifier: Apache-2.0

import assert from 'node:assert/strict'
import { encode } from '@msgpack/msgpack'
import fc from 'fast-check'
import { WireError } from '#lib/errors.js'
import { objectId } from '#lib/ids.js'
import { decodeControl, encodeControl } from '#lib/wire/codec.js'
import type { ActorSpec, ActorView, Control, Death, Environment, GroupSpec, JobSpec, NodeView, Where } from '#lib/wire/messages.js'
import { workerIdOf } from '../../fakes/cluster.js'

const W = workerIdOf(3)
const OBJECT = objectId(W, 7)
const environment: Environment = {
  ...{ key: 'e', envVars: { A: 'b' }, workingDir: '/d', excludes: ['*.log'], packages: ['p@1'], registry: null },
  ...{ preload: ['./x.mjs'], nodeOptions: ['--expose-gc'] },
}
const job: JobSpec = { jobId: 'j', namespace: 'n', driver: W, cwd: '/', loaders: ['tsx'], execArgv: ['-x'], nodeOptions: '' }
const where: Where = { strategy: { is: 'group', groupId: 'g', bundle: -1, capture: true }, labels: { zone: '!a' } }
const group: GroupSpec = {
  ...{ groupId: 'g', name: null, namespace: 'n', strategy: 'PACK', bundles: [{ CPU: 1 }, {}], detached: false, jobId: 'j' },
}
const class_ = { key: 'CPU:1', resources: { CPU: 10_000 }, freshWorker: false, maxCalls: 0, environment, job, where, near: null }
const death: Death = { exitCode: null, signal: 'SIGKILL', stderrTail: '', reason: null, outOfMemory: false }
const spec: ActorSpec = {
  ...{ actorId: 'a', className: 'C', name: null, namespace: 'n', detached: false, getIfExists: false, maxRestarts: -1 },
  ...{ placement: { CPU: 1 }, held: {}, maxConcurrency: 1, concurrencyGroups: { io: 2 }, methodGroups: { m: 'io' }, isAsync: false },
  ...{
    maxTaskRetries: 0,
    maxPendingCalls: -1,
    codeHash: 'h',
    code: new Uint8Array(2),
    args: new Uint8Array(0),
    shape: new Uint8Array(1),
    environment: null,
    job,
    where: { strategy: { is: 'node', nodeId: 'n', soft: true }, labels: {} },
  },
}
const view: ActorView = {
  ...{ actorId: 'a', className: 'C', name: null, namespace: 'n', phase: 'dead', workerId: null, pid: 3, nodeId: null, incarnation: 0 },
  ...{ restartsLeft: -1, deathCause: new Uint8Array(3), shape: new Uint8Array(1), maxTaskRetries: 0, maxPendingCalls: -1, isAsync: true },
}

const node: NodeView = {
  ...{ nodeId: 'n', daemonId: W, hostname: 'h', address: 'tcp://127.0.0.1:1', dataAddress: '', state: 'alive', labels: { a: 'b' } },
  ...{ gpuIds: ['0'], total: { CPU: 1 }, available: { CPU: 1 }, deathCause: null },
}

/** One of each kind. */
const messages: { [K in Control['is']]: Extract<Control, { is: K }> } = {
  hello: { is: 'hello', protocol: 1, workerId: W, pid: 4, kind: 'driver', token: 't', job },
  envFailed: { is: 'envFailed', pid: 4, token: 't', field: 'runtimeEnv.preload', message: 'm' },
  want: { is: 'want', class: class_, count: 3, held: 2, taskName: 'f' },
  leaseReturn: { is: 'leaseReturn', leaseId: 1, retire: true },
  blocked: { is: 'blocked', leaseId: 1 },
  unblock: { is: 'unblock', leaseId: 1 },
  goodbye: { is: 'goodbye', reason: 'r' },
  actorCreate: { is: 'actorCreate', spec },
  actorWatch: { is: 'actorWatch', actorId: 'a' },
  actorKill: { is: 'actorKill', actorId: 'a', noRestart: true },
  actorDrop: { is: 'actorDrop', actorId: 'a' },
  actorByName: { is: 'actorByName', request: 1, name: 'x', namespace: 'n' },
  actorStarted: { is: 'actorStarted', actorId: 'a', incarnation: 0, error: null },
  actorExited: { is: 'actorExited', actorId: 'a', incarnation: 0 },
  query: { is: 'query', request: 1, what: 'nodes', argument: '' },
  told: { is: 'told', request: 1, rows: [{ a: 1 }] },
  killWorker: { is: 'killWorker', workerId: W, reason: 'r' },
  spill: { is: 'spill', classKey: 'k', to: [W], counts: [1] },
  wantRefused: { is: 'wantRefused', classKey: 'k', count: 2 },
  groupCreate: { is: 'groupCreate', spec: group },
  groupRemove: { is: 'groupRemove', groupId: 'g' },
  groupWatch: { is: 'groupWatch', groupId: 'g' },
  groupByName: { is: 'groupByName', request: 1, name: 'x', namespace: 'n' },
  groupState: { is: 'groupState', groupId: 'g', view: { spec: group, phase: 'created', daemons: [W, null], why: null } },
  groupNamed: { is: 'groupNamed', request: 1, view: null },
  corrupt: { is: 'corrupt', workerId: W, detail: 'd' },
  collect: { is: 'collect' },
  endJob: { is: 'endJob' },
  jobOver: { is: 'jobOver' },
  welcome: {
    is: 'welcome',
    nodeId: 'n',
    sessionDir: 's',
    nodeIp: 'i',
    resources: { CPU: 1 },
    labels: { a: 'b' },
  },
  refused: { is: 'refused', message: 'm', code: 'c' },
  grant: { is: 'grant', classKey: 'k', leaseId: 1, workerId: W, gpuIds: ['0'], nodeId: 'n' },
  unplaceable: { is: 'unplaceable', classKey: 'k', message: 'm', groupRemoved: false },
  envBroken: { is: 'envBroken', classKey: 'k', field: 'runtimeEnv.npm', message: 'm' },
  yields: { is: 'yields', classKey: 'k', count: 2, held: 7 },
  reclaim: { is: 'reclaim', classKey: 'k', count: 2, held: 1, must: 1 },
  resumed: { is: 'resumed', leaseId: 1 },
  workerDied: { is: 'workerDied', workerId: W, death },
  actorStart: { is: 'actorStart', spec, incarnation: 1, gpuIds: [], ownerId: W },
  actorStop: { is: 'actorStop', actorId: 'a', reason: 'r' },
  actorState: { is: 'actorState', actorId: 'a', view },
  actorNamed: { is: 'actorNamed', request: 1, view: null },
  log: { is: 'log', workerId: W, pid: 1, name: 'f', stream: 'stdout', lines: ['a', 'b'] },
  warning: { is: 'warning', text: 't' },
  retire: { is: 'retire' },
  answer: { is: 'answer', request: 1, rows: [] },
  ask: { is: 'ask', request: 1, what: 'tasks', argument: '' },
  code: { is: 'code', hash: 'h', name: 'f', bytes: new Uint8Array([1, 2]) },
  leaseStart: { is: 'leaseStart', leaseId: 1, gpuIds: ['1'], resources: {}, job, capture: null },
  borrow: { is: 'borrow', ack: 1, seqs: [1, 2 ** 52] },
  borrowed: { is: 'borrowed', ack: 1, missing: [] },
  unborrow: { is: 'unborrow', seqs: [1] },
  fetch: { is: 'fetch', seqs: [1] },
  returnsHeld: { is: 'returnsHeld', tasks: [1] },
  cancelTask: { is: 'cancelTask', task: 1, force: false, recursive: true },
  cancelObject: { is: 'cancelObject', seq: 1, force: false, recursive: true },
  leaseBlocked: { is: 'leaseBlocked', leaseId: 1 },
  takeBack: { is: 'takeBack', claims: [0, 255] },

  adopt: { is: 'adopt', ack: 1, owner: W, seqs: [1, 2] },
  disown: { is: 'disown', owner: W, seqs: [1] },
  mourned: { is: 'mourned', id: W },
  adopted: { is: 'adopted', ack: 1, missing: [2] },
  claim: { is: 'claim', owner: W, seqs: [1] },
  claimed: { is: 'claimed', owner: W, seqs: [1, 2], kept: [[1, 200_000]] },
  unclaim: { is: 'unclaim', owner: W, seqs: [1] },

  linkHello: { is: 'linkHello', protocol: 3, nodeId: 'n', daemonId: W, address: 'tcp://127.0.0.1:1' },
  linkRefused: { is: 'linkRefused', message: 'm' },
  routeHold: { is: 'routeHold', nodeId: 'n', held: true },

  register: { is: 'register', clusterId: null, node },
  watching: { is: 'watching', actors: [['a', W]], groups: [['g', W]] },
  synced: {
    is: 'synced',
    actors: [{ actorId: 'a', incarnation: 1, workerId: W, pid: 3, gpuIds: ['0'] }],
    placing: ['b'],
    jobs: ['00000001'],
    bundles: [{ groupId: 'g', attempt: 'a', index: 0, committed: true }],
  },
  beat: { is: 'beat', available: { CPU: 1 }, demand: [{ resources: { CPU: 1 }, count: 2 }] },
  forHead: { is: 'forHead', seq: 1, from: W, message: { is: 'actorWatch', actorId: 'a' } },
  toHead: { is: 'toHead', seq: 2, event: { is: 'processDied', workerId: W, death } },
  registered: { is: 'registered', clusterId: 'c', epoch: 'e', seen: 0, nodeDeadAfterMs: 10_000 },
  registerAgain: { is: 'registerAgain' },
  headAck: { is: 'headAck', seq: 3 },
  view: { is: 'view', full: true, nodes: [node] },
  nodeDied: { is: 'nodeDied', nodeId: 'n', why: 'silence' },
  fenced: { is: 'fenced', why: 'silence' },
  deliver: { is: 'deliver', to: W, message: { is: 'actorState', actorId: 'a', view } },
  toNode: { is: 'toNode', event: { is: 'endWorker', workerId: W, reason: 'r' } },
  drainNode: { is: 'drainNode', request: 1, nodeId: 'n' },
  kvPut: { is: 'kvPut', request: 1, namespace: 'n', key: 'k', value: new Uint8Array(1), overwrite: true },
  kvGet: { is: 'kvGet', request: 1, namespace: 'n', key: 'k' },
  kvDelete: { is: 'kvDelete', request: 1, namespace: 'n', key: 'k' },
  kvList: { is: 'kvList', request: 1, namespace: 'n', prefix: 'k' },
  kvAnswer: { is: 'kvAnswer', request: 1, done: true, value: null, keys: ['k'], error: null },

  pull: { is: 'pull', id: OBJECT, why: 'get' },
  pullEnd: { is: 'pullEnd', id: OBJECT },
  freeCopies: { is: 'freeCopies', nodes: ['n'], ids: [OBJECT] },
  pulled: { is: 'pulled', id: OBJECT },
  pullFailed: { is: 'pullFailed', id: OBJECT, error: new Uint8Array(2) },
  locate: { is: 'locate', seqs: [1] },
  copyAdded: { is: 'copyAdded', seqs: [1] },
  copiesHeld: { is: 'copiesHeld', seqs: [1] },
  copyStopped: { is: 'copyStopped', seqs: [1] },
  copyMissing: { is: 'copyMissing', seq: 1, nodes: ['n'] },
  located: { is: 'located', seq: 1, state: 'failed', nodes: [], sizeBytes: 0, error: new Uint8Array(1) },
  free: { is: 'free', ids: [OBJECT] },
}
const all = Object.values(messages) as Control[]
const plain = (value: unknown): unknown => JSON.parse(JSON.stringify(value, (_, each) => (each instanceof Uint8Array ? [...each] : each)))

suite('control messages', () => {
  test('every kind arrives as it was sent', () => {
    for (const message of all) assert.deepEqual(plain(decodeControl(encodeControl(message))), plain(message))
  })

  test('binary fields are copies: what was decoded may be overwritten', () => {
    const bytes = encodeControl(messages.code).slice()
    const decoded = decodeControl(bytes) as typeof messages.code
    bytes.fill(0)
    assert.deepEqual([...decoded.bytes], [1, 2])
  })

  test('property: a message with one field of another type, or without it, is refused', () => {
    const wrong = fc.constantFrom<unknown>(undefined, null, 3, 'x', true, Number.NaN, { x: 'y' }, [1, 'x'], new Uint8Array(2))
    const kindOf = (value: unknown): string =>
      value === null
        ? 'null'
        : Array.isArray(value)
          ? 'array'
          : value instanceof Uint8Array
            ? 'bytes'
            : Number.isNaN(value)
              ? 'NaN'
              : typeof value
    const nullable = /^(name|workerId|pid|nodeId|deathCause|error|view|exitCode|signal|reason|clusterId|value|job|capture)$/
    fc.assert(
      fc.property(fc.constantFrom(...all), fc.nat(), wrong, (message, which, other) => {
        const keys = Object.keys(message).filter(key => key !== 'is')
        const key = keys[which % Math.max(1, keys.length)]
        const before = key === undefined ? undefined : message[key as keyof Control]
        if (key === undefined || kindOf(before) === kindOf(other) || nullable.test(key)) return
        const decoded = decodeControl(encode({ ...message, [key]: other }, { ignoreUndefined: true }))
        assert.ok(decoded instanceof WireError, `${message.is}.${key}`)
      }),
      { numRuns: 1000 },
    )
  })

  test('records inside are checked as well, and lists to the last element', () => {
    const offences = [
      { ...messages.want, class: { ...class_, key: 7 } },
      { ...messages.want, class: { ...class_, environment: { ...environment, envVars: { A: 1 } } } },
      { ...messages.actorCreate, spec: { ...spec, environment: { ...environment, preload: [null] } } },
      { ...messages.want, class: { ...class_, resources: { CPU: 'all' } } },
      { ...messages.want, class: { ...class_, where: { ...where, labels: { zone: 1 } } } },
      { ...messages.want, class: { ...class_, where: { ...where, strategy: { is: 'group', groupId: 'g', bundle: '0', capture: true } } } },
      { ...messages.want, class: { ...class_, where: { ...where, strategy: { is: 'constructor' } } } },
      { ...messages.want, class: { ...class_, near: 7 } },
      { ...messages.want, class: { ...class_, where: { ...where, labels: { zone: 1 } } } },
      { ...messages.want, class: { ...class_, where: { ...where, strategy: { is: 'group', groupId: 'g', bundle: '0', capture: true } } } },
      { ...messages.want, class: { ...class_, where: { ...where, strategy: { is: 'constructor' } } } },
      { ...messages.want, class: { ...class_, near: 7 } },
      { ...messages.workerDied, death: { ...death, stderrTail: null } },
      { ...messages.actorState, view: { ...view, shape: 'x' } },
      { ...messages.actorCreate, spec: { ...spec, args: null } },
      { ...messages.borrow, seqs: [1, '2'] },
      { ...messages.grant, gpuIds: [0] },
      { ...messages.view, nodes: [node, { ...node, total: null }] },
      { ...messages.watching, actors: [['a']] },
      { ...messages.toHead, event: { is: 'processDied', workerId: W } },
      { ...messages.toNode, event: { is: 'unknown' } },
      { ...messages.forHead, message: { is: 'actorWatch' } },
      { ...messages.forHead, message: messages.forHead },
      { ...messages.pull, id: 'x' },
      { ...messages.free, ids: [OBJECT, OBJECT.slice(1)] },
    ]
    for (const offence of offences) assert.ok(decodeControl(encode(offence)) instanceof WireError, JSON.stringify(offence))
  })

  test('property: any bytes give a message or a WireError, and never throw', () => {
    const mutated = fc
      .tuple(fc.constantFrom(...all), fc.array(fc.tuple(fc.nat(), fc.nat(255)), { minLength: 1, maxLength: 4 }), fc.nat())
      .map(([message, changes, cut]) => {
        const bytes = encodeControl(message).slice()
        for (const [at, to] of changes) bytes[at % bytes.length] = to
        return cut % 3 === 0 ? bytes.slice(0, cut % bytes.length) : bytes
      })
    const anything = fc.oneof(
      fc.uint8Array({ maxLength: 200 }),
      mutated,
      fc.anything().map(value => safely(value)),
    )
    fc.assert(
      fc.property(anything, bytes => {
        const decoded = decodeControl(bytes)
        assert.ok(decoded instanceof WireError || Object.hasOwn(messages, decoded.is))
      }),
      { numRuns: 2000 },
    )
  })

  test('names of the prototype are not messages', () => {
    for (const is of ['constructor', '__proto__', 'toString', null, 3]) assert.ok(decodeControl(encode({ is })) instanceof WireError)
  })
})

function safely(value: unknown): Uint8Array {
  try {
    return encode(value)
  } catch {
    return new Uint8Array(0)
  }
}
