// SPDX-License-Identifier: Apache-2.0
// What a user's processes know of the clusters that run on this machine, in files of the user alone.
//
//   $EAGLERAY_HOME, or ~/.eagleray    mode 0700
//     token                           of all clusters that this user starts, unless EAGLERAY_TOKEN gives another
//     heads/<host>_<port>.json        a head that runs here, or did: HeadRecord
//     nodes/<nodeId>.json             a node that runs here, or did: NodeRecord
//     logs/                           what heads and node daemons print
//     storage/<host>_<port>/          tables of heads that were not told where to keep them
//
// A record may be of a process that is gone: it counts only while a process of that number and start time lives on this
// machine (the folder may be shared by several). Whoever starts a process removes the records of dead ones.

import { randomBytes } from 'node:crypto'
import { chmodSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { homedir, hostname } from 'node:os'
import { join } from 'node:path'
import { ClusterConnectionError } from '../errors.js'
import { makeFolder } from '../io/make-folder.js'
import type { NodeId, WorkerId } from '../wire/messages.js'

export const TOKEN_ENV = 'EAGLERAY_TOKEN'
export const HOME_ENV = 'EAGLERAY_HOME'

export interface ProcessRecord {
  /** Of the head: host:port. */
  address: string
  pid: number
  /** As the kernel counts it, so that another process of the same number is none of ours. */
  startTime: string
  hostname: string
}

export interface HeadRecord extends ProcessRecord {
  logPath: string
  /** Of tables that go with the cluster; null: the user said where they are kept. */
  storageDir: string | null
}

/** What a driver needs to attach. */
export interface NodeRecord extends ProcessRecord {
  nodeId: NodeId
  daemonId: WorkerId
  storePath: string
  sessionDir: string
  /** To be shown in `hello`. */
  token: string
  listed: boolean
  withHead: boolean
  /** It is none any more, and joins again as another one. */
  rejoins?: true
  /** When it was started (ms since 1970). */
  since: number
}

type Kind = 'heads' | 'nodes'

export function clusterHome(): string {
  return process.env[HOME_ENV] ?? join(homedir(), '.eagleray')
}

/** host:port in one spelling. Throws TypeError for what is none. */
export function checkedAddress(what: string, address: string): string {
  const match = /^(?:tcp:\/\/)?(\[[0-9a-fA-F:.]+\]|[^:/\s]+):(\d{1,5})$/.exec(address.trim())
  const port = Number(match?.[2])
  if (match === null || !(port >= 1 && port <= 65535))
    throw new TypeError(`${what}: ${JSON.stringify(address)} is no address; it must be host:port, such as 127.0.0.1:6390`)
  const host = match[1] as string
  return `${host === 'localhost' ? '127.0.0.1' : host}:${port}`
}

/** The folder of that name in the home, made if it is not there, for this user alone. Throws ClusterConnectionError where that cannot be. */
export function homeFolder(home: string, name: string): string {
  const path = join(home, name)
  try {
    for (const each of [home, path]) {
      makeFolder(each)
      chmodSync(each, 0o700)
    }
  } catch (error) {
    const why = (error as Error).message
    throw new ClusterConnectionError(
      `${home} cannot be the folder for what is known of clusters here: ${why}. Set ${HOME_ENV} to a directory that is this user's`,
      { cause: error },
    )
  }
  return path
}

/** EAGLERAY_TOKEN, else the user's token; null: there is none. */
export function knownToken(home: string): string | null {
  const given = process.env[TOKEN_ENV]
  if (given !== undefined && given !== '') return given
  try {
    return readFileSync(join(home, 'token'), 'utf8').trim() || null
  } catch {
    return null
  }
}

/** As `knownToken`, but makes one where there is none. */
export function ownToken(home: string): string {
  const known = knownToken(home)
  if (known !== null) return known
  homeFolder(home, '.')
  try {
    writeFileSync(join(home, 'token'), `${randomBytes(32).toString('hex')}\n`, { mode: 0o600, flag: 'wx' })
  } catch (error) {
    // Somebody else was faster.
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
  }
  return knownToken(home) as string
}

/** That process of this machine, as a record names it. */
export function recordOf(pid: number, address: string): ProcessRecord {
  return { address, pid, startTime: startTimeOf(pid) ?? '', hostname: hostname() }
}

export function writeRecord(home: string, kind: Kind, name: string, record: HeadRecord | NodeRecord): void {
  const path = join(homeFolder(home, kind), `${name}.json`)
  writeFileSync(`${path}.${process.pid}`, JSON.stringify(record), { mode: 0o600 })
  renameSync(`${path}.${process.pid}`, path)
}

export function removeRecord(home: string, kind: Kind, name: string): void {
  rmSync(join(home, kind, `${name}.json`), { force: true })
}

/** Of a head: no two live ones have the same address. */
export function headName(address: string): string {
  return address.replace(/[^\w.-]/g, '_')
}

export function liveHeads(home: string): HeadRecord[] {
  return records<HeadRecord>(home, 'heads').filter(isAlive)
}

/** Those that can be attached to. */
export function liveNodes(home: string): NodeRecord[] {
  return records<NodeRecord>(home, 'nodes').filter(each => each.rejoins !== true && isAlive(each))
}

/** Their cluster has given them up, and they join it again as other nodes, in the same process. */
export function rejoiningNodes(home: string): NodeRecord[] {
  return records<NodeRecord>(home, 'nodes').filter(each => each.rejoins === true && isAlive(each))
}

/** Removes the records of processes of this machine that are gone. */
export function sweepRecords(home: string): void {
  for (const kind of ['heads', 'nodes'] as const) {
    for (const name of namesIn(join(home, kind))) {
      const record = read<ProcessRecord>(join(home, kind, name))
      if (record !== null && record.hostname === hostname() && !isAlive(record)) rmSync(join(home, kind, name), { force: true })
    }
  }
}

export function isAlive({ pid, startTime, hostname: where }: ProcessRecord): boolean {
  return where === hostname() && startTimeOf(pid) === startTime
}

/** Null: there is no such process, or it has ended and its parent has not noticed. */
function startTimeOf(pid: number): string | null {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
    return fields[0] === 'Z' || fields[0] === 'X' ? null : (fields[19] ?? null)
  } catch {
    return null
  }
}

function records<T>(home: string, kind: Kind): T[] {
  const folder = join(home, kind)
  return namesIn(folder).flatMap(name => read<T>(join(folder, name)) ?? [])
}

function namesIn(folder: string): string[] {
  try {
    return readdirSync(folder)
      .filter(name => name.endsWith('.json'))
      .sort()
  } catch {
    return []
  }
}

function read<T>(path: string): T | null {
  try {
    return JSON.parse(readFileSync(path, 'utf8')) as T
  } catch {
    // Removed meanwhile, or of another version.
    return null
  }
}
