// SPDX-License-Identifier: Apache-2.0
// What the language hides but the engine's inspector shows: the variables in reach of a function, and where it stands.
//
// All of it is synchronous: a session inside this process answers `post` before it returns. Nothing is paused and no
// breakpoint is set, so a debugger attached by the user does not notice. `Debugger.enable` is needed only to learn the
// URL and source of a script; it costs tens of milliseconds, is off again before control returns, and one go remembers
// every script loaded so far.

import type { Session } from 'node:inspector'
import { scriptUrl } from './site.js'

export interface Scope {
  /** `module`: the top of an ES module. `closure`: a function, also the one around a CommonJS module. `other`: a block, a catch clause. */
  kind: 'module' | 'closure' | 'other'
  /** Reading one that is not initialised yet gives undefined or throws, by Node version. */
  variables: Record<string, unknown>
}

export interface Inspected {
  scriptId: string
  /** Where the function starts in the code as it runs, from 0. */
  line: number
  column: number
  /** Innermost first; the global scope is left out. */
  scopes: Scope[]
}

const STASH_KEY = 'eagleray.inspection'
const urls = new Map<string, string>()
const sources = new Map<string, string>()

type Reply = Record<string, unknown>
interface RemoteValue {
  objectId?: string
  value?: unknown
}

/** One session, opened at the first question and closed by `close`. */
export class Inspection {
  private session: Session | null = null
  private unavailable = false

  /** Null when this process has no inspector, or the function is none of JavaScript. */
  inspect(fn: Function): Inspected | null {
    const session = this.open()
    if (!session) return null
    const holder = globalThis as unknown as Record<symbol, { value: unknown }>
    const stash: { value: unknown } = { value: fn }
    const key = Symbol.for(STASH_KEY)
    Object.defineProperty(holder, key, { value: stash, configurable: true, enumerable: false })
    try {
      const { result } = post(session, 'Runtime.evaluate', { expression: `globalThis[Symbol.for('${STASH_KEY}')].value` }) as {
        result: RemoteValue
      }
      const { internalProperties } = post(session, 'Runtime.getProperties', { objectId: result.objectId, ownProperties: true }) as {
        internalProperties?: { name: string; value?: RemoteValue }[]
      }
      const location = internalProperties?.find(p => p.name === '[[FunctionLocation]]')?.value?.value
      const scopes = internalProperties?.find(p => p.name === '[[Scopes]]')?.value?.objectId
      if (!location || !scopes) return null
      const hand = `function () { globalThis[Symbol.for('${STASH_KEY}')].value = this }`
      post(session, 'Runtime.callFunctionOn', { objectId: scopes, functionDeclaration: hand, silent: true })
      const { scriptId, lineNumber, columnNumber } = location as { scriptId: string; lineNumber: number; columnNumber: number }
      return { scriptId, line: lineNumber, column: columnNumber, scopes: asScopes(stash.value) }
    } finally {
      Reflect.deleteProperty(holder, key)
    }
  }

  /** The URL and running source of a script; null when it is unknown to the engine or there is no inspector. */
  script(scriptId: string): { url: string; source: string } | null {
    const session = this.open()
    if (!session) return null
    if (!sources.has(scriptId)) learnScripts(session, scriptId)
    const source = sources.get(scriptId)
    return source === undefined ? null : { url: urls.get(scriptId) ?? '', source }
  }

  close(): void {
    this.session?.disconnect()
    this.session = null
  }

  private open(): Session | null {
    if (this.session || this.unavailable) return this.session
    try {
      const { Session } = process.getBuiltinModule('node:inspector') as typeof import('node:inspector')
      const session = new Session()
      session.connect()
      this.session = session
    } catch {
      this.unavailable = true
    }
    return this.session
  }
}

function asScopes(raw: unknown): Scope[] {
  const list = raw as Record<number, { description?: string; object?: Record<string, unknown> }> & { length: number }
  const scopes: Scope[] = []
  for (let i = 0; i < list.length; i++) {
    const { description = '', object } = list[i] ?? {}
    if (description === 'Global' || !object) continue
    const kind = description === 'Module' ? 'module' : description.startsWith('Closure') ? 'closure' : 'other'
    scopes.push({ kind, variables: object })
  }
  return scopes
}

/** TypeScript's running source cannot be read from its file, so all of those are fetched in the one go. */
function learnScripts(session: Session, wanted: string): void {
  const listen = (message: { params: { scriptId: string; url: string } }) =>
    urls.set(message.params.scriptId, scriptUrl(message.params.url))
  session.on('Debugger.scriptParsed', listen as never)
  try {
    post(session, 'Debugger.enable')
    for (const [id, url] of urls) {
      const typed = /^file:(?!.*\/node_modules\/).*\.[cm]?tsx?([?#].*)?$/.test(url)
      if ((id === wanted || typed) && !sources.has(id)) {
        sources.set(id, (post(session, 'Debugger.getScriptSource', { scriptId: id }) as { scriptSource: string }).scriptSource)
      }
    }
  } catch {
    // The script is gone, or this inspector refuses: the caller does without.
  } finally {
    post(session, 'Debugger.disable')
    session.off('Debugger.scriptParsed', listen as never)
  }
}

function post(session: Session, method: string, params?: object): Reply {
  let reply: Reply = {}
  let failure: Error | null = null
  session.post(method, params as Record<string, unknown>, (error, result) => {
    failure = error
    reply = (result ?? {}) as Reply
  })
  if (failure) throw failure
  return reply
}
