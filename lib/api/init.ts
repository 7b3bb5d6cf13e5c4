// SPDX-License-Identifier: Apache-2.0
// The session of this process: starting a cluster on this machine or attaching to one, and ending that.

import { existsSync } from 'node:fs'
import { AuthenticationError, ClusterConnectionError, NodeDiedError } from '../errors.js'
import { native } from '../native.js'
import { limits } from '../options.js'
import { startDaemon, startDaemonNow } from '../run/bootstrap.js'
import { whileOneRejoins } from '../run/cluster-lookup.js'
import { HeadAbsence } from '../run/head-absence.js'
import { jobOf as specOf } from '../run/job.js'
import { NodeLoss, SILENT_END } from '../run/node-loss.js'
import { Runtime, SPIN_MICROS, session } from '../run/runtime.js'
import { type Seat, seatAt, seatOf } from '../run/seat.js'
import { type Control, PROTOCOL_VERSION, type Refused, type Welcome } from '../wire/messages.js'
import { checkInit, type InitOptions, nodeToAttach } from './init-options.js'
import { environmentUnder, withRuntimeEnv } from './runtime-env.js'

export type { InitOptions } from './init-options.js'

/** What init() gives; `await using` shuts the session down at the end of the block. */
export interface ClusterContext extends AsyncDisposable {
  address: string
  nodeId: string
  jobId: string
  sessionDir: string
  dashboardUrl: string | null
}

interface Session {
  runtime: Runtime
  seat: Seat
  context: ClusterContext
  logToDriver: boolean
  /** The node was lost: whoever waits to be welcomed hears of it. */
  failed(error: Error): void
  /** The node has ended the job. */
  jobOver(): void
  over: Promise<void>
  /** Looks whether the node lives, where nobody tells. */
  watch: NodeJS.Timeout | null
  absence: HeadAbsence
}

let live: Session | null = null
/** A session that is being left: the driver waits until its node has said that the job is over. */
let ending: Session | null = null
let starting: Promise<ClusterContext> | null = null
let stopping: Promise<void> | null = null
/** The daemon ended under a live session: nothing goes on by itself until the user has said shutdown() or init(). */
let lost: NodeDiedError | null = null

/**
 * Attaches to a running cluster, or starts one on this machine; see `address`. The default of every option suits a laptop.
 * Rejects with TypeError or RangeError for options that cannot be, ClusterConnectionError when it fails.
 * @example const { nodeId } = await init({ numCpus: 4 })
 * @example await using cluster = await init({ address: 'auto' })
 */
export async function init(options: InitOptions = {}): Promise<ClusterContext> {
  checkInit(options)
  refuseEarly()
  if (session.runtime !== null && live === null)
    throw new Error('init() was called inside a task or actor, which belong to a session already')
  if (live !== null || starting !== null) {
    if (options.ignoreReinitError) return starting ?? (live as Session).context
    throw new Error('init() was called twice; call shutdown() first, or pass ignoreReinitError: true')
  }
  lost = null
  starting = begin(options)
  try {
    return await starting
  } finally {
    starting = null
  }
}

async function begin(options: InitOptions): Promise<ClusterContext> {
  const resolved = withRuntimeEnv('init()', options)
  const environment = environmentUnder(null, resolved.runtimeEnv)
  const node = await whileOneRejoins(() => nodeToAttach(options))
  const seat = node === null ? seatAt(await startDaemon({ ...options, environment })) : seatOf(node, options.namespace)
  const { runtime, welcome, context } = attach(seat, options)
  runtime.environment = environment
  await runtime.waiting(welcome)
  return context
}

/** Joins the daemon's store and mesh. `welcome` resolves when it has said so. */
function attach(seat: Seat, options: InitOptions): { runtime: Runtime; welcome: Promise<Welcome>; context: ClusterContext } {
  if (seat.warning !== null) process.emitWarning(seat.warning)
  const store = native.openStore(seat.storePath, true)
  let welcomed: (message: Welcome) => void = () => {}
  let failed: (error: Error) => void = () => {}
  const welcome = new Promise<Welcome>((resolve, reject) => {
    welcomed = resolve
    failed = reject
  })
  welcome.catch(() => {})
  const runtime: Runtime = new Runtime(
    store,
    seat.nodeWorkerId,
    {
      onWelcome: message => welcomed(message),
      onMessage: message => {
        if (message.is === 'nodeEnds') loss.told(message)
        else if (message.is === 'headAway') absence.told(message)
        else onMessage(message, options.logToDriver ?? true)
      },
      onNodeLost: reason => {
        // How its own process ended is known in a moment.
        if (seat.ended === null || reason !== SILENT_END) nodeLost(runtime, loss.of(reason))
      },
    },
    SPIN_MICROS,
  )
  const absence = new HeadAbsence(runtime, say)
  const loss = new NodeLoss(seat)
  runtime.job = { ...seat.job, driver: store.workerId }
  runtime.requests.headAt = seat.ended === null ? seat.address : null
  const context = contextOf(seat)
  const watch = seat.ended === null ? watchNode(runtime, seat, loss) : null
  live = { runtime, seat, context, logToDriver: options.logToDriver ?? true, failed, ...whenOver(), watch, absence }
  session.runtime = runtime
  runtime.send(seat.nodeWorkerId, {
    is: 'hello',
    protocol: PROTOCOL_VERSION,
    workerId: store.workerId,
    pid: process.pid,
    kind: 'driver',
    token: seat.token,
    job: runtime.job,
  })
  void seat.ended?.then(how => nodeLost(runtime, loss.of(how)))
  return { runtime, welcome, context }
}

function whenOver(): { jobOver: () => void; over: Promise<void> } {
  let jobOver: () => void = () => {}
  const over = new Promise<void>(resolve => {
    jobOver = resolve
  })
  return { jobOver, over }
}

/**
 * The node daemon is no child of this process, so its end by SIGKILL has to be looked for; and one that was given up begins anew in
 * the same process, with another store: whoever attached just then would be answered by nobody.
 */
function watchNode(runtime: Runtime, { storePath }: Seat, loss: NodeLoss): NodeJS.Timeout {
  const look = (): void => {
    const isAlive = runtime.store.clients().some(client => client.workerId === runtime.node && client.live)
    if (isAlive && existsSync(storePath)) return
    // What it said before its end counts.
    runtime.mesh.poll()
    nodeLost(runtime, isAlive ? loss.begunAnew() : loss.of(SILENT_END))
  }
  return setInterval(look, limits.nodeWatchMs).unref()
}

function contextOf(seat: Seat): ClusterContext {
  return {
    address: seat.address,
    nodeId: seat.nodeId,
    jobId: seat.job.jobId,
    sessionDir: seat.sessionDir,
    dashboardUrl: null,
    [Symbol.asyncDispose]: shutdown,
  }
}

function onMessage(message: Control, logToDriver: boolean): void {
  if (message.is === 'log' && logToDriver) {
    const stream = message.stream === 'stdout' ? process.stdout : process.stderr
    for (const line of message.lines) stream.write(`(${message.name} pid=${message.pid}) ${line}\n`)
  } else if (message.is === 'jobOver') ending?.jobOver()
  else if (message.is === 'refused') abandon(refusedBy(message))
  else if (message.is === 'warning') say(message.text)
}

function say(text: string): void {
  process.stderr.write(`eagleray: ${text}\n`)
}

function refusedBy({ message, code }: Refused): Error {
  const text = `init(): the node refuses this program: ${message}`
  return code === 'ERR_EAGLERAY_AUTHENTICATION' ? new AuthenticationError(text) : new ClusterConnectionError(text)
}

/** The node is gone: everything that waits for it fails. */
function nodeLost(runtime: Runtime, text: string): void {
  ending?.jobOver()
  if (live?.runtime !== runtime) return
  lost = new NodeDiedError(text, { nodeId: live.seat.nodeId })
  abandon(lost)
}

/** With the stack of the call that found it so. */
function sayLost(): never {
  const { message, nodeId } = lost as NodeDiedError
  throw new NodeDiedError(message, { nodeId, cause: lost })
}

/** The session ends without the node. */
function abandon(error: Error): void {
  if (live === null) return
  const { runtime, failed, watch, absence } = live
  live = null
  session.runtime = null
  if (watch !== null) clearInterval(watch)
  absence.end()
  failed(error)
  runtime.fail(error)
  runtime.close()
}

/** Ends the session: stops whatever init started, and waits until nothing of it is left. May be called any number of times. */
export async function shutdown(): Promise<void> {
  await starting?.catch(() => {})
  lost = null
  if (live !== null) {
    const ending = stop(live).finally(() => {
      if (stopping === ending) stopping = null
    })
    stopping = ending
  }
  await stopping
}

async function stop(leaving: Session): Promise<void> {
  const { runtime, seat, over, watch, absence } = leaving
  absence.end()
  live = null
  ending = leaving
  session.runtime = null
  runtime.send(seat.nodeWorkerId, { is: 'endJob' })
  runtime.fail(new ClusterConnectionError('the session was shut down'))
  runtime.mesh.ref()
  await seat.leave(over)
  if (watch !== null) clearInterval(watch)
  ending = null
  runtime.close()
}

/** Whether a session is there: after init() (or the first use of the API), before shutdown(). */
export function isInitialized(): boolean {
  return session.runtime !== null
}

/** The runtime of this process; without one, a local cluster is started, as init() would. */
export function current(): Runtime {
  refuseEarly()
  if (session.runtime !== null) return session.runtime
  if (lost !== null) sayLost()
  if (starting !== null) throw new Error('init() is under way; await it before you use the rest of the API')
  checkInit({})
  const node = nodeToAttach({})
  return attach(node === null ? seatAt(startDaemonNow({})) : seatOf(node, undefined), {}).runtime
}

/** As `current`, where waiting is possible. */
export async function currentOrStarted(): Promise<Runtime> {
  refuseEarly()
  if (lost !== null) sayLost()
  if (session.runtime === null) await (starting ?? init())
  return current()
}

/** Modules that a worker preloads run before it belongs to the session. */
function refuseEarly(): void {
  if (session.notYet !== null) throw new Error(session.notYet)
}

/** The namespace of this driver, or of the driver this worker works for. */
export function namespaceOf(): string {
  return specOf(current()).namespace
}

export function jobOf(): string {
  return specOf(current()).jobId
}
