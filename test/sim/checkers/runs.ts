// SPDX-License-Identifier: Apache-2.0
// Checker: a task that was cancelled before it began never runs.

export class Runs {
  readonly #never = new Set<string>()

  constructor(private readonly faults: string[]) {}

  never(task: string): void {
    this.#never.add(task)
  }

  begins(task: string): void {
    if (this.#never.has(task)) this.faults.push(`the task ${task} ran after it was cancelled`)
  }
}
