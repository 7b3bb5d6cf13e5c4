// SPDX-License-Identifier: Apache-2.0
// What the head process is told by whoever starts it: JSON in one variable of its environment, since arguments show in
// process lists.

import type { Life } from './launch.js'

export const HEAD_ENV = 'EAGLERAY_HEAD'

export interface HeadSettings {
  /** Where it listens. Port 0: one that is free. */
  host: string
  /** What others are told in place of it. */
  advertised?: string | undefined
  port: number
  /** Where it keeps its tables: 'memory', 'file:DIR' or 'redis://…'. */
  storage: string
  /** Of the cluster: whoever shows it may do anything. */
  token: string
  /** How long a node may be silent before it is dead (ms); null: the default. */
  nodeDeadAfterMs: number | null
  life: Life
}

/** The head's one line on standard output, when it is ready. */
export interface ReadyHead {
  ok: true
  /** host:port */
  address: string
  clusterId: string
}

/** Lines before it say what it waits for; the one line, that it is ready or will not be. */
export type HeadReport = { waiting: string } | ReadyHead | { ok: false; message: string; code: string | null }
