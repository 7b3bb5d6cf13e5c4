// SPDX-License-Identifier: Apache-2.0
// `eagleray start`: a head with a node beside it, or a node that joins a running head. They go on when the command has ended.

import { join } from 'node:path'
import { checkNodeOptions } from '../api/node-options.js'
import { endpoint } from '../io/endpoint.js'
import { checkStorageName } from '../io/storage/name.js'
import { limits } from '../options.js'
import type { StartOptions } from '../run/bootstrap.js'
import {
  checkedAddress,
  clusterHome,
  HOME_ENV,
  headName,
  homeFolder,
  knownToken,
  liveHeads,
  liveNodes,
  ownToken,
  recordOf,
  sweepRecords,
  TOKEN_ENV,
  writeRecord,
} from '../run/cluster-home.js'
import { type RunningHead, type RunningNode, startHead, startNode } from '../run/cluster-start.js'
import { describeExit } from '../run/launch.js'
import { count } from '../run/option-checks.js'
import { allAddresses, reachableAddress } from '../run/reachable.js'
import { type Command, Failure, numberOf, objectOf, print, textOf, UsageError, type Values } from './command.js'

const DEFAULT_PORT = 6390

export const start: Command = {
  name: 'start',
  takes: '',
  counts: [0, 0],
  summary: 'Starts a cluster on this machine (--head), or joins one from here (--address).',
  details: [
    'The processes go on when the command has ended; `eagleray stop` ends them.',
    `Whoever has the token of a cluster may do anything in it. It is in ${TOKEN_ENV}, else in the file \`token\` of ${HOME_ENV} (~/.eagleray),`,
    'which --head makes where there is none. All traffic between nodes is encrypted with keys made from it.',
  ].join('\n'),
  options: {
    head: { type: 'boolean', help: 'start a cluster: its head, and a node beside it' },
    address: { type: 'string', value: 'host:port', help: 'join the cluster whose head listens there' },
    port: { type: 'string', value: 'N', help: `where the head listens. Default: ${DEFAULT_PORT}` },
    host: {
      type: 'string',
      value: 'ADDRESS',
      help: 'of this machine, at which others reach it; 0.0.0.0 or :: for all it has. Default: 127.0.0.1, so that no other machine does',
    },
    advertise: {
      type: 'string',
      value: 'ADDRESS',
      help: 'what others are told in place of --host. Default with 0.0.0.0 or ::: the address by which this machine reaches the head, or, of a head, the way out',
    },
    storage: {
      type: 'string',
      value: 'WHERE',
      help: 'where the head keeps its tables: file:DIR, redis://host:port or memory. Default: files in ~/.eagleray/storage, which go with `eagleray stop`; memory with --port 0',
    },
    'node-timeout-ms': {
      type: 'string',
      value: 'MS',
      help: 'how long a node may be silent before it counts as dead, 100 at least. Default: 10000. With --head',
    },
    'num-cpus': { type: 'string', value: 'N', help: 'CPUs the node offers. Default: those of this machine' },
    'num-gpus': { type: 'string', value: 'N', help: 'GPUs the node offers. Default: those of CUDA_VISIBLE_DEVICES, else of this machine' },
    'memory-bytes': { type: 'string', value: 'N', help: 'bytes of memory the node offers. Default: that of this machine, less the store' },
    resources: { type: 'string', value: 'JSON', help: 'more resources by name, such as \'{"disk": 2}\'' },
    labels: { type: 'string', value: 'JSON', help: 'labels of the node, such as \'{"zone": "a"}\'' },
    'object-store-bytes': { type: 'string', value: 'N', help: 'size of the object store. Default: 30 % of memory' },
    'spill-dir': { type: 'string', value: 'DIR', help: 'where objects go when memory is short. Default: in the session directory' },
    block: { type: 'boolean', help: 'stay until the processes end, which end with this command' },
  },
  run,
}

async function run(values: Values): Promise<number> {
  const isHead = values.head === true
  const address = textOf(values, 'address')
  if (isHead === (address !== undefined)) throw new UsageError('start takes either --head or --address host:port')
  const forHead = ['port', 'storage', 'node-timeout-ms'].find(name => values[name] !== undefined)
  if (!isHead && forHead !== undefined) throw new UsageError(`--${forHead} is for --head`)
  return isHead ? startCluster(values) : joinCluster(values, checkedAddress('--address', address as string))
}

async function startCluster(values: Values): Promise<number> {
  const home = clusterHome()
  const { host, advertised } = await hostsIn(values, null)
  const port = numberOf(values, 'port') ?? DEFAULT_PORT
  if (!Number.isInteger(port) || port < 0 || port > 65_535) throw new UsageError(`--port must be a port number, not ${port}`)
  const nodeDeadAfterMs = numberOf(values, 'node-timeout-ms')
  count('start', '--node-timeout-ms', nodeDeadAfterMs, limits.nodeDeadAfterMsMin)
  const storage = textOf(values, 'storage')
  if (storage !== undefined) checkStorageName('start: --storage', storage)
  sweepRecords(home)
  const there = liveHeads(home).find(head => head.address === endpoint(advertised, port).replace('tcp://', ''))
  if (there !== undefined) throw new Failure(`a head runs at ${there.address} already (pid ${there.pid}); \`eagleray stop\` ends it`)
  const nodeOptions = nodeOptionsIn(values)
  const storageDir = ownStorage(values, home, host, port)
  const settings = {
    host,
    advertised: told(host, advertised),
    port,
    storage: storage ?? (storageDir === null ? 'memory' : `file:${storageDir}`),
    token: ownToken(home),
    nodeDeadAfterMs: nodeDeadAfterMs ?? null,
    life: lifeIn(values),
  }
  const head = await startHead(homeFolder(home, 'logs'), settings, tellNews('the head'))
  writeRecord(home, 'heads', headName(head.address), { ...recordOf(head.pid, head.address), logPath: head.logPath ?? '', storageDir })
  const here = liveNodes(home).find(node => node.listed && node.address === head.address)
  if (here !== undefined) {
    print(`The head at ${head.address} runs again (pid ${head.pid}); node ${here.nodeId} of that cluster is here already.`)
    return values.block === true ? blocked([head]) : 0
  }
  let node: RunningNode
  try {
    node = await nodeFor(values, nodeOptions, head.address, ownToken(home), true)
  } catch (error) {
    await head.stop()
    throw error
  }
  tellStarted(head, node, home)
  return values.block === true ? blocked([node, head]) : 0
}

/** Where a head that was not told keeps its tables. At a port that is free by chance there is nothing to go on from: null. */
function ownStorage(values: Values, home: string, host: string, port: number): string | null {
  if (values.storage !== undefined || port === 0) return null
  return join(homeFolder(home, 'storage'), headName(`${host}:${port}`))
}

async function joinCluster(values: Values, address: string): Promise<number> {
  const nodeOptions = nodeOptionsIn(values)
  const token = knownToken(clusterHome())
  if (token === null)
    throw new Failure(
      `no token is known for the cluster at ${address}: set ${TOKEN_ENV} to that of the machine where it was started (the file token in its ~/.eagleray)`,
    )
  const node = await nodeFor(values, nodeOptions, address, token, false)
  tellWarning(node)
  print(`Node ${node.nodeId} joined the cluster at ${address} (pid ${node.pid}).`)
  print(`Programs on this machine attach to it with init(); \`eagleray stop\` ends it.`)
  return values.block === true ? blocked([node]) : 0
}

/** Throws what is wrong with them before anything is started. */
function nodeOptionsIn(values: Values): StartOptions {
  const options = given({
    numCpus: numberOf(values, 'num-cpus'),
    numGpus: numberOf(values, 'num-gpus'),
    memoryBytes: numberOf(values, 'memory-bytes'),
    objectStoreBytes: numberOf(values, 'object-store-bytes'),
    resources: objectOf(values, 'resources', '{"disk": 2}') as Record<string, number> | undefined,
    labels: objectOf(values, 'labels', '{"zone": "a"}') as Record<string, string> | undefined,
    spillDir: textOf(values, 'spill-dir'),
  })
  checkNodeOptions('start', options)
  return options
}

async function nodeFor(values: Values, options: StartOptions, head: string, token: string, withHead: boolean): Promise<RunningNode> {
  const home = clusterHome()
  const { host, advertised } = await hostsIn(values, head)
  const joining = { head, host, advertised: told(host, advertised), token, home, listed: true, withHead }
  return startNode(options, joining, lifeIn(values), homeFolder(home, 'logs'), tellNews('the node'))
}

/** Without what was not given. */
function given<T extends object>(options: T): { [K in keyof T]?: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined)) as {
    [K in keyof T]?: Exclude<T[K], undefined>
  }
}

/** Where to listen, and what others are told. `head`: to which it must be of use, host:port; null: of a head itself. */
async function hostsIn(values: Values, head: string | null): Promise<{ host: string; advertised: string }> {
  const host = textOf(values, 'host') ?? '127.0.0.1'
  const named = textOf(values, 'advertise')
  if (named !== undefined && allAddresses(named) !== null)
    throw new UsageError(`--advertise must be an address at which others reach this machine, not ${named}`)
  const families = allAddresses(host)
  if (families === null) return { host, advertised: named ?? host }
  const advertised = named ?? (await reachableAddress(families, head))
  if (advertised === null)
    throw new UsageError(`--host ${host} is all addresses of this machine, which has none that others reach: name one with --advertise`)
  return { host: families.length === 1 ? '0.0.0.0' : '::', advertised }
}

const told = (host: string, advertised: string): string | undefined => (advertised === host ? undefined : advertised)

const lifeIn = (values: Values): 'stdin' | 'own' => (values.block === true ? 'stdin' : 'own')

/** What a process that is started waits for, each thing once. */
function tellNews(who: string): (text: string) => void {
  const told = new Set<string>()
  return text => {
    if (!told.has(text)) process.stderr.write(`eagleray: ${who} ${text}\n`)
    told.add(text)
  }
}

function tellWarning({ warning }: RunningNode): void {
  if (warning !== null) process.stderr.write(`eagleray: ${warning}\n`)
}

function tellStarted(head: RunningHead, node: RunningNode, home: string): void {
  tellWarning(node)
  print(`A cluster runs at ${head.address}: head (pid ${head.pid}) and node ${node.nodeId} (pid ${node.pid}).`)
  print('')
  print('Programs on this machine attach to it with init(), or with:')
  print(`  EAGLERAY_ADDRESS=${head.address}`)
  print('Another machine joins it with:')
  print(`  ${TOKEN_ENV}=… eagleray start --address ${head.address} --host ITS-ADDRESS`)
  print(`where … stands for what the file ${join(home, 'token')} holds.`)
  if (isLoopback(head.address)) print('(Only this machine reaches that address: start with --host ADDRESS to let others in.)')
  print('It ends with:')
  print('  eagleray stop')
}

const isLoopback = (address: string): boolean => /^(127\.|\[::1\])/.test(address)

/** Until one of them ends, or ctrl-C. They end with this process, whatever ends it. */
async function blocked(all: (RunningHead | RunningNode)[]): Promise<number> {
  const signalled = new Promise<null>(resolve => {
    for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => resolve(null))
  })
  const alive = setInterval(() => {}, 1 << 30)
  const first = await Promise.race([signalled, ...all.map(each => each.ended)])
  for (const each of all) await each.stop()
  clearInterval(alive)
  if (first !== null) process.stderr.write(`eagleray: a process of the cluster ended by itself: ${describeExit(first)}\n`)
  return first === null ? 0 : 1
}
