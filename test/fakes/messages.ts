// SPDX-License-Identifier: Apache-2.0
// A message of each kind, as it may be.

import { nodeOf, objectId } from '#lib/ids.js'
import type { ActorSpec, ActorView, Control, Death, Environment, GroupSpec, JobSpec, NodeView, Where } from '#lib/wire/messages.js'
import { workerIdOf } from './cluster.js'

const W = workerIdOf(3)
const NODE = nodeOf(W)
const OBJECT = objectId(W, 7)
const environment: Environment = {
  ...{ key: 'e', envVars: { A: 'b' }, workingDir: '/d', excludes: ['*.log'], packages: ['p@1'], registry: null },
  ...{ preload: ['./x.mjs'], nodeOptions: ['--expose-gc'] },
}
const job: JobSpec = { jobId: 'j', namespace: 'n', driver: W, cwd: '/', loaders: ['tsx'], execArgv: ['-x'], nodeOptions: '' }
const where: Where = { strategy: { is: 'group', groupId: OBJECT, bundle: -1, capture: true }, labels: { zone: '!a' } }
const group: GroupSpec = {
  ...{ groupId: OBJECT, name: null, namespace: 'n', strategy: 'PACK', bundles: [{ CPU: 1 }, {}], detached: false, jobId: 'j' },
}
const class_ = { key: 'CPU:1', resources: { CPU: 10_000 }, freshWorker: false, maxCalls: 0, environment, job, where, near: NODE }
const death: Death = { exitCode: 1, signal: 'SIGKILL', stderrTail: '', reason: null, outOfMemory: false }
const spec: ActorSpec = {
  ...{
    actorId: OBJECT,
    className: 'C',
    name: null,
    namespace: 'n',
    detached: false,
    outlivesJob: false,
    getIfExists: false,
    maxRestarts: -1,
  },
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
    where: { strategy: { is: 'node', nodeId: NODE, soft: true }, labels: {} },
  },
}
const view: ActorView = {
  ...{ actorId: OBJECT, className: 'C', name: null, namespace: 'n', phase: 'dead', workerId: W, pid: 3, nodeId: NODE, incarnation: 0 },
  ...{ restartsLeft: -1, deathCause: new Uint8Array(3), shape: new Uint8Array(1), maxTaskRetries: 0, maxPendingCalls: -1, isAsync: true },
}

const node: NodeView = {
  ...{ nodeId: NODE, daemonId: W, hostname: 'h', address: 'tcp://127.0.0.1:1', dataAddress: '', state: 'alive', labels: { a: 'b' } },
  ...{ gpuIds: ['0'], total: { CPU: 1 }, available: { CPU: 1 }, deathCause: null },
}

/** What the messages below are made of. */
export const parts = { W, OBJECT, class_, environment, where, death, view, spec, node }

/** One of each kind. */
export const messages: { [K in Control['is']]: Extract<Control, { is: K }> } = {
  hello: { is: 'hello', protocol: 1, workerId: W, pid: 4, kind: 'driver', token: 't', job },
  envFailed: { is: 'envFailed', pid: 4, token: 't', field: 'runtimeEnv.preload', message: 'm' },
  want: { is: 'want', class: class_, count: 3, held: 2, taskName: 'f' },
  leaseReturn: { is: 'leaseReturn', leaseId: 1, retire: true },
  blocked: { is: 'blocked', leaseId: 1 },
  unblock: { is: 'unblock', leaseId: 1 },
  goodbye: { is: 'goodbye', reason: 'r' },
  actorCreate: { is: 'actorCreate', spec },
  actorWatch: { is: 'actorWatch', actorId: OBJECT },
  actorKill: { is: 'actorKill', actorId: OBJECT, noRestart: true },
  actorDrop: { is: 'actorDrop', actorId: OBJECT },
  actorByName: { is: 'actorByName', request: 1, name: 'x', namespace: 'n' },
  actorStarted: { is: 'actorStarted', actorId: OBJECT, incarnation: 0, error: null },
  actorExited: { is: 'actorExited', actorId: OBJECT, incarnation: 0 },
  query: { is: 'query', request: 1, what: 'nodes', argument: '' },
  told: { is: 'told', request: 1, rows: [{ a: 1 }] },
  killWorker: { is: 'killWorker', workerId: W, reason: 'r' },
  spill: { is: 'spill', classKey: 'k', to: [W], counts: [1] },
  wantRefused: { is: 'wantRefused', classKey: 'k', count: 2 },
  groupCreate: { is: 'groupCreate', spec: group },
  groupRemove: { is: 'groupRemove', groupId: OBJECT },
  groupWatch: { is: 'groupWatch', groupId: OBJECT },
  groupByName: { is: 'groupByName', request: 1, name: 'x', namespace: 'n' },
  groupState: { is: 'groupState', groupId: OBJECT, view: { spec: group, phase: 'created', daemons: [W, null], why: null } },
  groupNamed: { is: 'groupNamed', request: 1, view: null },
  corrupt: { is: 'corrupt', workerId: W, detail: 'd' },
  collect: { is: 'collect' },
  endJob: { is: 'endJob' },
  jobOver: { is: 'jobOver' },
  welcome: {
    is: 'welcome',
    nodeId: NODE,
    sessionDir: 's',
    nodeIp: 'i',
    resources: { CPU: 1 },
    labels: { a: 'b' },
  },
  refused: { is: 'refused', message: 'm', code: 'c' },
  grant: { is: 'grant', classKey: 'k', leaseId: 1, workerId: W, gpuIds: ['0'], nodeId: NODE },
  unplaceable: { is: 'unplaceable', classKey: 'k', message: 'm', groupRemoved: false },
  envBroken: { is: 'envBroken', classKey: 'k', field: 'runtimeEnv.npm', message: 'm' },
  yields: { is: 'yields', classKey: 'k', count: 2, held: 7 },
  reclaim: { is: 'reclaim', classKey: 'k', count: 2, held: 1, must: 1 },
  resumed: { is: 'resumed', leaseId: 1 },
  workerDied: { is: 'workerDied', workerId: W, death },
  actorStart: { is: 'actorStart', spec, incarnation: 1, gpuIds: [], ownerId: W },
  actorStop: { is: 'actorStop', actorId: OBJECT, reason: 'r' },
  actorState: { is: 'actorState', actorId: OBJECT, view },
  actorNamed: { is: 'actorNamed', request: 1, view: null },
  log: { is: 'log', workerId: W, pid: 1, name: 'f', stream: 'stdout', lines: ['a', 'b'] },
  warning: { is: 'warning', text: 't' },
  retire: { is: 'retire' },
  answer: { is: 'answer', request: 1, rows: [] },
  ask: { is: 'ask', request: 1, what: 'tasks', argument: '' },
  code: { is: 'code', hash: 'h', name: 'f', bytes: new Uint8Array([1, 2]) },
  leaseStart: { is: 'leaseStart', leaseId: 1, gpuIds: ['1'], resources: {}, job, capture: OBJECT },
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

  linkHello: { is: 'linkHello', protocol: 3, nodeId: NODE, daemonId: W, address: 'tcp://127.0.0.1:1' },
  linkRefused: { is: 'linkRefused', message: 'm' },
  routeHold: { is: 'routeHold', nodeId: NODE, held: true },

  register: { is: 'register', clusterId: null, node },
  watching: { is: 'watching', actors: [[OBJECT, W]], groups: [[OBJECT, W]] },
  synced: {
    is: 'synced',
    actors: [{ actorId: OBJECT, incarnation: 1, workerId: W, pid: 3, gpuIds: ['0'] }],
    placing: ['b'],
    jobs: ['00000001'],
    bundles: [{ groupId: OBJECT, attempt: 'a', index: 0, committed: true }],
  },
  beat: { is: 'beat', available: { CPU: 1 }, demand: [{ resources: { CPU: 1 }, count: 2 }] },
  forHead: { is: 'forHead', seq: 1, from: W, message: { is: 'actorWatch', actorId: OBJECT } },
  toHead: { is: 'toHead', seq: 2, event: { is: 'processDied', workerId: W, death } },
  registered: { is: 'registered', clusterId: 'c', epoch: 'e', seen: 0, nodeDeadAfterMs: 10_000, dead: ['cccccccccc'] },
  registerAgain: { is: 'registerAgain' },
  headAck: { is: 'headAck', seq: 3 },
  view: { is: 'view', full: true, nodes: [node] },
  nodeDied: { is: 'nodeDied', nodeId: NODE, why: 'silence' },
  fenced: { is: 'fenced', why: 'silence' },
  headStorage: { is: 'headStorage', storage: 'waits' },
  headAway: { is: 'headAway', isAway: true, storage: 'waits' },
  nodeEnds: { is: 'nodeEnds', why: 'it got SIGTERM', comesAgain: false },
  deliver: { is: 'deliver', to: W, message: { is: 'actorState', actorId: OBJECT, view } },
  toNode: { is: 'toNode', event: { is: 'endWorker', workerId: W, reason: 'r' } },
  drainNode: { is: 'drainNode', request: 1, nodeId: NODE },
  kvPut: { is: 'kvPut', request: 1, namespace: 'n', key: 'k', value: new Uint8Array(1), overwrite: true },
  kvGet: { is: 'kvGet', request: 1, namespace: 'n', key: 'k' },
  kvDelete: { is: 'kvDelete', request: 1, namespace: 'n', key: 'k' },
  kvList: { is: 'kvList', request: 1, namespace: 'n', prefix: 'k' },
  kvAnswer: { is: 'kvAnswer', request: 1, done: true, value: null, keys: ['k'], error: null },

  pull: { is: 'pull', id: OBJECT, why: 'get' },
  pullEnd: { is: 'pullEnd', id: OBJECT },
  freeCopies: { is: 'freeCopies', nodes: [NODE], ids: [OBJECT] },
  pulled: { is: 'pulled', id: OBJECT },
  pullFailed: { is: 'pullFailed', id: OBJECT, error: new Uint8Array(2) },
  locate: { is: 'locate', seqs: [1] },
  copyAdded: { is: 'copyAdded', seqs: [1] },
  copiesHeld: { is: 'copiesHeld', seqs: [1] },
  copyStopped: { is: 'copyStopped', seqs: [1] },
  copyMissing: { is: 'copyMissing', seq: 1, nodes: [NODE], losses: 1 },
  located: { is: 'located', seq: 1, state: 'failed', nodes: [], sizeBytes: 0, losses: 1, error: new Uint8Array(1) },
  free: { is: 'free', ids: [OBJECT] },
}

export type Path = (string | number)[]

/** Where in a message there are values of that sort. */
export function placesIn(value: unknown, isOne: (value: unknown) => boolean): Path[] {
  if (isOne(value)) return [[]]
  if (typeof value !== 'object' || value === null || value instanceof Uint8Array) return []
  return Object.entries(value).flatMap(([key, each]) => placesIn(each, isOne).map((path): Path => [key, ...path]))
}

/** What a list of anything contains is nobody's business. */
export const numbersIn = (message: Control): Path[] =>
  placesIn(message, value => typeof value === 'number').filter(([first]) => first !== 'rows')

export function replaceAt(value: unknown, path: Path, by: unknown): void {
  const holder = path.slice(0, -1).reduce((each, key) => (each as Record<string, unknown>)[key], value)
  ;(holder as Record<string, unknown>)[path.at(-1) as string] = by
}
