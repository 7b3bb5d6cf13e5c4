// SPDX-License-Identifier: Apache-2.0
// A driver's place at a node: one that it started for itself, or one of a running cluster.

import type { JobSpec, NodeId, WorkerId } from '../wire/messages.js'
import type { StartedDaemon } from './bootstrap.js'
import type { NodeRecord } from './cluster-home.js'
import { jobOfThisProcess } from './job.js'
import { describeExit } from './launch.js'

/** How long the end of a job is waited for when its driver leaves (ms): what its workers print meanwhile is still shown. */
const LEAVE_MS = 5_000

export interface Seat {
  /** Of the cluster: host:port, or 'local'. */
  address: string
  nodeId: NodeId
  nodeWorkerId: WorkerId
  storePath: string
  sessionDir: string
  /** To be shown in `hello`. */
  token: string
  /** Of this driver; it has no `driver` yet. */
  job: JobSpec
  /** Something the user should read; null when all is well. */
  warning: string | null
  /** Resolves, when the node daemon has ended by itself, with how; null: that is not heard, and has to be looked for. */
  ended: Promise<string> | null
  /** After `endJob` was sent. `over`: resolves with the answer to it, or when there will be none. */
  leave(over: Promise<void>): Promise<void>
}

/** The daemon is this driver's own: it ends with the session. */
export function seatAt(daemon: StartedDaemon): Seat {
  const { nodeId, nodeWorkerId, storePath, sessionDir, token, job, warning } = daemon
  return {
    ...{ address: 'local', nodeId, nodeWorkerId, storePath, sessionDir, token, job, warning },
    ended: daemon.ended.then(describeExit),
    // What the workers printed last comes through the channel to the daemon, until that has ended.
    leave: () => daemon.stop(),
  }
}

/** The node goes on without this driver. */
export function seatOf(node: NodeRecord, namespace: string | undefined): Seat {
  const { address, nodeId, daemonId, storePath, sessionDir, token } = node
  const jobId = process.getBuiltinModule('node:crypto').randomBytes(5).toString('hex')
  return {
    ...{ address, nodeId, nodeWorkerId: daemonId, storePath, sessionDir, token, job: jobOfThisProcess(jobId, namespace) },
    warning: null,
    ended: null,
    leave: async over => {
      let timer: NodeJS.Timeout | undefined
      await Promise.race([
        over,
        new Promise<void>(resolve => {
          timer = setTimeout(resolve, LEAVE_MS)
        }),
      ])
      clearTimeout(timer)
    },
  }
}
