// SPDX-License-Identifier: Apache-2.0
// What the driver tells the node daemon it starts, and what the daemon tells the workers it starts: JSON in one variable
// of the environment each, since arguments show in process lists.

import type { Amounts, Environment, JobSpec, NodeId, WorkerId } from '../wire/messages.js'
import type { Life } from './launch.js'

export const DAEMON_ENV = 'EAGLERAY_DAEMON'
export const WORKER_ENV = 'EAGLERAY_WORKER'
/** A cgroup's directory that the memory monitor looks at instead of the daemon's own; the tests make one of plain files. */
export const CGROUP_ENV = 'EAGLERAY_CGROUP_DIR'
/** Variables that no user may set. */
export const RESERVED_VARIABLES: readonly string[] = [DAEMON_ENV, WORKER_ENV]

/** How a node joins a cluster. */
export interface JoinSettings {
  /** Where its head listens: host:port. */
  head: string
  /** The name or number of this machine's address that the node listens at. */
  host: string
  /** What others are told in place of it, where it is all addresses of this machine or no other knows it by that. */
  advertised?: string | undefined
  /** Of the cluster. */
  token: string
  /** Where drivers look for nodes of this machine (cluster-home.ts). */
  home: string
  /** Whether it is found by drivers that name no address. */
  listed: boolean
  /** It was started together with its head: drivers prefer it. */
  withHead: boolean
}

export interface DaemonSettings {
  total: Amounts
  gpuIds: string[]
  labels: Record<string, string>
  /** Null: as much as the machine allows (session.ts). */
  objectStoreBytes: number | null
  prefault: boolean
  /** Objects go to disk when memory is short. */
  spill: boolean
  /** Where; null: to the session directory. */
  spillDir: string | null
  /** Warm workers kept for tasks. */
  prestart: number
  /** Their runtime environment. */
  environment: Environment | null
  /** Whose they are; null: of whoever comes first. */
  job: JobSpec | null
  /** Everything ends with the first driver, which started it. */
  founded: boolean
  life: Life
  /** The cluster that the node is to join; null: it has a head of its own, and no others. */
  join: JoinSettings | null
  /** NODE_EXTRA_CA_CERTS of the workers. The daemon has no use for it, and Node 20 reads all root certificates at once where it is set. */
  extraCaCerts: string | null
}

/** The daemon's one line on standard output, when it is ready. */
export interface ReadyDaemon {
  ok: true
  storePath: string
  /** Of a session that spills to a directory of the user's; what is to be removed with it. */
  spillPath: string | null
  sessionDir: string
  lockPath: string
  nodeId: NodeId
  daemonId: WorkerId
  token: string
  /** Where other nodes reach it; null: it has no others. */
  address: string | null
  warning: string | null
}

/** Or that it will not be; lines before it say what it waits for. */
export type DaemonReport = { waiting: string } | ReadyDaemon | { ok: false; message: string; code: string | null }

export interface WorkerSettings {
  storePath: string
  daemonId: WorkerId
  /** Its parent, unless that has died since. */
  daemonPid: number
  sessionDir: string
  /** To be shown in `hello`. */
  token: string
  spawnKey: string
  /** For whom the process works; null: it is told with its first work. */
  job: JobSpec | null
  /** What this process is started in. */
  environment: Environment | null
  /** Where what was set up for it lies. */
  place: Place
}

/** What was set up for an environment, as paths; null: it asks for none. */
export interface Place {
  /** Of workingDir. */
  copy: string | null
  /** Has the packages in its node_modules. */
  packages: string | null
}
