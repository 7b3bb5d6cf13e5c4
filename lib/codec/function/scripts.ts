// SPDX-License-Identifier: Apache-2.0
// From a function to the facts of the module it stands in. The engine numbers scripts; the number is resolved in the
// cheapest way that is certain: known already; compiled by this package; the file of a likely module, if the function's
// text is found there at the function's very position; else by asking the debugger.

import { readFileSync } from 'node:fs'
import { extname } from 'node:path'
import type { Inspected, Inspection } from './inspection.js'
import { ModuleFacts } from './module-facts.js'
import { fileOf } from './module-files.js'

const byScript = new Map<string, ModuleFacts | null>()
const fileSources = new Map<string, string>()
const PLAIN_EXTENSIONS = new Set(['.js', '.mjs', '.cjs'])

/** Code compiled by this package whose script number has not been asked for yet. */
let generated: { sample: WeakRef<Function>; facts: ModuleFacts }[] = []
const GENERATED_SWEEP = 256

/** `sample` is any function in the script; it must live as long as the other functions do. */
export function rememberGenerated(sample: Function, facts: ModuleFacts): void {
  generated.push({ sample: new WeakRef(sample), facts })
  if (generated.length % GENERATED_SWEEP === 0) generated = generated.filter(({ sample }) => sample.deref())
}

/** Null when the script is no module and not this package's: then only the text and the scopes are known. */
export function moduleOf(at: Inspected, text: string, likely: readonly string[], inspection: Inspection): ModuleFacts | null {
  const known = byScript.get(at.scriptId)
  if (known !== undefined) return known
  resolveGenerated(inspection)
  const facts = byScript.get(at.scriptId) ?? fromLikelyFile(at, text, likely) ?? fromDebugger(at, inspection)
  byScript.set(at.scriptId, facts)
  return facts
}

function isEsm(at: Inspected): boolean {
  return at.scopes.some(scope => scope.kind === 'module')
}

function resolveGenerated(inspection: Inspection): void {
  for (const { sample, facts } of generated) {
    const fn = sample.deref()
    const at = fn ? inspection.inspect(fn) : null
    if (at) byScript.set(at.scriptId, facts)
  }
  generated = []
}

function fromLikelyFile(at: Inspected, text: string, likely: readonly string[]): ModuleFacts | null {
  for (const url of likely) {
    const file = fileOf(url)
    if (file === null || !PLAIN_EXTENSIONS.has(extname(file))) continue
    const source = readSource(file)
    if (source === null) continue
    const facts = new ModuleFacts(url, source, isEsm(at), false)
    const offset = facts.offset(at.line, at.column)
    const start = source.indexOf(text, Math.max(0, offset - text.length))
    if (start >= 0 && start <= offset) return facts
  }
  return null
}

function readSource(file: string): string | null {
  let source = fileSources.get(file)
  if (source === undefined) {
    try {
      source = readFileSync(file, 'utf8').replace(/^\uFEFF/, '')
    } catch {
      return null
    }
    fileSources.set(file, source)
  }
  return source
}

function fromDebugger(at: Inspected, inspection: Inspection): ModuleFacts | null {
  const script = inspection.script(at.scriptId)
  return script && script.url !== '' ? new ModuleFacts(script.url, script.source, isEsm(at), false) : null
}
