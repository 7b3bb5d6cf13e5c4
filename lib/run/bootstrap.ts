// SPDX-License-Identifier: Apache-2.0
// How a driver starts the node daemon, and makes sure that nothing of it is left when it ends.

import type { ChildProcess } from 'node:child_process'
import { closeSync, constants, openSync, readFileSync, unlinkSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, join, resolve } from 'node:path'
import { STEPS } from '../core/resources.js'
import { ClusterConnectionError } from '../errors.js'
import { limits } from '../options.js'
import { NODE_PROGRAM } from '../own-files.js'
import type { Environment, JobSpec, NodeId, WorkerId } from '../wire/messages.js'
import { DAEMON_ENV, type DaemonReport, type DaemonSettings, type ReadyDaemon } from './daemon-settings.js'
import { jobOfThisProcess } from './job.js'
import { handlesOf, type Launched, launch, type ProgramExit, reportOf, textOf } from './launch.js'
import { nodeResources, type ResourceOptions } from './node-resources.js'
import { removeSession } from './session.js'

/** How long an ended daemon may take to clean up before it is killed (ms). */
const STOP_MS = 5_000
/** How long a daemon may take to say that it is ready, where nothing else can be done meanwhile (ms). */
const START_MS = 30_000
/** How it went, without what it waited for before. */
type Outcome = Exclude<DaemonReport, { waiting: string }>
/** The one job of a session that a driver started for itself. */
const LOCAL_JOB = '00000001'
export interface StartOptions extends ResourceOptions {
  labels?: Record<string, string> | undefined
  /** Default: one of its own. */
  namespace?: string | undefined
  /** Warm workers; default: one for each CPU. */
  prestart?: number | undefined
  /** The runtime environment of the job, which the warm workers have. */
  environment?: Environment | null | undefined
  /** Touch all of the store now, which takes a while, rather than as it is used. */
  prefault?: boolean | undefined
  spill?: boolean | undefined
  spillDir?: string | undefined
  /** More flags for `node` in the workers. */
  workerExecArgv?: readonly string[] | undefined
}

export interface StartedDaemon {
  child: ChildProcess
  nodeId: NodeId
  /** The daemon's id on the mesh. */
  nodeWorkerId: WorkerId
  storePath: string
  sessionDir: string
  lockPath: string
  /** To be shown in `hello`. */
  token: string
  /** Of this process; it has no `driver` yet. */
  job: JobSpec
  /** Something the user should read, such as a store that is not in shared memory; null when all is well. */
  warning: string | null
  /** Resolves when the daemon has ended, whoever ended it, and its files are gone. Never rejects. */
  ended: Promise<ProgramExit>
  /** Ends the daemon with everything it started; resolves when nothing is left. */
  stop(): Promise<void>
  /** Whether the daemon keeps this process alive; it does not at first. */
  ref(): void
  unref(): void
}

/**
 * Starts a node daemon with an embedded head. Resolves when its store can be opened and the mesh reaches it; workers
 * start meanwhile. The daemon ends with this process, however that ends.
 * Throws RangeError for resources that cannot be (before anything is started), ClusterConnectionError when it fails.
 */
export async function startDaemon(options: StartOptions): Promise<StartedDaemon> {
  const settings = ownSettings(options)
  const daemon = launchDaemon(settings, 'pipe')
  return started(settings, daemon, await reportOf<ReadyDaemon>(daemon))
}

/** As `startDaemon`, but blocks this thread until the daemon is ready (some tens of milliseconds): for a first use of the API that is synchronous. */
export function startDaemonNow(options: StartOptions): StartedDaemon {
  const settings = ownSettings(options)
  const path = join(tmpdir(), `eagleray-start-${randomName()}`)
  const file = openSync(path, constants.O_RDWR | constants.O_CREAT | constants.O_EXCL | constants.O_APPEND, 0o600)
  unlinkSync(path)
  const daemon = launchDaemon(settings, file)
  void daemon.exit.then(() => closeSync(file))
  return started(settings, daemon, reportIn(file, daemon.child.pid ?? 0))
}

function launchDaemon(settings: DaemonSettings, output: 'pipe' | number): Launched {
  return launch({ program: NODE_PROGRAM, variable: DAEMON_ENV, settings, life: 'stdin', output })
}

/** The daemon's report from the file it writes to; blocks until it is there, or the daemon has ended. */
function reportIn(file: number, pid: number): Outcome {
  const untilMs = performance.now() + START_MS
  const never = new Int32Array(new SharedArrayBuffer(4))
  while (performance.now() < untilMs) {
    const gone = hasEnded(pid)
    const line = textOf(file)
      .split('\n')
      .slice(0, -1)
      .find(each => each.startsWith('{"ok"'))
    if (line !== undefined) return JSON.parse(line) as Outcome
    if (gone) return { ok: false, message: `it ended: ${textOf(file)}`, code: null }
    Atomics.wait(never, 0, 0, 1)
  }
  return { ok: false, message: `it said nothing within ${START_MS} ms`, code: null }
}

/** Whether a child is dead, which this thread has not heard of yet because it is blocked. */
function hasEnded(pid: number): boolean {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
    return stat.slice(stat.lastIndexOf(')') + 2).startsWith('Z')
  } catch {
    return true
  }
}

function started(settings: DaemonSettings, { child, exit }: Launched, report: Outcome): StartedDaemon {
  if (!report.ok) {
    child.kill('SIGKILL')
    const error = new ClusterConnectionError(`The node daemon did not start: ${report.message}`)
    throw report.code === null ? error : Object.assign(error, { cause: Object.assign(new Error(report.message), { code: report.code }) })
  }
  const { storePath, spillPath, sessionDir, lockPath, nodeId, daemonId, token, warning } = report
  const ended = exit.then(how => {
    removeSession({ name: basename(sessionDir), storePath, spillPath, sessionDir, lockPath })
    return how
  })
  const handles = handlesOf(child)
  const ref = (): void => handles.forEach(handle => void handle.ref())
  const unref = (): void => handles.forEach(handle => void handle.unref())
  const stop = async (): Promise<void> => {
    ref()
    child.stdin?.end()
    const timer = setTimeout(() => child.kill('SIGKILL'), STOP_MS)
    await ended
    clearTimeout(timer)
  }
  unref()
  return {
    child,
    nodeId,
    nodeWorkerId: daemonId,
    storePath,
    sessionDir,
    lockPath,
    token,
    job: settings.job as JobSpec,
    warning,
    ended,
    stop,
    ref,
    unref,
  }
}

/** Of a node that is this process's own, and ends with it. */
function ownSettings(options: StartOptions): DaemonSettings {
  const job = jobOfThisProcess(LOCAL_JOB, options.namespace, options.workerExecArgv)
  return { ...daemonSettings(options), job, founded: true }
}

/** Of a node without a driver. Throws RangeError for resources that cannot be. */
export function daemonSettings(options: StartOptions): DaemonSettings {
  const { total, gpuIds } = nodeResources(options, process.env)
  const cpus = Math.ceil((total.CPU ?? 0) / STEPS)
  return {
    total,
    gpuIds,
    labels: options.labels ?? {},
    objectStoreBytes: options.objectStoreBytes ?? null,
    prefault: options.prefault ?? false,
    spill: options.spill ?? true,
    spillDir: options.spillDir === undefined ? null : resolve(options.spillDir),
    prestart: options.prestart ?? Math.min(cpus, limits.workersMax >> 1),
    environment: options.environment ?? null,
    job: null,
    founded: false,
    life: 'stdin',
    join: null,
    extraCaCerts: process.env.NODE_EXTRA_CA_CERTS ?? null,
  }
}

function randomName(): string {
  return process.getBuiltinModule('node:crypto').randomBytes(8).toString('hex')
}
