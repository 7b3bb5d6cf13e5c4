// SPDX-License-Identifier: Apache-2.0
// The binary frames of the hot path. A packet is a sequence of frames; all numbers are little endian.
//
//   frame     u32 length of what follows · u8 kind · body
//   control   MessagePack of a Control
//   fragment  u8 last · bytes            pieces of one frame (kind and body) that is larger than a packet
//   task      u8 flags · u16 claim · f64 task · u32 lease or incarnation · u32 code or method · u16 returns · u8 attempt · u16 args · args
//     arg     u8 form · inline: u32 length, envelope · stored: 20 B object id
//   reply     u8 status · u8 flags · u16 claim · f64 task · u16 returns · f32 ms · results · [contained: MessagePack]      `ms`: what the body of a task took; 0 for a call
//     result  u8 form · inline: u32 length, envelope · stored: f64 bytes · alias: f64 bytes, 20 B object id
//   value     u8 status · f64 seq · f64 bytes · [envelope, or 20 B object id of an alias]
//   route     12 B to · 12 B from · u32 consumed · frames      from a process of one node to one of another, through the daemons of both;
//             `consumed`: bytes of such frames that the sender has handled since it last said so, and whose credit it gives back

export const FRAME = { control: 0, task: 1, reply: 2, value: 3, fragment: 4, route: 5 } as const
/** `alias`: a result that is one of the task's stored arguments, unchanged. */
export const FORM = { inline: 0, stored: 1, alias: 2 } as const
export const STATUS = { ok: 0, error: 1, revoked: 2, cancelled: 3, stored: 4, alias: 5 } as const
/** `asked`: it is taken back by message (`takeBack`), not by a claim word. `remake`: its results were in the store, and go there again. */
export const TASK_FLAG = { actor: 1, streaming: 2, asked: 4, remake: 8, outlivesJob: 16 } as const
export const REPLY_FLAG = { contained: 1 } as const
/** Claim words of a channel, for the tasks of each direction. */
export const CLAIM_WORDS = 256
/** `claim` of a task that cannot be taken back. */
export const NO_CLAIM = 0xffff

export const FRAME_HEADER_BYTES = 5
export const TASK_HEADER_BYTES = FRAME_HEADER_BYTES + 1 + 2 + 8 + 4 + 4 + 2 + 1 + 2
export const REPLY_HEADER_BYTES = FRAME_HEADER_BYTES + 1 + 1 + 2 + 8 + 2 + 4
export const VALUE_HEADER_BYTES = FRAME_HEADER_BYTES + 1 + 8 + 8
export const ROUTE_HEADER_BYTES = FRAME_HEADER_BYTES + 12 + 12 + 4
/** Where in a route frame, counted from its start. */
export const ROUTE = { to: FRAME_HEADER_BYTES, from: FRAME_HEADER_BYTES + 12, consumed: FRAME_HEADER_BYTES + 24 } as const

/** Where frames are written: one packet in the making. */
export interface PacketBuffer {
  bytes: Uint8Array
  view: DataView
  length: number
}

export interface TaskHeader {
  flags: number
  claim: number
  task: number
  /** The lease of a task, the incarnation of an actor call. */
  lease: number
  /** Number of the code on this channel, or of the method in its class. */
  code: number
  returns: number
  attempt: number
  argCount: number
}

/** Writes the header of a task whose arguments take `argBytes`; gives where they start. The caller has made room. */
export function writeTaskHeader(packet: PacketBuffer, header: TaskHeader, argBytes: number): number {
  const { view } = packet
  const at = packet.length
  view.setUint32(at, TASK_HEADER_BYTES - 4 + argBytes, true)
  view.setUint8(at + 4, FRAME.task)
  view.setUint8(at + 5, header.flags)
  view.setUint16(at + 6, header.claim, true)
  view.setFloat64(at + 8, header.task, true)
  view.setUint32(at + 16, header.lease, true)
  view.setUint32(at + 20, header.code, true)
  view.setUint16(at + 24, header.returns, true)
  view.setUint8(at + 26, header.attempt)
  view.setUint16(at + 27, header.argCount, true)
  packet.length = at + TASK_HEADER_BYTES + argBytes
  return at + TASK_HEADER_BYTES
}

/** Reads a task's header at the body (after kind). Bounds: the caller has checked that the body holds TASK_HEADER_BYTES - 5. */
export function readTaskHeader(view: DataView, at: number): TaskHeader {
  return {
    flags: view.getUint8(at),
    claim: view.getUint16(at + 1, true),
    task: view.getFloat64(at + 3, true),
    lease: view.getUint32(at + 11, true),
    code: view.getUint32(at + 15, true),
    returns: view.getUint16(at + 19, true),
    attempt: view.getUint8(at + 21),
    argCount: view.getUint16(at + 22, true),
  }
}

/** Starts a reply; results are appended by the caller, who then calls `endFrame`. Gives the frame's start. */
export function beginReply(
  packet: PacketBuffer,
  status: number,
  flags: number,
  claim: number,
  task: number,
  returns: number,
  bodyMs: number,
): number {
  const { view } = packet
  const at = packet.length
  view.setUint8(at + 4, FRAME.reply)
  view.setUint8(at + 5, status)
  view.setUint8(at + 6, flags)
  view.setUint16(at + 7, claim, true)
  view.setFloat64(at + 9, task, true)
  view.setUint16(at + 17, returns, true)
  view.setFloat32(at + 19, bodyMs, true)
  packet.length = at + REPLY_HEADER_BYTES
  return at
}

export function endFrame(packet: PacketBuffer, start: number): void {
  packet.view.setUint32(start, packet.length - start - 4, true)
}

export function beginValue(packet: PacketBuffer, status: number, seq: number, sizeBytes: number): number {
  const { view } = packet
  const at = packet.length
  view.setUint8(at + 4, FRAME.value)
  view.setUint8(at + 5, status)
  view.setFloat64(at + 6, seq, true)
  view.setFloat64(at + 14, sizeBytes, true)
  packet.length = at + VALUE_HEADER_BYTES
  return at
}

const hexByte: number[] = []
for (let i = 0; i < 128; i++) hexByte.push(Number.parseInt(String.fromCharCode(i), 16))

/** 40 hex digits to 20 bytes. */
export function writeObjectId(target: Uint8Array, at: number, id: string): void {
  writeHex(target, at, id, 20)
}

export function writeHex(target: Uint8Array, at: number, id: string, bytes: number): void {
  for (let i = 0; i < bytes; i++)
    target[at + i] = ((hexByte[id.charCodeAt(2 * i)] as number) << 4) | (hexByte[id.charCodeAt(2 * i + 1)] as number)
}

const byteHex: string[] = []
for (let i = 0; i < 256; i++) byteHex.push(i.toString(16).padStart(2, '0'))

export function readHex(bytes: Uint8Array, at: number, count: number): string {
  let text = ''
  for (let i = 0; i < count; i++) text += byteHex[bytes[at + i] as number]
  return text
}
