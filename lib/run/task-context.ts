// SPDX-License-Identifier: Apache-2.0
// What a running task or call can learn of itself, and by what its children are known as its own. One at a time in most workers; concurrent calls of an async actor each
// keep theirs through AsyncLocalStorage, which costs every promise a little and is therefore used only there.

import { AsyncLocalStorage } from 'node:async_hooks'

export class TaskContext {
  isCanceled = false
  private controller: AbortController | null = null

  constructor(
    readonly taskId: () => string,
    readonly name: string,
    readonly attempt: number,
    /** What it submits goes on when its job is over: it is, or is made by, a detached actor. */
    readonly outlivesJob: boolean,
  ) {}

  get signal(): AbortSignal {
    this.controller ??= new AbortController()
    if (this.isCanceled) this.controller.abort()
    return this.controller.signal
  }

  cancel(): void {
    this.isCanceled = true
    this.controller?.abort()
  }
}

let current: TaskContext | null = null
let storage: AsyncLocalStorage<TaskContext> | null = null

/** The context of the task that runs now; null outside tasks. */
export function currentContext(): TaskContext | null {
  return storage === null ? current : (storage.getStore() ?? null)
}

export function setCurrentContext(context: TaskContext | null): void {
  current = context
}

/** From now on contexts follow asynchronous control flow. */
export function useConcurrentContexts(): void {
  storage = new AsyncLocalStorage()
}

export function runInContext<T>(context: TaskContext, body: () => T): T {
  if (storage !== null) return storage.run(context, body)
  current = context
  return body()
}
