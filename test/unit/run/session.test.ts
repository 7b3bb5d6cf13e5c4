// SPDX-License-Identifier: Apache-2.0
import assert from 'node:assert/strict'
import { chmodSync, existsSync, mkdirSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createSession, placeSegment, type Roots, removeSession, sweepSessions } from '#lib/run/session.js'

/** Locks as flock gives them: each file has one holder, until that dies. */
class Locks {
  readonly #holders = new Map<string, string>()

  by(holder: string): (path: string) => boolean {
    return path => {
      if (this.#holders.has(path)) return false
      this.#holders.set(path, holder)
      writeFileSync(path, '', { flag: 'a' })
      return true
    }
  }

  die(holder: string): void {
    for (const [path, each] of this.#holders) if (each === holder) this.#holders.delete(path)
  }
}

suite('the session', () => {
  let base: string
  let roots: Roots
  let random: () => string
  let locks: Locks

  setup(() => {
    base = mkdtempSync(join(tmpdir(), 'eagleray-test-'))
    roots = { sessions: join(base, 'sessions'), segments: join(base, 'segments'), locks: join(base, 'locks') }
    let next = 0
    random = () => `${next++}`
    locks = new Locks()
  })

  teardown(() => rmSync(base, { recursive: true, force: true }))

  test('its directories are for this user alone', () => {
    const session = createSession(roots, random, locks.by('a'))
    for (const path of [roots.sessions, session.sessionDir, join(session.sessionDir, 'logs')])
      assert.equal(statSync(path).mode & 0o777, 0o700)
    assert.match(session.name, new RegExp(`^session-\\d{8}-\\d{6}-${process.pid}-0$`))
  })

  test('a root that others may write to is closed to them', () => {
    mkdirSync(roots.sessions)
    chmodSync(roots.sessions, 0o777)
    createSession(roots, random, locks.by('a'))
    assert.equal(statSync(roots.sessions).mode & 0o777, 0o700)
  })

  test('a root that is a file, not a directory, is refused', () => {
    writeFileSync(roots.sessions, '')
    assert.throws(() => createSession(roots, random, locks.by('a')))
  })

  test('sweeping removes what belongs to the dead, and leaves the living', () => {
    const dead = createSession(roots, random, locks.by('dead'))
    const living = createSession(roots, random, locks.by('living'))
    for (const { storePath } of [dead, living]) mkdirSync(storePath, { recursive: true })
    writeFileSync(join(dead.storePath, 'segment'), 'x')
    locks.die('dead')
    const elsewhere = { ...roots, sessions: join(base, 'another TMPDIR') }
    assert.deepEqual(sweepSessions(elsewhere, locks.by('sweeper')), [dead.name])
    for (const path of [dead.storePath, dead.sessionDir, dead.lockPath]) assert.equal(existsSync(path), false)
    for (const path of [living.storePath, living.sessionDir, living.lockPath]) assert.equal(existsSync(path), true)
  })

  test('a sweeper that finds a lock file before it is locked costs the new session its name only', () => {
    const session = createSession(roots, random, locks.by('first'))
    let refused = 0
    const second = createSession(roots, random, path => (refused++ === 0 ? false : locks.by('second')(path)))
    assert.notEqual(second.name, session.name)
    assert.equal(existsSync(second.sessionDir), true)
  })

  test('a lock whose session never came to be is removed, and nothing else', () => {
    createSession(roots, random, locks.by('living'))
    writeFileSync(join(roots.locks, 'session-x.lock'), '')
    assert.deepEqual(sweepSessions(roots, locks.by('sweeper')), ['session-x'])
    assert.equal(existsSync(roots.locks), true)
  })

  test('removing twice is no error', () => {
    const session = createSession(roots, random, locks.by('a'))
    removeSession(session)
    removeSession(session)
    assert.equal(existsSync(session.sessionDir), false)
    assert.equal(existsSync(session.lockPath), false)
  })

  test('the segment lies in shared memory, as large as asked for or 30 % of memory, if there is room', () => {
    const session = createSession(roots, random, locks.by('a'))
    const gib = 2 ** 30
    const place = (wanted: number | null, free: number) => placeSegment(session, roots, wanted, 10 * gib, () => free)
    assert.deepEqual(place(null, 8 * gib), { storePath: session.storePath, capacityBytes: 3 * gib, warning: null })
    assert.deepEqual(place(null, gib).capacityBytes, Math.floor(0.8 * gib))
    assert.deepEqual(place(5 * gib, 6 * gib), { storePath: session.storePath, capacityBytes: 5 * gib, warning: null })
  })

  test('with too little shared memory it is a file of the session, and that is told', () => {
    const session = createSession(roots, random, locks.by('a'))
    const place = placeSegment(session, roots, 1000, 1e9, path => (path === '/dev/shm' ? 999 : 1e9))
    assert.equal(place.storePath, join(session.sessionDir, 'segment'))
    assert.equal(place.capacityBytes, 1000)
    assert.match(place.warning ?? '', /\/dev\/shm has only 999 bytes free/)
  })
})
