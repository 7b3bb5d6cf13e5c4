// SPDX-License-Identifier: Apache-2.0
// How refs and handles travel inside values, and functions with them: the codec's context of this process.
//
//   ref      u8 1 · 20 B object id
//   handle   u8 2 · 20 B actor id · u8 counted · shape as MessagePack

import { type FunctionContext, makeFunctionCodec } from '../codec/function.js'
import type { ReferenceCodec } from '../codec/value.js'
import type { Entry } from '../core/owner/entry.js'
import { WireError } from '../errors.js'
import { objectId } from '../ids.js'
import { readHex, writeObjectId } from '../wire/frames.js'
import { ActorHandle, actorOf, decodeShape, encodeShape, entryOfHandle, makeHandle, shapeOfHandle } from './handle.js'
import { entryOf, ObjectRef, sharedEntryOf } from './ref.js'
import { remotes } from './remotes.js'
import type { Runtime } from './runtime.js'

const REF = 1
const HANDLE = 2
const REF_BYTES = 21

export class ReferenceTravel implements ReferenceCodec {
  readonly context: FunctionContext
  /** The owner of the last ref decoded: lists of refs mostly share one. */
  private lastOwner = ''
  private readonly lastOwnerBytes = new Uint8Array(12)

  constructor(private readonly runtime: Runtime) {
    const context: FunctionContext = { references: this, functions: null, remotes }
    context.functions = makeFunctionCodec(() => context)
    this.context = context
  }

  encode(value: object): Uint8Array | null {
    if (value instanceof ObjectRef) {
      const entry = sharedEntryOf(value)
      const bytes = new Uint8Array(REF_BYTES)
      bytes[0] = REF
      writeObjectId(bytes, 1, this.runtime.idOf(entry))
      return bytes
    }
    if (!(value instanceof ActorHandle)) return null
    const shape = encodeShape(shapeOfHandle(value))
    const bytes = new Uint8Array(22 + shape.length)
    const actor = actorOf(value)
    bytes[0] = HANDLE
    writeObjectId(bytes, 1, actor.actorId)
    bytes[21] = actor.entry === null ? 0 : 1
    bytes.set(shape, 22)
    return bytes
  }

  decode(bytes: Uint8Array): object {
    if (bytes.length < REF_BYTES) throw new WireError(`a reference of ${bytes.length} bytes`)
    const owner = this.ownerAt(bytes)
    const view = new DataView(bytes.buffer, bytes.byteOffset + 13, 8)
    const seq = view.getUint32(0) * 0x1_0000_0000 + view.getUint32(4)
    if (!Number.isSafeInteger(seq)) throw new WireError(`a reference to the object ${seq}`)
    if (bytes[0] === REF) {
      this.runtime.mesh.scheduleFlush()
      return new ObjectRef(this.runtime.owner.references.refer(owner, seq, false), this.runtime)
    }
    if (bytes[0] !== HANDLE || bytes.length < 22) throw new WireError(`a reference of kind ${bytes[0]}`)
    this.runtime.mesh.scheduleFlush()
    const shape = decodeShape(bytes.slice(22))
    const actor = this.runtime.owner.actor(objectId(owner, seq), bytes[21] === 1, shape.className, shape.ordered)
    return makeHandle(actor, shape, this.runtime, this.runtime.requests)
  }

  /** The entries behind refs and handles met while encoding; handles that count nothing have none. */
  entriesOf(references: object[]): Entry[] {
    const entries: Entry[] = []
    for (const reference of references) {
      const entry = reference instanceof ObjectRef ? entryOf(reference) : entryOfHandle(reference as ActorHandle)
      if (entry !== null) entries.push(entry)
    }
    return entries
  }

  private ownerAt(bytes: Uint8Array): string {
    let same = this.lastOwner !== ''
    for (let i = 0; same && i < 12; i++) same = this.lastOwnerBytes[i] === bytes[i + 1]
    if (!same) {
      this.lastOwner = readHex(bytes, 1, 12)
      this.lastOwnerBytes.set(bytes.subarray(1, 13))
    }
    return this.lastOwner
  }
}
