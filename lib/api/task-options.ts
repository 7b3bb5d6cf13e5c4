// SPDX-License-Identifier: Apache-2.0
// The options of remote functions and actor classes: what they are, and what is refused at the call.

import { describeAmounts, largestOf, toAmounts } from '../core/resources.js'
import { limits } from '../options.js'
import { checkName, count, isRecord, number, refuseUnknown } from '../run/option-checks.js'
import type { Environment, JobSpec, SchedulingClass } from '../wire/messages.js'
import type { RuntimeEnv } from './runtime-env.js'
import { checkPlacement, checkRoom, describeWhere, PLACEMENT_KEYS, type PlacementOptions, whereOf } from './strategy.js'

/** A class of errors, as `retryExceptions` takes them. */
export type ErrorClass = abstract new (...args: never[]) => Error

/** What a task or actor takes of its node while it runs. */
export interface ResourceOptions {
  /** CPUs, in steps of 0.0001. Tasks: 1. Actors: 1 to be placed and 0 while they live, unless given. */
  numCpus?: number
  /** GPUs, in steps of 0.0001; more than 1 must be whole. Default 0. */
  numGpus?: number
  /** Bytes of memory the task declares; bookkeeping, not enforced. */
  memoryBytes?: number
  /** Custom resources by name. CPU, GPU and memory have options of their own. */
  resources?: Record<string, number>
}

export interface TaskOptions extends ResourceOptions, PlacementOptions {
  /** Refs `.remote()` gives: 1; n > 1 for a function that returns n values; 0 gives undefined. */
  numReturns?: number
  /** How often the task is run again when its worker dies: 3; -1 for ever. */
  maxRetries?: number
  /** Whether exceptions of the body are retried too: all of them, or those of these classes. Default false. */
  retryExceptions?: boolean | readonly ErrorClass[]
  /** Tasks a worker runs of this function before it is replaced; 0 for no limit. GPU tasks: 1. */
  maxCalls?: number
  /** What the task is called in errors, logs and lists. Default: the function's name. */
  name?: string
  /** What the worker process is started in. Default, and for each field that is left out: that of whoever submits the task. */
  runtimeEnv?: RuntimeEnv
  /** Captures given by hand: they win over what is found, and nothing named here is looked up. */
  env?: Record<string, unknown>
}

const RESOURCE_KEYS = ['numCpus', 'numGpus', 'memoryBytes', 'resources']
const TASK_KEYS = [
  ...RESOURCE_KEYS,
  'numReturns',
  'maxRetries',
  'retryExceptions',
  'maxCalls',
  'name',
  ...PLACEMENT_KEYS,
  'runtimeEnv',
  'env',
]

function quantity(what: string, name: string, value: unknown): number {
  const amount = number(what, name, value)
  const most = largestOf(name)
  if (amount < 0 || amount > most) throw new RangeError(`${what}: ${name} is ${amount}; it must be 0 or more, and ${most} at most`)
  if (Math.abs(amount * 10_000 - Math.round(amount * 10_000)) > 1e-6)
    throw new RangeError(`${what}: ${name} is ${amount}; the smallest step is 0.0001`)
  return amount
}

export function checkResources(what: string, options: ResourceOptions): void {
  if (options.numCpus !== undefined) quantity(what, 'numCpus', options.numCpus)
  if (options.numGpus !== undefined) {
    const gpus = quantity(what, 'numGpus', options.numGpus)
    if (gpus > 1 && !Number.isInteger(gpus))
      throw new RangeError(`${what}: numGpus is ${gpus}; more than one GPU must be a whole number, because a fraction is of one device`)
  }
  const { memoryBytes = 0 } = options
  if (!(number(what, 'memoryBytes', memoryBytes) >= 0 && memoryBytes <= largestOf('memory')))
    throw new RangeError(`${what}: memoryBytes is ${memoryBytes}; it must be 0 or more bytes`)
  if (options.resources === undefined) return
  if (!isRecord(options.resources)) throw new TypeError(`${what}: resources must be an object of numbers by name`)
  for (const [name, value] of Object.entries(options.resources)) {
    if (name === 'CPU' || name === 'GPU' || name === 'memory') {
      throw new RangeError(`${what}: ${name} does not belong into resources; use numCpus, numGpus or memoryBytes`)
    }
    if (name === '' || name in {}) throw new RangeError(`${what}: ${JSON.stringify(name)} cannot be the name of a resource`)
    quantity(what, `resources.${name}`, value)
  }
}

export function checkTaskOptions(what: string, options: TaskOptions): void {
  refuseUnknown(what, options, TASK_KEYS)
  checkResources(what, options)
  count(what, 'numReturns', options.numReturns, 0, limits.returnsMax)
  count(what, 'maxRetries', options.maxRetries, -1)
  count(what, 'maxCalls', options.maxCalls, 0)
  checkName(what, options.name)
  const retry = options.retryExceptions
  if (retry !== undefined && typeof retry !== 'boolean' && !(Array.isArray(retry) && retry.every(each => typeof each === 'function'))) {
    throw new TypeError(`${what}: retryExceptions must be true, false or an array of error classes`)
  }
  checkPlacement(what, options)
  checkEnv(what, options.env)
}

export function checkEnv(what: string, env: unknown): void {
  if (env !== undefined && !isRecord(env)) throw new TypeError(`${what}: env must be an object of captures by name`)
}

/** Resources by their names in the cluster; `cpus` when the user named none. */
export function resourcesOf(options: ResourceOptions, cpus: number): Record<string, number> {
  return { CPU: options.numCpus ?? cpus, GPU: options.numGpus ?? 0, memory: options.memoryBytes ?? 0, ...options.resources }
}

/**
 * `environment`: of the task, inherited parts included. `captured`: the placement group that takes in what the task that runs here
 * submits; null for none. Throws RangeError for what fits no bundle of its placement group.
 */
export function schedulingClass(
  options: TaskOptions,
  environment: Environment | null,
  job: JobSpec,
  captured: string | null = null,
): SchedulingClass {
  const resources = toAmounts(resourcesOf(options, 1))
  const freshWorker = (options.numGpus ?? 0) > 0 && options.maxCalls !== 0
  const maxCalls = options.maxCalls ?? 0
  checkRoom(options.name ?? 'the task', options, resources)
  const where = whereOf(options, captured)
  const key = [
    describeAmounts(resources),
    freshWorker ? 'fresh' : '',
    maxCalls > 0 ? `maxCalls:${maxCalls}` : '',
    environment === null ? '' : `env:${environment.key}`,
    describeWhere(where),
    `job:${job.jobId}`,
  ]
    .filter(part => part !== '')
    .join(' ')
  const calls = freshWorker && maxCalls === 0 ? 1 : maxCalls
  return { key, resources, freshWorker, maxCalls: calls, environment, job, where, near: null }
}
