// SPDX-License-Identifier: Apache-2.0
// A node from its session to its end: the store, the machine, the shell, and its place in a cluster.

import { randomBytes } from 'node:crypto'
import { mkdirSync } from 'node:fs'
import { connect } from 'node:net'
import { hostname } from 'node:os'
import { join } from 'node:path'
import { encodeError } from '../codec/error-value.js'
import { Head } from '../core/head/head.js'
import { Daemon } from '../core/node/daemon.js'
import { Member } from '../core/node/member.js'
import { Node } from '../core/node/node.js'
import { ClusterConnectionError } from '../errors.js'
import { lockedFolder, SPILL_PREFIX } from '../io/locked-folder.js'
import { ChildProcesses } from '../io/processes.js'
import { type NativeStore, native } from '../native.js'
import { limits } from '../options.js'
import { recordOf, removeRecord, sweepRecords, TOKEN_ENV, writeRecord } from './cluster-home.js'
import { CGROUP_ENV, type DaemonSettings, type JoinSettings, type ReadyDaemon } from './daemon-settings.js'
import { EnvironmentSetup } from './environment-setup.js'
import { type Links, openLinks } from './links.js'
import { MemoryGauge } from './memory-gauge.js'
import { machineMemory } from './node-resources.js'
import { type ClusterEntry, NodeShell } from './node-shell.js'
import { createSession, defaultRoots, placeSegment, removeSession, type Session, sweepSessions } from './session.js'
import { workerCommand } from './worker-command.js'

/** How long a connection to a head that does not answer is tried (ms). */
const PROBE_MS = 2_000

export interface NodeLife {
  /** Ends it; `over` follows. */
  end(reason: string): void
}

export interface LifeHooks {
  /** It can be ended from now on. */
  begun(life: NodeLife): void
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
    const links = settings.join === null ? null : await openLinks(store.workerId, settings.join)
    await run(settings, { session, store, nodeId, warning: place.warning }, links, hooks)
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

async function run(settings: DaemonSettings, place: Place, links: Links | null, hooks: LifeHooks): Promise<void> {
  const { session, store, nodeId, warning } = place
  const { total, gpuIds, labels, job, founded, prestart, environment } = settings
  const token = randomBytes(16).toString('hex')
  const { sessionDir, storePath, lockPath, spillPath } = session
  const nodeIp = settings.join?.host ?? '127.0.0.1'
  const daemonId = store.workerId
  const node = new Node({ nodeId, nodeIp, sessionDir, token, total, gpuIds, labels, job, founded, prestart, environment })
  const report = { storePath, spillPath, sessionDir, lockPath, nodeId, daemonId, token, warning }
  const entry = links === null || settings.join === null ? null : entryTo(settings.join, links)
  const shell = new NodeShell({
    store,
    daemon: links === null ? alone(node, nodeId, nodeIp, labels) : member(node, settings, links, nodeId, daemonId),
    logsDir: `${sessionDir}/logs`,
    command: (spawnKey, environment, job, place) =>
      workerCommand(settings, { storePath, daemonId, sessionDir, token, spawnKey, job, environment, place }, process.env),
    environments: start => {
      const env = { ...process.env, ...(settings.extraCaCerts === null ? {} : { NODE_EXTRA_CA_CERTS: settings.extraCaCerts }) }
      return new EnvironmentSetup({ directory: `${sessionDir}/environments`, start, env })
    },
    processes: listener => new ChildProcesses(listener),
    founded,
    cluster: entry,
    memory: new MemoryGauge(process.env[CGROUP_ENV] ?? null),
    onEnd: (reason, isFenced) => {
      if (settings.join !== null) removeRecord(settings.join.home, 'nodes', nodeId)
      removeSession(session)
      hooks.over(reason, isFenced)
    },
  })
  hooks.begun(shell)
  shell.start()
  if (entry === null || settings.join === null) return hooks.ready({ ok: true, ...report, address: null })
  await entry.entered
  announce(settings.join, report)
  hooks.ready({ ok: true, ...report, address: entry.links.transport.address })
}

function alone(node: Node, nodeId: string, address: string, labels: Record<string, string>): Daemon {
  return new Daemon(node, Head.embedded({ encodeError }, { nodeId, address, labels, resources: () => node.resources() }))
}

function member(node: Node, { labels, gpuIds, total }: DaemonSettings, links: Links, nodeId: string, daemonId: string): Member {
  const where = { hostname: hostname(), address: links.transport.address, dataAddress: links.data.channel?.address ?? '' }
  return new Member(node, { encodeError, node: { nodeId, daemonId, ...where, labels, gpuIds, total } })
}

/** The way into the cluster, which the head opens: `entered` rejects when it does not. */
function entryTo({ head }: JoinSettings, links: Links): ClusterEntry & { entered: Promise<void> } {
  let enter: () => void = () => {}
  let fail: (error: Error) => void = () => {}
  const entered = new Promise<void>((resolve, reject) => {
    enter = resolve
    fail = reject
  })
  const late = setTimeout(async () => fail(new ClusterConnectionError(await whyNot(head))), limits.joinMs)
  const done = (settle: () => void) => (): void => {
    clearTimeout(late)
    settle()
  }
  return {
    links,
    head,
    entered,
    onJoined: done(() => enter()),
    onRefused: why => done(() => fail(new ClusterConnectionError(`the head at ${head} refuses this node: ${why}`)))(),
  }
}

/** Who has another key is not answered by a head, so that only this can be told from its silence. */
async function whyNot(head: string): Promise<string> {
  const colon = head.lastIndexOf(':')
  const socket = connect({ host: head.slice(0, colon).replace(/[[\]]/g, ''), port: Number(head.slice(colon + 1)) })
  const error = await new Promise<NodeJS.ErrnoException | null>(resolve => {
    socket.on('connect', () => resolve(null))
    socket.on('error', resolve)
    socket.setTimeout(PROBE_MS, () => resolve(Object.assign(new Error('no answer'), { code: 'ETIMEDOUT' })))
  })
  socket.destroy()
  if (error !== null)
    return `nobody answers at ${head} (${error.code ?? error.message}): no head listens there, or it cannot be reached from here`
  return `who listens at ${head} does not answer: it is no head, or its token is another than this machine's (${TOKEN_ENV}, or the file token in ~/.eagleray)`
}

/** From now on drivers on this machine find the node. */
function announce({ home, head, listed, withHead }: JoinSettings, report: Omit<ReadyDaemon, 'ok' | 'address'>): void {
  const { nodeId, daemonId, storePath, sessionDir, token } = report
  sweepRecords(home)
  const seat = { nodeId, daemonId, storePath, sessionDir, token, listed, withHead, since: Date.now() }
  writeRecord(home, 'nodes', nodeId, { ...recordOf(process.pid, head), ...seat })
}
