// SPDX-License-Identifier: Apache-2.0
// Where in the user's program are we? Read from a stack trace; no inspector.

import { findSourceMap, type SourceMapping } from 'node:module'
import { pathToFileURL } from 'node:url'
import { OWN_CODE } from '../../own-files.js'

/** A place in the user's program. `line` and `column` count from 1 and are those of the source the user wrote, where a source map tells. */
export interface CallSite {
  /** The module as the engine knows it: a `file:` URL, or the name of a script that is no file. */
  url: string
  line: number
  column: number
}

/** Deep enough to get out of this package from any public function. */
const NEAR_FRAMES = 16
/** Deep enough to find a module that is still being evaluated below the caller, through awaits. */
const ALL_FRAMES = 100

/** The nearest caller outside this package, or null when there is none (a timer or another realm's code). Costs a few microseconds. */
export function callSite(): CallSite | null {
  for (const frame of structuredStack(NEAR_FRAMES, callSite)) {
    const url = frameUrl(frame)
    if (url !== null) return asWritten(url, frame.getLineNumber() ?? 1, frame.getColumnNumber() ?? 1)
  }
  return null
}

/** All frames outside this package, innermost first; positions count from 1 and are those of the code as it runs. */
export function userFrames(): CallSite[] {
  const frames: CallSite[] = []
  for (const frame of structuredStack(ALL_FRAMES, userFrames)) {
    const url = frameUrl(frame)
    if (url !== null) frames.push({ url, line: frame.getLineNumber() ?? 1, column: frame.getColumnNumber() ?? 1 })
  }
  return frames
}

/** Translates a position of the code as it runs (`line` and `column` from 1) into the source the user wrote. */
export function asWritten(url: string, line: number, column: number): CallSite {
  const entry = (url.startsWith('file:') ? findSourceMap(url)?.findEntry(line - 1, column - 1) : null) as Partial<SourceMapping> | null
  if (typeof entry?.originalLine === 'number' && typeof entry.originalColumn === 'number') {
    return { url, line: entry.originalLine + 1, column: entry.originalColumn + 1 }
  }
  return { url, line, column }
}

/** `/dir/file.ts` as `file.ts:12`. */
export function shortPlace(site: CallSite): string {
  const path = site.url.replace(/[?#].*$/, '')
  return `${decodeURIComponent(path.slice(path.lastIndexOf('/') + 1))}:${site.line}`
}

/** CommonJS names its scripts by path, ES modules by URL. */
export function scriptUrl(name: string): string {
  return name.startsWith('/') ? pathToFileURL(name).href : name
}

function frameUrl(frame: NodeJS.CallSite): string | null {
  const name = frame.getFileName() ?? frame.getEvalOrigin()
  if (!name || name.startsWith('node:')) return null
  const url = scriptUrl(name)
  // Frames in this package are not the user's.
  return url.startsWith(OWN_CODE) ? null : url
}

function structuredStack(limit: number, above: Function): NodeJS.CallSite[] {
  const { stackTraceLimit, prepareStackTrace } = Error
  const holder: { stack?: unknown } = {}
  try {
    Error.stackTraceLimit = limit
    Error.prepareStackTrace = (_, frames) => frames
    Error.captureStackTrace(holder, above)
    const frames = holder.stack
    return Array.isArray(frames) ? frames : []
  } finally {
    Error.stackTraceLimit = stackTraceLimit
    if (prepareStackTrace) Error.prepareStackTrace = prepareStackTrace
    else Reflect.deleteProperty(Error, 'prepareStackTrace')
  }
}
