// SPDX-License-Identifier: Apache-2.0
// A node from its session to its end: the store, the machine, the shell, and its place in a cluster.

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
import type { ClusterEntry } from './cluster-entry.js'
import { CGROUP_ENV, type DaemonSettings, type ReadyDaemon } from './daemon-settings.js'
import { EnvironmentSetup } from './environment-setup.js'
import { MemoryGauge } from './memory-gauge.js'
import { machineMemory } from './node-resources.js'
import { NodeShell } from './node-shell.js'
import { createSession, defaultRoots, placeSegment, removeSession, type Session, sweepSessions } from './session.js'
import { workerCommand } from './worker-command.js'

export interface NodeLife {
  /** Ends it; `over` follows. */
  end(reason: string): void
}

export interface LifeHooks {
  /** It can be ended from now on. */
  begun(life: NodeLife): void
  /** Told while it does not come up, with what it waits for. */
  waiting(text: string): void
  /** The node can be used. */
  ready(report: ReadyDaemon): void
  /** Nothing of it is left. `mayJoinAgain`: its cluster has given it up, and may take it as a new node. */
  over(reason: string, mayJoinAgain: boolean): void
}

interface Place {
  session: Session
  store: NativeStore
  nodeId: string
  /** Of the store. */
  warning: string | null
}

/** Resolves when the node can be used. Rejects when it does not come up, also where its cluster does not take it; then its files are gone. */
export async function beginLife(settings: DaemonSettings, hooks: LifeHooks): Promise<void> {
  const roots = defaultRoots()
  const lock = (path: string): boolean => native.lockFile(path)
  const session = createSession(roots, () => randomBytes(4).toString('hex'), lock)
  try {
    const place = placeSegment(session, roots, settings.objectStoreBytes, machineMemory())
    session.storePath = place.storePath
    const nodeId = randomBytes(5).toString('hex')
    const disk = spillDirectory(settings, session)
    const store = native.createStore(place.storePath, place.capacityBytes, nodeId, settings.prefault, disk, Number.MAX_SAFE_INTEGER)
    setImmediate(() => sweepSessions(roots, lock))
    // Loaded only here: most sessions are of one node, and start sooner without.
    const entry =
      settings.join === null ? null : await (await import('./cluster-entry.js')).entryTo(settings.join, store.workerId, hooks.waiting)
    await run(settings, { session, store, nodeId, warning: place.warning }, entry, hooks)
  } catch (error) {
    removeSession(session)
    throw error
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

async function run(settings: DaemonSettings, place: Place, entry: ClusterEntry | null, hooks: LifeHooks): Promise<void> {
  const { session, store, nodeId, warning } = place
  const { total, gpuIds, labels, job, founded, prestart, environment } = settings
  const token = randomBytes(16).toString('hex')
  const { sessionDir, storePath, lockPath, spillPath } = session
  const nodeIp = settings.join?.advertised ?? settings.join?.host ?? '127.0.0.1'
  const daemonId = store.workerId
  const node = new Node({ nodeId, nodeIp, sessionDir, token, total, gpuIds, labels, job, founded, prestart, environment })
  const report = { storePath, spillPath, sessionDir, lockPath, nodeId, daemonId, token, warning }
  const shell = new NodeShell({
    store,
    daemon: entry === null ? alone(node, nodeId, nodeIp, labels) : entry.member(node, settings, daemonId),
    logsDir: `${sessionDir}/logs`,
    command: (spawnKey, environment, job, place) =>
      workerCommand(
        settings,
        { storePath, daemonId, daemonPid: process.pid, sessionDir, token, spawnKey, job, environment, place },
        process.env,
      ),
    environments: start => {
      const env = { ...process.env, ...(settings.extraCaCerts === null ? {} : { NODE_EXTRA_CA_CERTS: settings.extraCaCerts }) }
      return new EnvironmentSetup({ directory: `${sessionDir}/environments`, start, env })
    },
    processes: listener => new ChildProcesses(listener),
    founded,
    cluster: entry,
    memory: new MemoryGauge(process.env[CGROUP_ENV] ?? null),
    onEnd: (reason, isFenced) => {
      entry?.withdraw(nodeId)
      removeSession(session)
      hooks.over(reason, isFenced)
    },
  })
  hooks.begun(shell)
  shell.start()
  if (entry === null) return hooks.ready({ ok: true, ...report, address: null })
  await entry.entered
  hooks.ready({ ok: true, ...report, address: entry.announce(report) })
}

function alone(node: Node, nodeId: string, address: string, labels: Record<string, string>): Daemon {
  return new Daemon(node, Head.embedded({ encodeError }, { nodeId, address, labels, resources: () => node.resources() }))
}
