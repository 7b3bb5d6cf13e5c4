// SPDX-License-Identifier: Apache-2.0
// Control messages to and from MessagePack. Decoding never trusts: any bytes give a message of the union or a WireError.

import { decode, Encoder } from '@msgpack/msgpack'
import type { HeadToNode, NodeToHead } from '../core/node/events.js'
import { WireError } from '../errors.js'
import { isObjectId } from '../ids.js'
import type { Control, Strategy } from './messages.js'

const encoder = new Encoder({ useBigInt64: false, ignoreUndefined: true })

/** The fields each message must have, by type; checked on arrival because the sender may be anybody. `?`: or null. */
const shapes: { [K in Control['is']]: string } = {
  hello: 'protocol:number workerId:string pid:number kind:string token:string job:job?',
  envFailed: 'pid:number token:string field:string message:string',
  want: 'class:class count:number held:number taskName:string',
  leaseReturn: 'leaseId:number retire:boolean',
  yields: 'classKey:string count:number held:number',
  blocked: 'leaseId:number',
  unblock: 'leaseId:number',
  goodbye: 'reason:string',
  actorCreate: 'spec:spec',
  actorWatch: 'actorId:string',
  actorKill: 'actorId:string noRestart:boolean',
  actorDrop: 'actorId:string',
  actorByName: 'request:number name:string namespace:string',
  actorStarted: 'actorId:string incarnation:number error:bytes?',
  actorExited: 'actorId:string incarnation:number',
  query: 'request:number what:string argument:string',
  told: 'request:number rows:list',
  killWorker: 'workerId:string reason:string',
  corrupt: 'workerId:string detail:string',
  collect: '',
  endJob: '',
  welcome: 'nodeId:string sessionDir:string nodeIp:string resources:amounts labels:object',
  refused: 'message:string code:string',
  grant: 'classKey:string leaseId:number workerId:string gpuIds:strings nodeId:string',
  unplaceable: 'classKey:string message:string groupRemoved:boolean',
  envBroken: 'classKey:string field:string message:string',
  reclaim: 'classKey:string count:number held:number must:number',
  resumed: 'leaseId:number',
  workerDied: 'workerId:string death:death',
  actorStart: 'spec:spec incarnation:number gpuIds:strings ownerId:string',
  actorStop: 'actorId:string reason:string',
  actorState: 'actorId:string view:view',
  actorNamed: 'request:number view:view?',
  log: 'workerId:string pid:number name:string stream:string lines:strings',
  jobOver: '',
  warning: 'text:string',
  retire: '',
  answer: 'request:number rows:list',
  ask: 'request:number what:string argument:string',
  code: 'hash:string name:string bytes:bytes',
  leaseStart: 'leaseId:number gpuIds:strings resources:amounts job:job capture:string?',
  borrow: 'ack:number seqs:numbers',
  borrowed: 'ack:number missing:numbers',
  unborrow: 'seqs:numbers',
  fetch: 'seqs:numbers',
  returnsHeld: 'tasks:numbers',
  cancelTask: 'task:number force:boolean recursive:boolean',
  cancelObject: 'seq:number force:boolean recursive:boolean',
  leaseBlocked: 'leaseId:number',
  takeBack: 'claims:numbers',

  adopt: 'ack:number owner:string seqs:numbers',
  disown: 'owner:string seqs:numbers',
  mourned: 'id:string',
  adopted: 'ack:number missing:numbers',
  claim: 'owner:string seqs:numbers',
  claimed: 'owner:string seqs:numbers kept:numberPairs',
  unclaim: 'owner:string seqs:numbers',

  spill: 'classKey:string to:strings counts:numbers',
  wantRefused: 'classKey:string count:number',
  groupCreate: 'spec:group',
  groupRemove: 'groupId:string',
  groupWatch: 'groupId:string',
  groupByName: 'request:number name:string namespace:string',
  groupState: 'groupId:string view:groupView?',
  groupNamed: 'request:number view:groupView?',

  linkHello: 'protocol:number nodeId:string daemonId:string address:string',
  linkRefused: 'message:string',
  routeHold: 'nodeId:string held:boolean',

  register: 'clusterId:string? node:node',
  watching: 'actors:pairs groups:pairs',
  synced: 'actors:seats placing:strings jobs:strings bundles:bundleSeats',
  beat: 'available:amounts demand:demands',
  forHead: 'seq:number from:string message:control',
  toHead: 'seq:number event:event',
  registered: 'clusterId:string epoch:string seen:number nodeDeadAfterMs:number',
  registerAgain: '',
  headAck: 'seq:number',
  view: 'full:boolean nodes:nodes',
  nodeDied: 'nodeId:string why:string',
  fenced: 'why:string',
  deliver: 'to:string message:control',
  toNode: 'event:event',
  drainNode: 'request:number nodeId:string',
  kvPut: 'request:number namespace:string key:string value:bytes overwrite:boolean',
  kvGet: 'request:number namespace:string key:string',
  kvDelete: 'request:number namespace:string key:string',
  kvList: 'request:number namespace:string prefix:string',
  kvAnswer: 'request:number done:boolean value:bytes? keys:strings error:string?',

  pull: 'id:object-id why:string',
  pullEnd: 'id:object-id',
  freeCopies: 'nodes:strings ids:object-ids',
  pulled: 'id:object-id',
  pullFailed: 'id:object-id error:bytes',
  locate: 'seqs:numbers',
  copyAdded: 'seqs:numbers',
  copiesHeld: 'seqs:numbers',
  copyStopped: 'seqs:numbers',
  copyMissing: 'seq:number nodes:strings',
  located: 'seq:number state:string nodes:strings sizeBytes:number error:bytes?',
  free: 'ids:object-ids',
}

/** What a node and its head tell each other, by type; the same events pass within one process where the head is embedded. */
const events: { [K in (HeadToNode | NodeToHead)['is']]: string } = {
  place: 'actorId:string incarnation:number name:string placement:amounts held:amounts environment:environment? job:job where:where?',
  jobEnded: 'jobId:string',
  bundlePrepare: 'groupId:string attempt:string bundles:bundles',
  bundleCommit: 'groupId:string attempt:string',
  bundleReturn: 'groupId:string attempt:string? why:string',
  groupChanged: 'groupId:string view:groupView?',
  bundlePrepared: 'groupId:string attempt:string',
  bundleRefused: 'groupId:string attempt:string',
  watchGroup: 'groupId:string',
  unplace: 'actorId:string',
  endWorker: 'workerId:string reason:string',
  watchProcess: 'workerId:string',
  drain: '',
  leave: '',
  placed: 'actorId:string incarnation:number workerId:string pid:number gpuIds:strings',
  placeRefused: 'actorId:string incarnation:number',
  placementImpossible: 'actorId:string message:string',
  environmentBroken: 'actorId:string message:string',
  processDied: 'workerId:string death:death',
  drained: '',
  leaving: 'why:string',
}

/** Records inside messages. */
const records = {
  environment:
    'key:string envVars:texts workingDir:string? excludes:strings packages:strings registry:string? preload:strings nodeOptions:strings',
  job: 'jobId:string namespace:string driver:string cwd:string loaders:strings execArgv:strings nodeOptions:string',
  where: 'strategy:strategy labels:texts',
  class: 'key:string resources:amounts freshWorker:boolean maxCalls:number environment:environment? job:job where:where? near:string?',
  death: 'exitCode:number? signal:string? stderrTail:string reason:string? outOfMemory:boolean',
  spec:
    'actorId:string className:string name:string? namespace:string detached:boolean getIfExists:boolean maxRestarts:number placement:amounts held:amounts ' +
    'maxConcurrency:number concurrencyGroups:amounts methodGroups:object isAsync:boolean maxTaskRetries:number maxPendingCalls:number codeHash:string ' +
    'code:bytes args:bytes shape:bytes environment:environment? job:job where:where?',
  view:
    'actorId:string className:string name:string? namespace:string phase:string workerId:string? pid:number? nodeId:string? incarnation:number ' +
    'restartsLeft:number deathCause:bytes? shape:bytes maxTaskRetries:number maxPendingCalls:number isAsync:boolean',
  node:
    'nodeId:string daemonId:string hostname:string address:string dataAddress:string state:string labels:texts gpuIds:strings total:amounts ' +
    'available:amounts deathCause:string?',
  demand: 'resources:amounts count:number',
  group: 'groupId:string name:string? namespace:string strategy:string bundles:amountses detached:boolean jobId:string',
  groupView: 'spec:group phase:string daemons:daemons why:string?',
  bundle: 'index:number amounts:amounts',
  bundleSeat: 'groupId:string attempt:string index:number committed:boolean',
  seat: 'actorId:string incarnation:number workerId:string pid:number gpuIds:strings',
}

type Check = (field: unknown) => boolean

const isNumber = (field: unknown): boolean => typeof field === 'number' && !Number.isNaN(field)
const isString = (field: unknown): boolean => typeof field === 'string'
const isRecord = (field: unknown): boolean =>
  typeof field === 'object' && field !== null && !Array.isArray(field) && !(field instanceof Uint8Array)

const isId = (field: unknown): boolean => typeof field === 'string' && isObjectId(field)

const checks = new Map<string, Check>([
  ['number', isNumber],
  ['string', isString],
  ['boolean', field => typeof field === 'boolean'],
  ['object', isRecord],
  ['list', field => Array.isArray(field)],
  ['bytes', field => field instanceof Uint8Array],
  ['numbers', field => Array.isArray(field) && field.every(isNumber)],
  ['strings', field => Array.isArray(field) && field.every(isString)],
  ['object-id', isId],
  ['object-ids', field => Array.isArray(field) && field.every(isId)],
  ['texts', field => isRecord(field) && Object.values(field as object).every(isString)],
  ['amountses', field => Array.isArray(field) && field.every(each => isRecord(each) && Object.values(each).every(isNumber))],
  ['daemons', field => Array.isArray(field) && field.every(each => each === null || isString(each))],
  ['amounts', field => isRecord(field) && Object.values(field as object).every(isNumber)],
  ['strategy', field => isRecord(field) && (strategies.get(String((field as Strategy).is)) as Check | undefined)?.(field) === true],
])
const strategies = new Map<string, Check>(
  Object.entries({
    default: '',
    spread: '',
    node: 'nodeId:string soft:boolean',
    group: 'groupId:string bundle:number capture:boolean',
  } satisfies { [K in Strategy['is']]: string }).map(([is, text]) => [is, all(text)]),
)
for (const [name, text] of Object.entries(records)) {
  const check = all(text)
  checks.set(name, check)
  checks.set(`${name}s`, field => Array.isArray(field) && field.every(check))
}
checks.set(
  'numberPairs',
  field => Array.isArray(field) && field.every(each => Array.isArray(each) && each.length === 2 && each.every(isNumber)),
)
checks.set('pairs', field => Array.isArray(field) && field.every(each => Array.isArray(each) && each.length === 2 && each.every(isString)))
checks.set('control', field => isOneOf(field, fields) && !carriers.has((field as Control).is))
checks.set('event', field => isOneOf(field, eventFields))

/** Messages that carry another: never one of themselves, so that a check ends. */
const carriers = new Set<string>(['forHead', 'deliver'])

function isOneOf(field: unknown, kinds: Map<string, Field[]>): boolean {
  if (!isRecord(field)) return false
  const record = field as Record<string, unknown>
  return kinds.get(String(record.is))?.every(each => each.check(record[each.name])) ?? false
}

/** A record that has all these fields. */
function all(text: string): Check {
  const list = parse(text)
  return field => isRecord(field) && list.every(each => each.check((field as Record<string, unknown>)[each.name]))
}

interface Field {
  name: string
  type: string
  check: Check
}

function parse(text: string): Field[] {
  if (text === '') return []
  return text.split(' ').map(field => {
    const [name, type] = field.split(':') as [string, string]
    const check = checks.get(type.replace('?', '')) as Check
    return { name, type, check: type.endsWith('?') ? value => value === null || check(value) : check }
  })
}

const fields = new Map<string, Field[]>(Object.entries(shapes).map(([is, text]) => [is, parse(text)]))
const eventFields = new Map<string, Field[]>(Object.entries(events).map(([is, text]) => [is, parse(text)]))

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
  if (typeof value !== 'object' || value === null) return new WireError('a control message is not an object')
  const record = value as Record<string, unknown>
  const expected = fields.get(String(record.is))
  if (expected === undefined) return new WireError(`unknown control message ${JSON.stringify(record.is)}`)
  for (const { name, type, check } of expected) {
    if (!check(record[name])) return new WireError(`control message ${String(record.is)}: field ${name} is not a ${type}`)
  }
  return record as unknown as Control
}
