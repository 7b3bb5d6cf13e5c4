// SPDX-License-Identifier: Apache-2.0
// How a value came out, as plain data on its way from a reply to its entry.

import type { NodeId } from '../../wire/messages.js'

export type Outcome =
  /** A small immutable value, decoded already. */
  | { form: 'plain'; value: unknown }
  | { form: 'inline'; envelope: Uint8Array }
  /** `node`: where, if not in the store of this node. */
  | { form: 'stored'; sizeBytes: number; node?: NodeId }
  /** The value is that of another object, unchanged. */
  | { form: 'alias'; id: string; sizeBytes: number }
  | { form: 'failed'; error: Error | Uint8Array }

/** A ref or handle met inside a value. */
export interface ContainedRef {
  owner: string
  seq: number
  isActor: boolean
}
