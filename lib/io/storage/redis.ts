// SPDX-License-Identifier: Apache-2.0
// Tables in Redis, a key for each row: `eagleray:<cluster>:<table>:<key>`, JSON. A batch is one script, which Redis runs
// whole, and only for the head that holds `eagleray:<cluster>:lock`; so of two heads at most one can write.
//
// A connection that breaks comes back by itself, and what was under way is written again: to set and remove rows twice is
// to do it once. How much a crash of Redis itself may lose is for its configuration to say (`appendfsync`).

import { randomBytes } from 'node:crypto'
import { hostname } from 'node:os'
import { setTimeout as sleep } from 'node:timers/promises'
import { describeTrouble, troubleOf } from './redis-troubles.js'
import type { Change, Storage, StoredTables } from './storage.js'

/** What is used of the package; its own declarations take the compiler longer than all of this one. */
interface Client {
  on(event: 'error', listener: (error: Error) => void): this
  connect(): Promise<unknown>
  scanIterator(options: { MATCH: string; COUNT: number }): AsyncIterable<string[]>
  mGet(keys: string[]): Promise<(string | null)[]>
  get(key: string): Promise<string | null>
  eval(script: string, options: { keys: string[]; arguments: string[] }): Promise<unknown>
  close(): Promise<void>
  destroy(): void
  readonly isReady: boolean
}
type CreateClient = (options: { url: string; socket: { connectTimeout: number; reconnectStrategy: (retries: number) => number } }) => Client

/** Named by a variable: whoever keeps files need not have it loaded, nor its types. */
const PACKAGE = '@redis/client'
/** How long a holder that does not write stays one (ms). Renewed three times meanwhile. */
const LOCK_MS = 3_000
const SCAN_COUNT = 1_000
const RETRY_MS = 100
/** How long one attempt to connect may take (ms). */
const CONNECT_MS = 5_000
/** After how long it is told that Redis is waited for, and how often again (ms). */
const TELL_MS = 1_000

const TAKEN = 'EAGLERAY_TAKEN'
/** KEYS: the lock, then those of the rows. ARGV: the holder, how long, then '=' and the text of each row, or '' to remove it. */
const WRITE = `
local holder = redis.call('GET', KEYS[1])
if holder and holder ~= ARGV[1] then return redis.error_reply('${TAKEN} by ' .. holder) end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
for i = 2, #KEYS do
  if ARGV[i + 1] == '' then redis.call('DEL', KEYS[i]) else redis.call('SET', KEYS[i], string.sub(ARGV[i + 1], 2)) end
end
return 1`
/** Only who holds it may let go. */
const RELEASE = `if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('DEL', KEYS[1]) end return 1`

export interface RedisOptions {
  /** How long Redis may be away before this gives up (ms). */
  waitMs: number
  /** Called now and then while it is waited for, with a sentence that says for whom and why; with null when it has taken a write after that. */
  onWaiting?: (text: string | null) => void
}

interface Waiting {
  readonly batch: readonly Change[]
  readonly resolve: () => void
  readonly reject: (error: Error) => void
}

export class RedisStorage implements Storage {
  readonly #url: string
  readonly #prefix: string
  readonly #waitMs: number
  readonly #onWaiting: (text: string | null) => void
  /** Of this head: host, process, and what no other has. */
  readonly #holder = `${hostname()}:${process.pid}:${randomBytes(8).toString('hex')}`
  #client: Client | null = null
  #renewal: NodeJS.Timeout | null = null
  #waiting: Waiting[] = []
  #working: Promise<void> | null = null
  #broken: Error | null = null
  #lastError = ''
  #toldAt = Number.NEGATIVE_INFINITY

  /** `redis://[user:password@]host[:port][/database][?cluster=name]`; rediss:// for TLS. */
  constructor(url: string, { waitMs, onWaiting = () => {} }: RedisOptions) {
    const parsed = new URL(url)
    this.#prefix = `eagleray:${parsed.searchParams.get('cluster') ?? 'default'}:`
    parsed.search = ''
    this.#url = parsed.href
    this.#waitMs = waitMs
    this.#onWaiting = onWaiting
  }

  async load(): Promise<StoredTables> {
    await this.#connect()
    try {
      await this.#takeLock()
    } catch (error) {
      // An open connection would keep the process of a head that was refused alive.
      this.#client?.destroy()
      throw error
    }
    this.#renewal = setInterval(() => void this.write([]).catch(() => {}), LOCK_MS / 3)
    this.#renewal.unref()
    return this.#within(() => this.#loadAll())
  }

  async #connect(): Promise<void> {
    const { createClient } = (await import(PACKAGE)) as { createClient: CreateClient }
    const reconnectStrategy = (retries: number): number => Math.min(50 * 2 ** retries, 1_000)
    this.#client = createClient({ url: this.#url, socket: { connectTimeout: Math.min(CONNECT_MS, this.#waitMs), reconnectStrategy } })
    const refused = new Promise<'refused'>(resolve => {
      this.#client?.on('error', error => {
        this.#lastError = error.message
        if (troubleOf(error.message).isPermanent) resolve('refused')
      })
    })
    const connected = this.#client.connect().then(() => 'connected' as const)
    const late = sleep(this.#waitMs, 'late' as const, { ref: false })
    const since = performance.now()
    const telling = setInterval(() => this.#tell(since, describeTrouble(this.#lastError)), TELL_MS)
    const outcome = await Promise.race([connected, refused, late])
    clearInterval(telling)
    if (outcome === 'connected') return
    connected.catch(() => {})
    this.#client.destroy()
    throw outcome === 'late' ? this.#silent(this.#lastError) : this.#refusal(this.#lastError)
  }

  /** From a second on, and about once a second. */
  #tell(since: number, why: string): void {
    const now = performance.now()
    if (now - since < TELL_MS || now - this.#toldAt < TELL_MS / 2) return
    this.#toldAt = now
    this.#onWaiting(`waits for Redis at ${withoutPassword(this.#url)}, ${this.#waitMs / 1_000} s at most. ${why}`)
  }

  #tellBack(): void {
    if (this.#toldAt === Number.NEGATIVE_INFINITY) return
    this.#toldAt = Number.NEGATIVE_INFINITY
    this.#onWaiting(null)
  }

  #silent(message: string, cause?: unknown): Error {
    const text = `Redis at ${withoutPassword(this.#url)} was not to be used for ${this.#waitMs / 1_000} s. ${describeTrouble(message)}`
    return new Error(text, { cause })
  }

  #refusal(message: string, cause?: unknown): Error {
    return new Error(`Redis at ${withoutPassword(this.#url)} cannot be used. ${describeTrouble(message)}`, { cause })
  }

  write(batch: readonly Change[]): Promise<void> {
    if (this.#broken !== null) return Promise.reject(this.#broken)
    return new Promise((resolve, reject) => {
      this.#waiting.push({ batch, resolve, reject })
      this.#working ??= this.#work().finally(() => {
        this.#working = null
      })
    })
  }

  async close(): Promise<void> {
    if (this.#renewal !== null) clearInterval(this.#renewal)
    await this.#working
    const client = this.#client
    this.#client = null
    ours.delete(this.#holder)
    this.#broken ??= new Error('the storage is closed')
    if (!client?.isReady) return client?.destroy()
    await client.eval(RELEASE, { keys: [`${this.#prefix}lock`], arguments: [this.#holder] }).catch(() => {})
    await client.close()
  }

  /** Everything that waits goes together; what comes meanwhile goes next. */
  async #work(): Promise<void> {
    while (this.#waiting.length > 0) {
      const group = this.#waiting
      this.#waiting = []
      try {
        await this.#within(() => this.#evaluate(group.flatMap(({ batch }) => batch)))
        this.#tellBack()
        for (const { resolve } of group) resolve()
      } catch (error) {
        this.#broken ??= error as Error
        for (const { reject } of [...group, ...this.#waiting]) reject(this.#broken)
        this.#waiting = []
      }
    }
  }

  async #evaluate(changes: readonly Change[]): Promise<void> {
    const last = new Map(changes.map(({ table, key, text }) => [`${this.#prefix}${table}:${key}`, text]))
    const texts = [...last.values()].map(text => (text === null ? '' : `=${text}`))
    await this.#client?.eval(WRITE, { keys: [`${this.#prefix}lock`, ...last.keys()], arguments: [this.#holder, `${LOCK_MS}`, ...texts] })
  }

  /** Waits for the time that a holder has which may be gone; one that was a process of this machine and is gone has none. */
  async #takeLock(): Promise<void> {
    const key = `${this.#prefix}lock`
    const since = performance.now()
    for (let waited = 0; ; waited += RETRY_MS) {
      const holder = await this.#within(async () => (await this.#client?.get(key)) ?? null)
      if (holder !== null && isGone(holder)) {
        await this.#within(() => this.#client?.eval(RELEASE, { keys: [key], arguments: [holder] }) ?? Promise.resolve())
        continue
      }
      if (holder === null) {
        ours.add(this.#holder)
        return this.#within(() => this.#evaluate([]))
      }
      this.#tell(since, `Another head (${holder}) has the tables ${this.#prefix}*`)
      if (waited > 2 * LOCK_MS) {
        throw new Error(
          `the tables ${this.#prefix}* in Redis are in use by another head (${holder}): stop that one, or name another cluster`,
        )
      }
      await sleep(RETRY_MS)
    }
  }

  async #loadAll(): Promise<StoredTables> {
    const client = this.#client as Client
    const tables: StoredTables = new Map()
    const pattern = `${this.#prefix.replace(/[*?[\]\\]/g, each => `\\${each}`)}*`
    for await (const keys of client.scanIterator({ MATCH: pattern, COUNT: SCAN_COUNT })) {
      if (keys.length === 0) continue
      for (const [i, text] of (await client.mGet(keys)).entries()) {
        const [, table, key] = /^(\w+):(.*)$/s.exec((keys[i] as string).slice(this.#prefix.length)) ?? []
        if (table === undefined || key === undefined || text === null) continue
        const rows = tables.get(table)
        if (rows === undefined) tables.set(table, new Map([[key, text]]))
        else rows.set(key, text)
      }
    }
    return tables
  }

  /** Tries until it works, or Redis has been away for too long. */
  async #within<T>(step: () => Promise<T>): Promise<T> {
    for (const since = performance.now(); ; ) {
      try {
        return await step()
      } catch (error) {
        const { message } = error as Error
        if (message.includes(TAKEN)) throw new Error(`another head has taken the tables ${this.#prefix}* in Redis (${message})`)
        if (troubleOf(message).isPermanent) throw this.#refusal(message, error)
        if (performance.now() - since > this.#waitMs) throw this.#silent(message, error)
        // What is said of a command may be nothing, or only that there is no connection; why there is none was said before.
        this.#tell(since, describeTrouble(message === '' || !this.#client?.isReady ? this.#lastError : message))
        await sleep(RETRY_MS)
      }
    }
  }
}

/** Holders in this process. */
const ours = new Set<string>()

/** Whether that holder was a process of this machine that has ended. */
function isGone(holder: string): boolean {
  const [host, pid] = holder.split(':')
  if (host !== hostname()) return false
  try {
    process.kill(Number(pid), 0)
    return Number(pid) === process.pid && !ours.has(holder)
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'ESRCH'
  }
}

function withoutPassword(url: string): string {
  const parsed = new URL(url)
  parsed.password = ''
  return parsed.href
}
