// SPDX-License-Identifier: Apache-2.0
// Control messages to and from MessagePack. Decoding never trusts: any bytes give a message of the union or a WireError.

import { decode, Encoder } from '@msgpack/msgpack'
import { WireError } from '../errors.js'
import type { Control } from './messages.js'

const encoder = new Encoder({ useBigInt64: false, ignoreUndefined: true })

/** The fields each message must have, by type; checked on arrival because the sender may be anybody. */
const shapes: { [K in Control['is']]: string } = {
  hello: 'protocol:number workerId:string pid:number kind:string token:string',
  want: 'class:object count:number taskName:string',
  leaseReturn: 'leaseId:number retire:boolean',
  blocked: 'leaseId:number',
  unblock: 'leaseId:number',
  goodbye: 'reason:string',
  actorCreate: 'spec:object',
  actorWatch: 'actorId:string',
  actorKill: 'actorId:string noRestart:boolean',
  actorDrop: 'actorId:string',
  actorByName: 'request:number name:string namespace:string',
  actorStarted: 'actorId:string incarnation:number',
  actorExited: 'actorId:string incarnation:number',
  query: 'request:number what:string argument:string',
  told: 'request:number rows:object',
  killWorker: 'workerId:string reason:string',
  endJob: '',
  welcome: 'nodeId:string jobId:string namespace:string sessionDir:string nodeIp:string resources:object labels:object',
  refused: 'message:string code:string',
  grant: 'classKey:string leaseId:number workerId:string gpuIds:object nodeId:string',
  unplaceable: 'classKey:string message:string final:boolean',
  reclaim: '',
  resumed: 'leaseId:number',
  workerDied: 'workerId:string death:object',
  actorStart: 'spec:object incarnation:number gpuIds:object ownerId:string',
  actorStop: 'actorId:string reason:string',
  actorState: 'actorId:string view:object',
  actorNamed: 'request:number',
  log: 'workerId:string pid:number name:string stream:string lines:object',
  warning: 'text:string',
  retire: '',
  answer: 'request:number rows:object',
  ask: 'request:number what:string argument:string',
  code: 'hash:string name:string bytes:object',
  leaseStart: 'leaseId:number gpuIds:object resources:object',
  borrow: 'ack:number seqs:object',
  borrowed: 'ack:number missing:object',
  unborrow: 'seqs:object',
  fetch: 'seqs:object',
  returnsHeld: 'tasks:object',
  cancelTask: 'task:number force:boolean recursive:boolean',
  cancelObject: 'seq:number force:boolean recursive:boolean',
  leaseBlocked: 'leaseId:number',
}

const fields = new Map<string, [string, string][]>(
  Object.entries(shapes).map(([is, text]) => [is, text === '' ? [] : text.split(' ').map((field) => field.split(':') as [string, string])]),
)

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
  for (const [name, type] of expected) {
    const field = record[name]
    const missing = type === 'object' ? typeof field !== 'object' || field === null : typeof field !== type
    if (missing) return new WireError(`control message ${String(record.is)}: field ${name} is not a ${type}`)
  }
  return record as unknown as Control
}
