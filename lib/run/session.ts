// SPDX-License-Identifier: Apache-2.0
// What a session keeps in files, and how it is found dead.
//
//   /dev/shm/eagleray-<uid>/<name>.lock    held (flock) by the session's daemon as long as it lives; names the session directory
//   /dev/shm/eagleray-<uid>/<name>/        the store's segment (or `segment` in the session directory, see placeSegment)
//   <tmp>/eagleray-<uid>/<name>/           the session directory: logs
//
// Locks lie in shared memory because that is one place for all of a user's programs, whatever their TMPDIR, and nothing
// but a restart of the machine cleans it. Where there is none they lie with the session directories.
//
// Invariants: the lock is taken before anything else of the session exists and its file is removed last, so a lock that
// is free belongs to a session that is over, whatever killed it; all directories have mode 0700 and are ours.

import {
  accessSync,
  chmodSync,
  constants,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statfsSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'

const SHARED_MEMORY = '/dev/shm'
const LOCK_SUFFIX = '.lock'
/** Below this, shared memory is no place for a store that nobody gave a size. */
const SMALLEST_STORE_BYTES = 64 << 20

export interface Session {
  name: string
  /** Mode 0700; holds `logs/`. */
  sessionDir: string
  lockPath: string
  /** Where createStore is to make the segment; it does not exist yet. */
  storePath: string
  /** Where objects go when memory is short, if not below the session directory; null otherwise. */
  spillPath: string | null
}

export interface Roots {
  /** Of session directories. */
  sessions: string
  /** Of segments. */
  segments: string
  locks: string
}

export function defaultRoots(): Roots {
  const own = `eagleray-${process.getuid?.() ?? 0}`
  const [sessions, segments] = [join(tmpdir(), own), join(SHARED_MEMORY, own)]
  return { sessions, segments, locks: isWritable(SHARED_MEMORY) ? segments : sessions }
}

/** Takes a lock, and makes the session directory. `lock` gives false when another process has it. Throws when a root is not ours. */
export function createSession(roots: Roots, random: () => string, lock: (path: string) => boolean): Session {
  ownDirectory(roots.sessions)
  ownDirectory(roots.locks)
  for (;;) {
    const name = `session-${timestamp(new Date())}-${process.pid}-${random()}`
    const lockPath = join(roots.locks, name + LOCK_SUFFIX)
    // False: a sweeper found the file in the instant before it was locked. Its name is lost to us.
    if (!lock(lockPath)) continue
    const sessionDir = join(roots.sessions, name)
    writeFileSync(lockPath, sessionDir)
    mkdirSync(join(sessionDir, 'logs'), { recursive: true, mode: 0o700 })
    return { name, sessionDir, lockPath, storePath: join(roots.segments, name), spillPath: null }
  }
}

/** Removes all that the session has in files; what is gone already is no error. */
export function removeSession(session: Session): void {
  for (const path of [session.storePath, session.spillPath, session.sessionDir, session.lockPath])
    if (path !== null) rmSync(path, { recursive: true, force: true })
}

/** Removes the sessions of daemons that are dead; gives their names. */
export function sweepSessions(roots: Roots, lock: (path: string) => boolean): string[] {
  const removed: string[] = []
  for (const entry of namesIn(roots.locks)) {
    if (!entry.endsWith(LOCK_SUFFIX)) continue
    const name = entry.slice(0, -LOCK_SUFFIX.length)
    const lockPath = join(roots.locks, entry)
    try {
      if (!lock(lockPath)) continue
      const sessionDir = readFileSync(lockPath, 'utf8')
      // Empty: it ended before it made anything.
      if (basename(sessionDir) === name)
        removeSession({ name, lockPath, sessionDir, storePath: join(roots.segments, name), spillPath: null })
      else rmSync(lockPath, { force: true })
      removed.push(name)
    } catch {
      // Another sweeper, or a file of somebody else: it is not for us to clean.
    }
  }
  return removed
}

export interface SegmentPlace {
  storePath: string
  capacityBytes: number
  warning: string | null
}

/**
 * Where the segment goes and how large it is: shared memory, when that has room for it; else a file in the session
 * directory, with a warning, since a disk is slow. `wanted` null: 30 % of `memoryBytes`, less where there is less room.
 */
export function placeSegment(session: Session, roots: Roots, wanted: number | null, memoryBytes: number, freeBytes = freeIn): SegmentPlace {
  const standard = Math.floor(0.3 * memoryBytes)
  const shared = freeBytes(SHARED_MEMORY)
  if (wanted === null ? shared * 0.8 >= SMALLEST_STORE_BYTES : shared >= wanted) {
    ownDirectory(roots.segments)
    return { storePath: session.storePath, capacityBytes: wanted ?? Math.floor(Math.min(standard, shared * 0.8)), warning: null }
  }
  const storePath = join(session.sessionDir, 'segment')
  const capacityBytes = wanted ?? Math.floor(Math.min(standard, freeBytes(session.sessionDir) * 0.5))
  const warning =
    `${SHARED_MEMORY} has only ${shared} bytes free, too little for an object store of ${capacityBytes} bytes. ` +
    `It is kept in ${storePath} instead, which is much slower. Give ${SHARED_MEMORY} more room (docker run --shm-size), or lower objectStoreBytes.`
  return { storePath, capacityBytes, warning }
}

function isWritable(path: string): boolean {
  try {
    accessSync(path, constants.W_OK)
    return true
  } catch {
    return false
  }
}

function freeIn(path: string): number {
  try {
    const { bavail, bsize } = statfsSync(path)
    return bavail * bsize
  } catch {
    return 0
  }
}

/** Makes the directory, or makes sure that it is ours alone: others could swap what is in it otherwise. */
function ownDirectory(path: string): void {
  mkdirSync(path, { recursive: true, mode: 0o700 })
  const { uid, mode } = lstatSync(path)
  const isDirectory = (mode & 0o170000) === 0o040000
  if (!isDirectory || (process.getuid !== undefined && uid !== process.getuid())) {
    throw new Error(
      `eagleray: ${path} is no directory of this user (it belongs to uid ${uid}); remove it, or set TMPDIR to a place of your own`,
    )
  }
  if ((mode & 0o077) !== 0) chmodSync(path, 0o700)
}

function namesIn(directory: string): string[] {
  try {
    return readdirSync(directory)
  } catch {
    return []
  }
}

/** 20260131-235959 */
function timestamp(date: Date): string {
  return date.toISOString().slice(0, 19).replaceAll('-', '').replace('T', '-').replaceAll(':', '')
}
