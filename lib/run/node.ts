// SPDX-License-Identifier: Apache-2.0
// The node daemon's main program, a child of the driver. Its standard input is a pipe that nobody writes to: its end is
// the end of the driver, however that died. Then all workers are killed and all files removed. It tells that it is
// ready, or why not, in one line of JSON on its standard output (`DaemonReport`).

import { randomBytes } from 'node:crypto'
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { encodeError } from '../codec/error-value.js'
import { Head } from '../core/head/head.js'
import { Daemon } from '../core/node/daemon.js'
import { Node } from '../core/node/node.js'
import { lockedFolder, SPILL_PREFIX } from '../io/locked-folder.js'
import { ChildProcesses } from '../io/processes.js'
import { type NativeStore, native } from '../native.js'
import { CGROUP_ENV, DAEMON_ENV, type DaemonReport, type DaemonSettings } from './daemon-settings.js'
import { EnvironmentSetup } from './environment-setup.js'
import { MemoryGauge } from './memory-gauge.js'
import { machineMemory } from './node-resources.js'
import { NodeShell } from './node-shell.js'
import { createSession, defaultRoots, placeSegment, removeSession, type Session, sweepSessions } from './session.js'
import { workerCommand } from './worker-command.js'

main()

function main(): void {
  for (const stream of [process.stdout, process.stderr]) stream.on('error', () => {})
  const settings = JSON.parse(process.env[DAEMON_ENV] ?? 'null') as DaemonSettings | null
  if (settings === null) {
    process.stderr.write(`eagleray: this program is started by init(), not by hand\n`)
    process.exit(2)
  }
  let session: Session | null = null
  try {
    const roots = defaultRoots()
    const lock = (path: string): boolean => native.lockFile(path)
    session = createSession(roots, () => randomBytes(4).toString('hex'), lock)
    const place = placeSegment(session, roots, settings.objectStoreBytes, machineMemory())
    session.storePath = place.storePath
    const nodeId = randomBytes(5).toString('hex')
    const disk = spillDirectory(settings, session)
    const store = native.createStore(place.storePath, place.capacityBytes, nodeId, settings.prefault, disk, Number.MAX_SAFE_INTEGER)
    run(settings, session, store, nodeId, place.warning)
    setImmediate(() => sweepSessions(roots, lock))
  } catch (error) {
    report({ ok: false, message: (error as Error).message, code: (error as NodeJS.ErrnoException).code ?? null })
    if (session !== null) removeSession(session)
    process.exitCode = 1
  }
}

/** Where objects go when memory is short; null: nowhere. In a directory of the user's it outlives a killed daemon until the next session there. */
function spillDirectory(settings: DaemonSettings, session: Session): string | null {
  if (!settings.spill) return null
  if (settings.spillDir !== null) {
    session.spillPath = lockedFolder(settings.spillDir, SPILL_PREFIX)
    return session.spillPath
  }
  const directory = join(session.sessionDir, 'spill')
  mkdirSync(directory, { mode: 0o700 })
  return directory
}

function run(settings: DaemonSettings, session: Session, store: NativeStore, nodeId: string, warning: string | null): void {
  const { total, gpuIds, labels, job, founded, prestart, environment } = settings
  const token = randomBytes(16).toString('hex')
  const { sessionDir, storePath } = session
  const nodeIp = '127.0.0.1'
  const node = new Node({ nodeId, nodeIp, sessionDir, token, total, gpuIds, labels, job, founded, prestart, environment })
  const head = new Head({ nodeId, encodeError })
  head.nodes.register({ nodeId, address: nodeIp, labels, resources: () => node.resources() })
  const shell = new NodeShell({
    store,
    daemon: new Daemon(node, head),
    logsDir: `${sessionDir}/logs`,
    command: (spawnKey, environment, job, place) => {
      const seat = { storePath, daemonId: store.workerId, sessionDir, token, spawnKey, job, environment, place }
      return workerCommand(settings, seat, process.env)
    },
    environments: start => {
      const env = { ...process.env, ...(settings.extraCaCerts === null ? {} : { NODE_EXTRA_CA_CERTS: settings.extraCaCerts }) }
      return new EnvironmentSetup({ directory: `${sessionDir}/environments`, start, env })
    },
    processes: listener => new ChildProcesses(listener),
    founded,
    memory: new MemoryGauge(process.env[CGROUP_ENV] ?? null),
    onEnd: reason => {
      // Its driver shows this when it did not ask for the end itself.
      process.stderr.write(`eagleray: the node daemon ends: ${reason}\n`)
      removeSession(session)
      process.exit(0)
    },
  })
  process.stdin.on('end', () => shell.end('its driver ended'))
  process.stdin.on('error', () => shell.end('its driver ended'))
  process.stdin.resume()
  for (const signal of ['SIGTERM', 'SIGHUP'] as const) process.on(signal, () => shell.end(`the node daemon got ${signal}`))
  // ctrl-C is for the driver, whose end we hear of.
  process.on('SIGINT', () => {})
  process.on('uncaughtException', error => {
    process.stderr.write(`eagleray: the node daemon failed: ${error.stack ?? error}\n`)
    process.exitCode = 1
    shell.end('the node daemon failed')
  })
  const { lockPath, spillPath } = session
  report({ ok: true, storePath, spillPath, sessionDir, lockPath, nodeId, daemonId: store.workerId, token, warning })
  shell.start()
}

function report(line: DaemonReport): void {
  process.stdout.write(`${JSON.stringify(line)}\n`)
}
