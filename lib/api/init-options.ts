// SPDX-License-Identifier: Apache-2.0
// The options of init(): what they are, what is refused at the call, and which cluster they mean.

import type { NodeRecord } from '../run/cluster-home.js'
import { nodeFor } from '../run/cluster-lookup.js'
import { checkName, flag, refuseUnknown } from '../run/option-checks.js'
import { checkNodeOptions, NODE_KEYS } from './node-options.js'
import type { RuntimeEnv } from './runtime-env.js'

export interface InitOptions {
  /**
   * 'local' starts a cluster on this machine. 'auto' attaches to the one that runs here, "host:port" to the one whose head listens there
   * and that has a node on this machine. Left out: EAGLERAY_ADDRESS, else a cluster that runs here, else 'local'.
   */
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
  /** Only false, which is the default: this version has no dashboard. */
  dashboard?: boolean | { host?: string; port?: number }
  /** Whether a second init() is ignored rather than an error. Default false. */
  ignoreReinitError?: boolean
}

const KEYS = ['address', ...NODE_KEYS, 'namespace', 'logToDriver', 'runtimeEnv', 'dashboard', 'ignoreReinitError']

/** Refuses what cannot be, before anything is looked for or started. */
export function checkInit(options: InitOptions): void {
  refuseUnknown('init()', options, KEYS)
  checkNodeOptions('init()', options)
  checkName('init()', options.namespace, 'namespace')
  flag('init()', 'logToDriver', options.logToDriver)
  flag('init()', 'ignoreReinitError', options.ignoreReinitError)
  if (options.dashboard !== undefined && options.dashboard !== false)
    throw new TypeError(
      'init(): dashboard is not there in this version: leave it out, and look with the command `eagleray status` or the functions of `state`',
    )
  if (options.address !== undefined && typeof options.address !== 'string') throw new TypeError('init(): address must be a string')
  const address = options.address ?? fromEnvironment()
  if (address !== undefined && address !== 'local') refuseOwn(options, address)
}

function fromEnvironment(): string | undefined {
  return process.env.EAGLERAY_ADDRESS || undefined
}

/** What a node offers was decided when it was started. */
function refuseOwn(options: InitOptions, address: string): void {
  const own = NODE_KEYS.find(key => options[key] !== undefined)
  if (own === undefined) return
  throw new TypeError(
    `init(): ${own} is decided where a cluster is started, not when attaching to ${address}; with address: 'local' this program starts one of its own`,
  )
}

/** The node to attach to; null: one is to be started. Throws ClusterConnectionError, and TypeError for options that are decided there. */
export function nodeToAttach(options: InitOptions): NodeRecord | null {
  const address = options.address ?? fromEnvironment()
  const node = address === 'local' ? null : nodeFor(address)
  if (node !== null) refuseOwn(options, node.address)
  return node
}
