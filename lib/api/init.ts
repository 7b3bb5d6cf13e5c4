// SPDX-License-Identifier: Apache-2.0
// The session of this process: starting a cluster on this machine, and ending it.

import { ClusterConnectionError, NodeDiedError } from '../errors.js'
import { native } from '../native.js'
import { limits } from '../options.js'
import { type StartedDaemon, startDaemon, startDaemonNow } from '../run/bootstrap.js'
import { jobOf as specOf } from '../run/job.js'
import { checkName, count, flag, refuseUnknown } from '../run/option-checks.js'
import { Runtime, SPIN_MICROS, session } from '../run/runtime.js'
import { type Control, PROTOCOL_VERSION, type Welcome } from '../wire/messages.js'
import { environmentUnder, type RuntimeEnv, withRuntimeEnv } from './runtime-env.js'
import { checkLabels } from './strategy.js'
import { checkResources } from './task-options.js'

export interface InitOptions {
  /** 'local' starts a cluster on this machine. Left out: EAGLERAY_ADDRESS, else 'local'. */
  address?: string
  /** CPUs the node offers. Default: those this process may use. */
  numCpus?: number
  /** GPUs the node offers. Default: those of CUDA_VISIBLE_DEVICES, else those of the machine. May exceed the real number where that variable is not set. */
  numGpus?: number
  /** Bytes of memory the node offers for `memoryBytes`. */
  memoryBytes?: number
  /** Custom resources by name. */
  resources?: Record<string, number>
  labels?: Record<string, string>
  /** Size of the object store in bytes. Default: 30 % of memory. */
  objectStoreBytes?: number
  /** Whether objects go to disk when memory is short. Default true. */
  spill?: boolean
  /** Directory for that, made if it is not there. Default: in the session directory. */
  spillDir?: string
  /** Where the names of actors live. Default: a namespace of this driver's own. */
  namespace?: string
  /** Whether what workers print comes out here, prefixed "(name pid=…)". Default true. */
  logToDriver?: boolean
  /** What all workers of this driver are started in, unless a task or actor says otherwise. */
  runtimeEnv?: RuntimeEnv
  dashboard?: boolean | { host?: string; port?: number }
  /** Whether a second init() is ignored rather than an error. Default false. */
  ignoreReinitError?: boolean
}

const KEYS = [
  'address',
  'numCpus',
  'numGpus',
  'memoryBytes',
  'resources',
  'labels',
  'objectStoreBytes',
  'spill',
  'spillDir',
  'namespace',
  'logToDriver',
  'runtimeEnv',
  'dashboard',
  'ignoreReinitError',
]

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
  daemon: StartedDaemon
  context: ClusterContext
  logToDriver: boolean
  /** The node was lost: whoever waits to be welcomed hears of it. */
  failed(error: Error): void
}

let live: Session | null = null
let starting: Promise<ClusterContext> | null = null
let stopping: Promise<void> | null = null
/** The daemon ended under a live session: nothing goes on by itself until the user has said shutdown() or init(). */
let lost: Error | null = null

/**
 * Starts a cluster on this machine. The default of every option suits a laptop.
 * Rejects with TypeError or RangeError for options that cannot be, ClusterConnectionError when it fails.
 * @example const { nodeId } = await init({ numCpus: 4 })
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

function checkInit(options: InitOptions): void {
  refuseUnknown('init()', options, KEYS)
  flag('init()', 'spill', options.spill)
  if (options.spillDir !== undefined && (typeof options.spillDir !== 'string' || options.spillDir === ''))
    throw new TypeError('init(): spillDir must be the path of a directory')
  if (options.spillDir !== undefined && options.spill === false) throw new TypeError('init(): spillDir is given, and spill is false')
  checkResources('init()', options)
  checkName('init()', options.namespace, 'namespace')
  flag('init()', 'logToDriver', options.logToDriver)
  flag('init()', 'ignoreReinitError', options.ignoreReinitError)
  checkLabels('init()', options.labels)
  if (options.address !== undefined && typeof options.address !== 'string') throw new TypeError('init(): address must be a string')
  const address = options.address ?? process.env.EAGLERAY_ADDRESS ?? 'local'
  const own = (['numCpus', 'numGpus', 'memoryBytes', 'resources', 'objectStoreBytes'] as const).find(key => options[key] !== undefined)
  if (address !== 'local' && own !== undefined)
    throw new TypeError(`init(): ${own} is decided where a cluster is started, not when attaching to ${address}`)
  if (address !== 'local')
    throw new ClusterConnectionError(
      `init(): there is no cluster to attach to at ${address}: this version of eagleray runs on one machine, with address 'local'`,
    )
  const bytes = options.objectStoreBytes
  count('init()', 'objectStoreBytes', bytes, limits.storeBytesMin, limits.storeBytesMax)
}

async function begin(options: InitOptions): Promise<ClusterContext> {
  const resolved = withRuntimeEnv('init()', options)
  const environment = environmentUnder(null, resolved.runtimeEnv)
  const daemon = await startDaemon({ ...options, environment })
  const { runtime, welcome, context } = attach(daemon, options)
  runtime.environment = environment
  await runtime.waiting(welcome)
  return context
}

/** Joins the daemon's store and mesh. `welcome` resolves when it has said so. */
function attach(daemon: StartedDaemon, options: InitOptions): { runtime: Runtime; welcome: Promise<Welcome>; context: ClusterContext } {
  if (daemon.warning !== null) process.emitWarning(daemon.warning)
  const store = native.openStore(daemon.storePath)
  let welcomed: (message: Welcome) => void = () => {}
  let failed: (error: Error) => void = () => {}
  const welcome = new Promise<Welcome>((resolve, reject) => {
    welcomed = resolve
    failed = reject
  })
  welcome.catch(() => {})
  const runtime: Runtime = new Runtime(
    store,
    daemon.nodeWorkerId,
    {
      onWelcome: message => welcomed(message),
      onMessage: message => onMessage(message, options.logToDriver ?? true),
      onNodeLost: reason => nodeLost(runtime, reason),
    },
    SPIN_MICROS,
  )
  runtime.job = { ...daemon.job, driver: store.workerId }
  const context = contextOf(daemon)
  live = { runtime, daemon, context, logToDriver: options.logToDriver ?? true, failed }
  session.runtime = runtime
  runtime.send(daemon.nodeWorkerId, {
    is: 'hello',
    protocol: PROTOCOL_VERSION,
    workerId: store.workerId,
    pid: process.pid,
    kind: 'driver',
    token: daemon.token,
    job: runtime.job,
  })
  void daemon.ended.then(exit => {
    if (live?.runtime === runtime)
      nodeLost(
        runtime,
        `it ended with ${exit.signal ?? `exit code ${exit.exitCode}`}${exit.stderrTail === '' ? '' : `: ${exit.stderrTail}`}`,
      )
  })
  return { runtime, welcome, context }
}

function contextOf(daemon: StartedDaemon): ClusterContext {
  return {
    address: 'local',
    nodeId: daemon.nodeId,
    jobId: daemon.job.jobId,
    sessionDir: daemon.sessionDir,
    dashboardUrl: null,
    [Symbol.asyncDispose]: shutdown,
  }
}

function onMessage(message: Control, logToDriver: boolean): void {
  if (message.is === 'log' && logToDriver) {
    const stream = message.stream === 'stdout' ? process.stdout : process.stderr
    for (const line of message.lines) stream.write(`(${message.name} pid=${message.pid}) ${line}\n`)
  } else if (message.is === 'warning') process.stderr.write(`eagleray: ${message.text}\n`)
}

/** The node is gone: everything that waits for it fails. */
function nodeLost(runtime: Runtime, reason: string): void {
  if (live?.runtime !== runtime) return
  const { failed } = live
  live = null
  session.runtime = null
  lost = new NodeDiedError(`the node daemon of this session is gone (${reason}); call init() to start another`)
  failed(lost)
  runtime.fail(lost)
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

async function stop({ runtime, daemon }: Session): Promise<void> {
  live = null
  session.runtime = null
  runtime.send(daemon.nodeWorkerId, { is: 'endJob' })
  runtime.fail(new ClusterConnectionError('the session was shut down'))
  // What the workers printed last comes through the channel to the daemon, until that has ended.
  await daemon.stop()
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
  if (lost !== null) throw lost
  if (starting !== null) throw new Error('init() is under way; await it before you use the rest of the API')
  checkInit({})
  return attach(startDaemonNow({}), {}).runtime
}

/** As `current`, where waiting is possible. */
export async function currentOrStarted(): Promise<Runtime> {
  refuseEarly()
  if (lost !== null) throw lost
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
