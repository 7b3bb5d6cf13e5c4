// SPDX-License-Identifier: Apache-2.0
// The node daemon's main program. Where a driver or a test started it, its standard input is a pipe that nobody writes to:
// its end is the end of who started it, however that died. Then all workers are killed and all files removed, as after
// SIGTERM. It tells that it is ready, or why not, in one line of JSON on its standard output (`DaemonReport`).

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
import { type NodeRecord, removeRecord, sweepRecords, TOKEN_ENV, thisProcess, writeRecord } from './cluster-home.js'
import { CGROUP_ENV, DAEMON_ENV, type DaemonReport, type DaemonSettings, type JoinSettings } from './daemon-settings.js'
import { EnvironmentSetup } from './environment-setup.js'
import { type Links, openLinks } from './links.js'
import { MemoryGauge } from './memory-gauge.js'
import { machineMemory } from './node-resources.js'
import { NodeShell } from './node-shell.js'
import { createSession, defaultRoots, placeSegment, removeSession, type Session, sweepSessions } from './session.js'
import { workerCommand } from './worker-command.js'

main()

function main(): void {
  for (const stream of [process.stdout, process.stderr]) stream.on('error', () => {})
  const settings = JSON.parse(process.env[DAEMON_ENV] ?? 'null') as DaemonSettings | null
  // Workers get neither.
  delete process.env[DAEMON_ENV]
  delete process.env[TOKEN_ENV]
  if (settings === null) {
    process.stderr.write(`eagleray: this program is started by init() or the eagleray command, not by hand\n`)
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
    start(settings, session, store, nodeId, place.warning)
    setImmediate(() => sweepSessions(roots, lock))
  } catch (error) {
    failed(error as Error, session)
  }
}

function failed(error: NodeJS.ErrnoException, session: Session | null): void {
  report({ ok: false, message: error.message, code: error.code ?? null })
  if (session !== null) removeSession(session)
  process.exitCode = 1
}

/** A node of a cluster listens for the others first. */
function start(settings: DaemonSettings, session: Session, store: NativeStore, nodeId: string, warning: string | null): void {
  if (settings.join === null) return run(settings, session, store, nodeId, warning, null)
  openLinks(store.workerId, settings.join)
    .then(links => run(settings, session, store, nodeId, warning, links))
    .catch((error: Error) => {
      failed(error, session)
      process.exit()
    })
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

function run(
  settings: DaemonSettings,
  session: Session,
  store: NativeStore,
  nodeId: string,
  warning: string | null,
  links: Links | null,
): void {
  const { total, gpuIds, labels, job, founded, prestart, environment } = settings
  const token = randomBytes(16).toString('hex')
  const { sessionDir, storePath } = session
  const nodeIp = '127.0.0.1'
  const node = new Node({ nodeId, nodeIp, sessionDir, token, total, gpuIds, labels, job, founded, prestart, environment })
  const place = { nodeId, address: nodeIp, labels, resources: () => node.resources() }
  const head = Head.embedded({ encodeError }, place)
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
    links,
    memory: new MemoryGauge(process.env[CGROUP_ENV] ?? null),
    onEnd: reason => {
      if (settings.join !== null) removeRecord(settings.join.home, 'nodes', nodeId)
      // Its driver shows this when it did not ask for the end itself.
      process.stderr.write(`eagleray: the node daemon ends: ${reason}\n`)
      removeSession(session)
      process.exit(0)
    },
  })
  if (settings.life === 'stdin') {
    const who = founded ? 'its driver' : 'who started it'
    for (const event of ['end', 'error']) process.stdin.on(event, () => shell.end(`${who} ended`))
    process.stdin.resume()
  }
  for (const signal of ['SIGTERM', 'SIGHUP'] as const) process.on(signal, () => shell.end(`the node daemon got ${signal}`))
  // ctrl-C is for the driver, whose end we hear of.
  process.on('SIGINT', () => {})
  process.on('uncaughtException', error => {
    process.stderr.write(`eagleray: the node daemon failed: ${error.stack ?? error}\n`)
    process.exitCode = 1
    shell.end('the node daemon failed')
  })
  if (settings.join !== null) announce(settings.join, { nodeId, daemonId: store.workerId, storePath, sessionDir, token })
  const { lockPath, spillPath } = session
  report({ ok: true, storePath, spillPath, sessionDir, lockPath, nodeId, daemonId: store.workerId, token, warning })
  shell.start()
}

/** From now on drivers on this machine find the node. */
function announce(
  { home, head, listed, withHead }: JoinSettings,
  seat: Pick<NodeRecord, 'nodeId' | 'daemonId' | 'storePath' | 'sessionDir' | 'token'>,
): void {
  sweepRecords(home)
  writeRecord(home, 'nodes', seat.nodeId, { ...thisProcess(head), ...seat, listed, withHead, since: Date.now() })
}

function report(line: DaemonReport): void {
  process.stdout.write(`${JSON.stringify(line)}\n`)
}
