// SPDX-License-Identifier: Apache-2.0
// What two ends of a link say to each other. `received` is in all of them: the number of packets that have arrived, in order.

/** Names one end for as long as it lives: a process that was started again has another. Never 0, which stands for "unknown". */
export type Epoch = number

/**
 * hello     asks for `welcome`; both tell where to go on after a connection was lost
 * data      packet number `number`
 * ack       what has arrived
 * again     as ack; the packet after `received` did not come, or not yet: send from there
 * probe     asks for ack, or again when less than `number` packets have arrived
 * stranger  the receiver of a frame does not know its sender, who should say hello
 */
export type LinkFrameKind = 'hello' | 'welcome' | 'data' | 'ack' | 'again' | 'probe' | 'stranger'

export interface LinkFrame<Packet> {
  kind: LinkFrameKind
  /** The sender's epoch, and that of the receiver as the sender knows it. */
  from: Epoch
  to: Epoch
  received: number
  /** Of data and probe; 0 otherwise. */
  number: number
  /** Of data; null otherwise. */
  packet: Packet | null
}
