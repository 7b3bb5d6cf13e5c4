// SPDX-License-Identifier: Apache-2.0
// The runtime environments of a node: which are set up, and which are being. A setup is shared by all who ask meanwhile. One
// that failed is forgotten, so that the next request tries again.
//
// Invariant: an environment is asked to be set up once until that ends.

import { limits } from '../../options.js'
import type { Environment } from '../../wire/messages.js'
import type { NodeEffect } from './events.js'

/** The key of workers without an environment, and of requests for those. */
export const PLAIN = ''

export function keyOf(environment: Environment | null): string {
  return environment === null ? PLAIN : environment.key
}

interface Known {
  readonly environment: Environment
  state: 'setting up' | 'ready'
  /** Workers in a row that the system ended before they could say hello. */
  killed: number
}

export class Environments {
  readonly #known = new Map<string, Known>()
  #begun = false

  /** Sets up the one of the warm workers, once: where that fails, the first request tries again. */
  begin(warm: Environment | null, out: NodeEffect[]): void {
    if (this.#begun) return
    this.#begun = true
    this.require(warm, out)
  }

  /** Sees to it that the environment is set up, or being set up. */
  require(environment: Environment | null, out: NodeEffect[]): void {
    if (environment === null || this.#known.has(environment.key)) return
    const state = partsOf(environment).length > 0 ? 'setting up' : 'ready'
    this.#known.set(environment.key, { environment, state, killed: 0 })
    if (state === 'setting up') out.push({ is: 'setUp', environment })
  }

  isReady(environment: Environment | null): boolean {
    return environment === null || this.#known.get(environment.key)?.state === 'ready'
  }

  ready(key: string): void {
    const known = this.#known.get(key)
    if (known !== undefined) known.state = 'ready'
  }

  failed(key: string): void {
    const known = this.#known.get(key)
    if (known?.state === 'setting up') this.#known.delete(key)
    else if (known !== undefined) known.killed = 0
  }

  /** A worker of it said hello. */
  worked(key: string): void {
    const known = this.#known.get(key)
    if (known !== undefined) known.killed = 0
  }

  /** A starting worker of it was ended by the system, which need not be the environment's fault. Whether to try again. */
  killed(key: string): boolean {
    const known = this.#known.get(key)
    return known !== undefined && ++known.killed < limits.environmentStartsMax
  }

  /** For people: what a request with this environment waits for. */
  describe(environment: Environment): string {
    return `its runtime environment: ${partsOf(environment).join(' and ')} being set up`
  }
}

/** What takes time before a worker can be started. */
function partsOf({ workingDir, packages }: Environment): string[] {
  return [
    ...(workingDir === null ? [] : [`a copy of ${workingDir}`]),
    ...(packages.length === 0 ? [] : [`npm packages ${packages.join(', ')}`]),
  ]
}
