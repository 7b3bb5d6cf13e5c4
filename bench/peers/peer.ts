// SPDX-License-Identifier: Apache-2.0
// What a peer is: another program that does some of the same rows, on this machine, in this run.

import type { Timing } from '../measure.js'
import type { Measured } from '../row.js'

export interface PeerOptions {
  timing: Timing
  /** Only rows whose name holds this. */
  filter: string
  startupRuns: number
}

export interface PeerResult {
  name: string
  version: string
  rows: Measured[]
}

export interface Peer {
  name: string
  /** Throws PeerMissing before anything is measured when the peer is not there. */
  check(): Promise<void> | void
  measure(options: PeerOptions): Promise<PeerResult>
}

export class PeerMissing extends Error {}
