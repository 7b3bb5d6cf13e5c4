// SPDX-License-Identifier: Apache-2.0
// Starts the processes of a cluster: a head, and nodes that join it. For the command line, which leaves them running, and
// for tests, with which they end.

import { closeSync, openSync } from 'node:fs'
import { join } from 'node:path'
import { ClusterConnectionError } from '../errors.js'
import { NODE_PROGRAM } from '../own-files.js'
import type { NodeId, WorkerId } from '../wire/messages.js'
import { daemonSettings, type StartOptions } from './bootstrap.js'
import { homeFolder } from './cluster-home.js'
import { DAEMON_ENV, type DaemonSettings, type JoinSettings, type ReadyDaemon } from './daemon-settings.js'
import { handlesOf, type Life, launch, type ProgramExit, reportOf } from './launch.js'

/** How long a process that was asked to end may take before it is killed (ms). */
const STOP_MS = 10_000

interface Running {
  pid: number
  /** Where it prints what nobody else is told. */
  logPath: string
  /** Resolves when it has ended. Never rejects. */
  ended: Promise<ProgramExit>
  /** Ends it with SIGTERM, and SIGKILL when that takes too long. Resolves when it has ended. */
  stop(): Promise<void>
  /** SIGKILL. Resolves when it has ended. */
  kill(): Promise<void>
}

export interface RunningNode extends Running {
  nodeId: NodeId
  daemonId: WorkerId
  sessionDir: string
  storePath: string
  /** Something the user should read; null when all is well. */
  warning: string | null
}

/** Starts a node that joins a cluster. Throws RangeError for resources that cannot be; rejects with ClusterConnectionError when it does not come up. */
export async function startNode(options: StartOptions, joining: JoinSettings, life: Life): Promise<RunningNode> {
  const settings: DaemonSettings = { ...daemonSettings(options), join: joining, life }
  const { report, running } = await started<ReadyDaemon>('The node', joining.home, 'node', NODE_PROGRAM, DAEMON_ENV, settings, life)
  const { nodeId, daemonId, sessionDir, storePath, warning } = report
  return { ...running, nodeId, daemonId, sessionDir, storePath, warning }
}

async function started<Ready extends { ok: true }>(
  what: string,
  home: string,
  name: string,
  program: URL,
  variable: string,
  settings: unknown,
  life: Life,
): Promise<{ report: Ready; running: Running }> {
  const logPath = join(homeFolder(home, 'logs'), `${name}-${new Date().toISOString().replaceAll(/[:.]/g, '-')}-${process.pid}.log`)
  const log = openSync(logPath, 'a+', 0o600)
  const launched = launch({ program, variable, settings, life, output: 'pipe', log })
  const { child, exit } = launched
  const report = await reportOf<Ready>(launched)
  void exit.then(() => closeSync(log))
  if (!report.ok) {
    child.kill('SIGKILL')
    throw new ClusterConnectionError(`${what} did not start: ${report.message}`)
  }
  const end = async (signal: NodeJS.Signals): Promise<void> => {
    handles.forEach(handle => void handle.ref())
    child.kill(signal)
    const timer = setTimeout(() => child.kill('SIGKILL'), STOP_MS)
    await exit
    clearTimeout(timer)
  }
  const handles = handlesOf(child)
  handles.forEach(handle => void handle.unref())
  const running = { pid: child.pid as number, logPath, ended: exit, stop: () => end('SIGTERM'), kill: () => end('SIGKILL') }
  return { report, running }
}
