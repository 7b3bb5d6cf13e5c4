// SPDX-License-Identifier: Apache-2.0
// Starts the processes of a cluster: a head, and nodes that join it. For the command line, which leaves them running, and
// for tests, with which they end.

import { closeSync, openSync } from 'node:fs'
import { basename, join } from 'node:path'
import { AuthenticationError, ClusterConnectionError } from '../errors.js'
import { HEAD_PROGRAM, NODE_PROGRAM } from '../own-files.js'
import type { NodeId } from '../wire/messages.js'
import { daemonSettings, type StartOptions } from './bootstrap.js'
import { removeRecord } from './cluster-home.js'
import { DAEMON_ENV, type DaemonSettings, type JoinSettings, type ReadyDaemon } from './daemon-settings.js'
import { HEAD_ENV, type HeadSettings, type ReadyHead } from './head-settings.js'
import { handlesOf, type Launch, type Life, launch, type ProgramExit, reportOf } from './launch.js'
import { removeSession } from './session.js'

/** How long a process that was asked to end may take before it is killed (ms). */
const STOP_MS = 10_000
/** What a program that does not start says of why. */
const AUTHENTICATION = 'ERR_EAGLERAY_AUTHENTICATION'

interface Running {
  pid: number
  /** Where it prints what nobody else is told; null: only its errors are kept, for who started it. */
  logPath: string | null
  /** Resolves when it has ended. Never rejects. */
  ended: Promise<ProgramExit>
  /** Ends it with SIGTERM, and SIGKILL when that takes too long. Resolves when it has ended. */
  stop(): Promise<void>
  /** SIGKILL. Resolves when it has ended. */
  kill(): Promise<void>
}

export interface RunningHead extends Running {
  /** host:port */
  address: string
  clusterId: string
}

export interface RunningNode extends Running {
  nodeId: NodeId
  /** Where other nodes reach it. */
  address: string
  sessionDir: string
  /** Something the user should read; null when all is well. */
  warning: string | null
}

/** Starts a head. `logs`: a folder. `onWaiting` is told now and then what it waits for. Rejects with ClusterConnectionError when it does not come up. */
export async function startHead(
  logs: string | null,
  settings: HeadSettings,
  onWaiting: (text: string) => void = () => {},
): Promise<RunningHead> {
  const { life, storage } = settings
  const program = { program: HEAD_PROGRAM, variable: HEAD_ENV, settings, life, trusts: storage.startsWith('rediss:') }
  const { report, running } = await started<ReadyHead>('The head', logs, program, onWaiting)
  return { ...running, address: report.address, clusterId: report.clusterId }
}

/**
 * Starts a node that joins a cluster. Resolves when its head knows it; `onWaiting` is told when that takes long. Throws RangeError for resources that cannot be; rejects with
 * AuthenticationError when the head has another token, ClusterConnectionError when it does not come up otherwise. What it has in files goes when it has ended, as long as this process lives.
 */
export async function startNode(
  options: StartOptions,
  joining: JoinSettings,
  life: Life,
  logs: string | null,
  onWaiting: (text: string) => void = () => {},
): Promise<RunningNode> {
  const settings: DaemonSettings = { ...daemonSettings(options), join: joining, life }
  const program = { program: NODE_PROGRAM, variable: DAEMON_ENV, settings, life }
  const { report, running } = await started<ReadyDaemon>('The node', logs, program, onWaiting)
  const { nodeId, sessionDir, storePath, spillPath, lockPath, warning, address } = report
  const ended = running.ended.then(how => {
    removeSession({ name: basename(sessionDir), storePath, spillPath, sessionDir, lockPath })
    removeRecord(joining.home, 'nodes', nodeId)
    return how
  })
  const after = (end: () => Promise<void>) => async (): Promise<void> => {
    await end()
    await ended
  }
  return { ...running, ended, stop: after(running.stop), kill: after(running.kill), nodeId, address: address ?? '', sessionDir, warning }
}

async function started<Ready extends { ok: true }>(
  what: string,
  logs: string | null,
  program: Pick<Launch, 'program' | 'variable' | 'settings' | 'life' | 'trusts'>,
  onWaiting: (text: string) => void = () => {},
): Promise<{ report: Ready; running: Running }> {
  const name = `${what.split(' ')[1]}-${new Date().toISOString().replaceAll(/[:.]/g, '-')}-${process.pid}.log`
  const logPath = logs === null ? null : join(logs, name)
  const log = logPath === null ? null : openSync(logPath, 'a+', 0o600)
  const launched = launch({ ...program, output: 'pipe', ...(log !== null && { log }) })
  const { child, exit } = launched
  void exit.then(() => log !== null && closeSync(log))
  const report = await reportOf<Ready>(launched, onWaiting)
  if (!report.ok) {
    child.kill('SIGKILL')
    const text = `${what} did not start: ${report.message}`
    throw report.code === AUTHENTICATION ? new AuthenticationError(text) : new ClusterConnectionError(text)
  }
  const handles = handlesOf(child)
  handles.forEach(handle => void handle.unref())
  const end = async (signal: NodeJS.Signals): Promise<void> => {
    handles.forEach(handle => void handle.ref())
    child.kill(signal)
    const timer = setTimeout(() => child.kill('SIGKILL'), STOP_MS)
    await exit
    clearTimeout(timer)
  }
  const running = { pid: child.pid as number, logPath, ended: exit, stop: () => end('SIGTERM'), kill: () => end('SIGKILL') }
  return { report, running }
}
