// SPDX-License-Identifier: Apache-2.0
// Where in a value the walk is, kept so cheaply that it can always be kept: one store an element. Rendered only for a refusal.

import { inspect } from 'node:util'
import { nameOf } from './refusals.js'

/** A step into a Map or Set; `key` is set for each entry. */
export interface EntryStep {
  kind: 'get' | 'keys' | 'values'
  key: unknown
}
/** A name, an index, an entry, or nothing (a step that has no spelling). */
export type Step = string | number | EntryStep | null

const identifier = /^[\p{ID_Start}$_][\p{ID_Continue}$]*$/u

export class Path {
  readonly steps: Step[] = []
  depth = 0
  private root = ''

  reset(root: string): void {
    this.root = root
    this.depth = 0
    if (this.steps.length > 0) this.steps.length = 0
  }

  /** Goes one level down; the caller sets `steps[result]` for each child and calls `leave`. */
  enter(): number {
    const level = this.depth++
    this.steps[level] = null
    return level
  }

  leave(): void {
    this.depth--
  }

  render(): string {
    let text = this.root
    for (let i = 0; i < this.depth; i++) text += spell(this.steps[i]!)
    return text
  }
}

function spell(step: Step): string {
  if (step === null) return ''
  if (typeof step === 'number') return `[${step}]`
  if (typeof step === 'string') return identifier.test(step) ? `.${step}` : `[${JSON.stringify(step)}]`
  return step.kind === 'get' ? `.get(${preview(step.key)})` : `.${step.kind}()[${String(step.key)}]`
}

function preview(key: unknown): string {
  if (typeof key === 'string') return JSON.stringify(key.length > 40 ? `${key.slice(0, 40)}…` : key)
  return typeof key === 'object' && key !== null ? `{${nameOf(key)}}` : inspect(key)
}
