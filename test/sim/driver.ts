// SPDX-License-Identifier: Apache-2.0
// The user's program: submits the first task, gets everything its result leads to, and drops it all.

import type { Ref, SimProcess } from './process.js'
import type { Tree, Value } from './program.js'

type Steps = Generator<Ref, Tree, Value<Ref>>

export class SimDriver {
  done = false
  result: Tree = null
  readonly #steps: Steps
  #next: (() => void) | null

  constructor(
    readonly process: SimProcess,
    readonly seed: number,
    depth: number,
  ) {
    this.#steps = this.#main(seed, depth)
    this.#next = () => this.#advance(() => this.#steps.next())
  }

  get runnable(): boolean {
    return this.#next !== null
  }

  step(): void {
    const next = this.#next as () => void
    this.#next = null
    next()
  }

  *#main(seed: number, depth: number): Steps {
    return yield* this.#tree(this.process.submit({ seed, depth, retries: -1, args: [] }))
  }

  *#tree(ref: Ref): Steps {
    let value: Value<Ref>
    try {
      value = yield ref
    } catch {
      return null
    }
    this.process.drop(ref)
    const refs: Tree[] = []
    for (const each of value.refs) refs.push(yield* this.#tree(each))
    return { n: value.n, refs }
  }

  #advance(go: () => IteratorResult<Ref, Tree>): void {
    const step = go()
    if (step.done) {
      this.done = true
      this.result = step.value
      this.process.discardAll()
      return
    }
    const { entry } = step.value
    this.process.need(entry)
    this.process.whenReady(entry, outcome => {
      this.#next = () => this.#advance(() => this.process.feed(this.#steps, outcome))
    })
  }
}
