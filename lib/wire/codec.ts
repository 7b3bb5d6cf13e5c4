// SPDX-License-Identifier: Apache-2.0
// Control messages to and from MessagePack. Decoding never trusts: any bytes give a message of the union or a WireError.

import { decode, Encoder } from '@msgpack/msgpack'
import type { HeadToNode, NodeToHead } from '../core/node/events.js'
import { WireError } from '../errors.js'
import { isOneOf, isRecord, isShallow, Kinds } from './checks.js'
import type { Control, Strategy } from './messages.js'

const encoder = new Encoder({ useBigInt64: false, ignoreUndefined: true })

/** The fields each message must have, each with its kind (checks.ts); checked on arrival because the sender may be anybody. `?`: or null. */
const shapes: { [K in Control['is']]: string } = {
  hello: 'protocol:count workerId:worker pid:count kind:string token:string job:job?',
  envFailed: 'pid:count token:string field:string message:string',
  want: 'class:class count:wanted held:count taskName:string',
  leaseReturn: 'leaseId:count retire:boolean',
  yields: 'classKey:string count:count held:count',
  blocked: 'leaseId:count',
  unblock: 'leaseId:count',
  goodbye: 'reason:string',
  actorCreate: 'spec:spec',
  actorWatch: 'actorId:id',
  actorKill: 'actorId:id noRestart:boolean',
  actorDrop: 'actorId:id',
  actorByName: 'request:count name:string namespace:string',
  actorStarted: 'actorId:id incarnation:count error:bytes?',
  actorExited: 'actorId:id incarnation:count',
  query: 'request:count what:string argument:string',
  told: 'request:count rows:list',
  killWorker: 'workerId:worker reason:string',
  corrupt: 'workerId:worker detail:string',
  collect: '',
  endJob: '',
  welcome: 'nodeId:node sessionDir:string nodeIp:string resources:amounts labels:texts',
  refused: 'message:string code:string',
  grant: 'classKey:string leaseId:positive workerId:worker gpuIds:strings nodeId:node',
  unplaceable: 'classKey:string message:string groupRemoved:boolean',
  envBroken: 'classKey:string field:string message:string',
  reclaim: 'classKey:string count:count held:count must:count',
  resumed: 'leaseId:count',
  workerDied: 'workerId:worker death:death',
  actorStart: 'spec:spec incarnation:count gpuIds:strings ownerId:worker',
  actorStop: 'actorId:id reason:string',
  actorState: 'actorId:id view:view',
  actorNamed: 'request:count view:view?',
  log: 'workerId:driver pid:count name:string stream:string lines:strings',
  jobOver: '',
  warning: 'text:string',
  retire: '',
  answer: 'request:count rows:list',
  ask: 'request:count what:string argument:string',
  code: 'hash:string name:string bytes:bytes',
  leaseStart: 'leaseId:positive gpuIds:strings resources:amounts job:job capture:id?',
  borrow: 'ack:count seqs:counts',
  borrowed: 'ack:count missing:counts',
  unborrow: 'seqs:counts',
  fetch: 'seqs:counts',
  returnsHeld: 'tasks:counts',
  cancelTask: 'task:count force:boolean recursive:boolean',
  cancelObject: 'seq:count force:boolean recursive:boolean',
  leaseBlocked: 'leaseId:count',
  takeBack: 'claims:counts',

  adopt: 'ack:count owner:worker seqs:counts',
  disown: 'owner:worker seqs:counts',
  mourned: 'id:dead',
  adopted: 'ack:count missing:counts',
  claim: 'owner:worker seqs:counts',
  claimed: 'owner:worker seqs:counts kept:count-pairs',
  unclaim: 'owner:worker seqs:counts',

  spill: 'classKey:string to:workers counts:wanteds',
  wantRefused: 'classKey:string count:wanted',
  groupCreate: 'spec:group',
  groupRemove: 'groupId:id',
  groupWatch: 'groupId:id',
  groupByName: 'request:count name:string namespace:string',
  groupState: 'groupId:id view:groupView?',
  groupNamed: 'request:count view:groupView?',

  linkHello: 'protocol:count nodeId:string daemonId:string address:string',
  linkRefused: 'message:string',
  routeHold: 'nodeId:node held:boolean',

  register: 'clusterId:string? node:nodeView',
  watching: 'actors:watchers groups:watchers',
  synced: 'actors:seats placing:strings jobs:strings bundles:bundleSeats',
  beat: 'available:balances demand:demands',
  forHead: 'seq:count from:worker message:control',
  toHead: 'seq:count event:event',
  registered: 'clusterId:string epoch:string seen:count nodeDeadAfterMs:positive dead:nodes',
  registerAgain: '',
  headAck: 'seq:count',
  view: 'full:boolean nodes:nodeViews',
  nodeDied: 'nodeId:node why:string',
  fenced: 'why:string',
  headStorage: 'storage:string?',
  headAway: 'isAway:boolean storage:string?',
  nodeEnds: 'why:string comesAgain:boolean',
  deliver: 'to:worker message:control',
  toNode: 'event:event',
  drainNode: 'request:count nodeId:string',
  kvPut: 'request:count namespace:string key:string value:bytes overwrite:boolean',
  kvGet: 'request:count namespace:string key:string',
  kvDelete: 'request:count namespace:string key:string',
  kvList: 'request:count namespace:string prefix:string',
  kvAnswer: 'request:count done:boolean value:bytes? keys:strings error:string?',

  pull: 'id:id why:string',
  pullEnd: 'id:id',
  freeCopies: 'nodes:nodes ids:ids',
  pulled: 'id:id',
  pullFailed: 'id:id error:bytes',
  locate: 'seqs:counts',
  copyAdded: 'seqs:counts',
  copiesHeld: 'seqs:counts',
  copyStopped: 'seqs:counts',
  copyMissing: 'seq:count nodes:nodes losses:count',
  located: 'seq:count state:string nodes:nodes sizeBytes:count losses:count error:bytes?',
  free: 'ids:ids',
}

/** What a node and its head tell each other, by type; the same events pass within one process where the head is embedded. */
const events: { [K in (HeadToNode | NodeToHead)['is']]: string } = {
  place: 'actorId:id incarnation:count name:string placement:amounts held:amounts environment:environment? job:job where:where?',
  jobEnded: 'jobId:string',
  bundlePrepare: 'groupId:id attempt:string bundles:bundles',
  bundleCommit: 'groupId:id attempt:string',
  bundleReturn: 'groupId:id attempt:string? why:string',
  groupChanged: 'groupId:id view:groupView?',
  bundlePrepared: 'groupId:id attempt:string',
  bundleRefused: 'groupId:id attempt:string',
  watchGroup: 'groupId:id',
  unplace: 'actorId:id',
  endWorker: 'workerId:worker reason:string',
  watchProcess: 'workerId:worker',
  drain: '',
  leave: '',
  placed: 'actorId:id incarnation:count workerId:worker pid:count gpuIds:strings',
  placeRefused: 'actorId:id incarnation:count',
  placementImpossible: 'actorId:id message:string',
  environmentBroken: 'actorId:id message:string',
  processDied: 'workerId:worker death:death',
  drained: '',
  leaving: 'why:string',
}

/** Records inside messages, those that others contain first. */
const records = {
  environment:
    'key:string envVars:texts workingDir:string? excludes:strings packages:strings registry:string? preload:strings nodeOptions:strings',
  job: 'jobId:string namespace:string driver:driver cwd:string loaders:strings execArgv:strings nodeOptions:string',
  where: 'strategy:strategy labels:texts',
  class: 'key:string resources:amounts freshWorker:boolean maxCalls:count environment:environment? job:job where:where? near:node?',
  death: 'exitCode:integer? signal:string? stderrTail:string reason:string? outOfMemory:boolean',
  spec:
    'actorId:id className:string name:string? namespace:string detached:boolean outlivesJob:boolean getIfExists:boolean maxRestarts:limit placement:amounts held:amounts ' +
    'maxConcurrency:positive concurrencyGroups:amounts methodGroups:texts isAsync:boolean maxTaskRetries:limit maxPendingCalls:limit codeHash:string ' +
    'code:bytes args:bytes shape:bytes environment:environment? job:job where:where?',
  view:
    'actorId:id className:string name:string? namespace:string phase:string workerId:worker? pid:count? nodeId:node? incarnation:count ' +
    'restartsLeft:limit deathCause:bytes? shape:bytes maxTaskRetries:limit maxPendingCalls:limit isAsync:boolean',
  nodeView:
    'nodeId:node daemonId:worker hostname:string address:string dataAddress:string state:string labels:texts gpuIds:strings total:amounts ' +
    'available:balances deathCause:string?',
  demand: 'resources:amounts count:wanted',
  group: 'groupId:id name:string? namespace:string strategy:string bundles:amountses detached:boolean jobId:string',
  groupView: 'spec:group phase:string daemons:daemons why:string?',
  bundle: 'index:count amounts:amounts',
  bundleSeat: 'groupId:id attempt:string index:count committed:boolean',
  seat: 'actorId:id incarnation:count workerId:worker pid:count gpuIds:strings',
}

const strategies: { [K in Strategy['is']]: string } = {
  default: '',
  spread: '',
  node: 'nodeId:string soft:boolean',
  group: 'groupId:id bundle:limit capture:boolean',
}

/** Messages that carry another: never one of themselves, so that a check ends. */
const carriers = new Set<unknown>(['forHead', 'deliver'])
/** How deep a message may be, and one that carries it: far above what there is, and below what can be written. */
const LEVELS = 32
const CARRIER_LEVELS = LEVELS + 2

const kinds = new Kinds()
kinds.addUnion('strategy', strategies)
for (const [name, fields] of Object.entries(records)) kinds.addRecord(name, fields)
kinds.addUnion('event', events)
kinds.add('control', field => isMessage(field) && !carriers.has((field as Control).is))
const messages = kinds.tableOf(shapes)
const isMessage = isOneOf(messages)

export function encodeControl(message: Control): Uint8Array {
  return encoder.encode(message)
}

/** Decodes one message. `bytes` may be overwritten afterwards: binary fields are copied. */
export function decodeControl(bytes: Uint8Array): Control | WireError {
  let value: unknown
  try {
    value = decode(bytes.slice())
  } catch (error) {
    return new WireError(`a control message is not MessagePack: ${(error as Error).message}`)
  }
  if (!isRecord(value)) return new WireError('a control message is not an object')
  const { is } = value
  const fields = typeof is === 'string' ? messages.get(is) : undefined
  if (fields === undefined)
    return new WireError(`unknown control message ${typeof is === 'string' ? JSON.stringify(is) : `of a ${typeof is}`}`)
  for (const { name, kind, check } of fields)
    if (!check(value[name])) return new WireError(`control message ${is}: field ${name} is not of the kind ${kind}`)
  if (!isShallow(value, carriers.has(is) ? CARRIER_LEVELS : LEVELS)) return new WireError(`control message ${is}: it is too deep`)
  return value as unknown as Control
}
