// SPDX-License-Identifier: Apache-2.0
// `Processes` without processes. A command's program is ignored; its first argument is the script of what happens, as
// for the real one in the conformance suite: `[['stdout', 'text'], ['exit', 0]]` in JSON, and without an exit it lives on.

import type { Command, Exit, Processes, ProcessListener, Stream } from '#lib/io/processes.js'
import { limits } from '#lib/options.js'

export type Script = (['stdout' | 'stderr', string] | ['exit', number])[]

export class FakeProcesses implements Processes {
  readonly #listener: ProcessListener
  readonly #running = new Map<string, { end: (exitCode: number | null, signal: string | null) => void }>()
  #nextPid = 100

  constructor(listener: ProcessListener) {
    this.#listener = listener
  }

  get live(): number {
    return this.#running.size
  }

  start(key: string, command: Command): number | null {
    const partial: Record<Stream, string> = { stdout: '', stderr: '' }
    const tail: string[] = []
    const tell = (stream: Stream, lines: string[]): void => {
      if (stream === 'stderr') tail.push(...lines)
      this.#listener.onLines(key, stream, lines)
    }
    const end = (exitCode: number | null, signal: string | null): void => {
      if (!this.#running.delete(key)) return
      for (const stream of ['stdout', 'stderr'] as const) if (partial[stream] !== '') tell(stream, [partial[stream]])
      const exit: Exit = { exitCode, signal, stderrTail: tail.slice(-limits.stderrTailLines).join('\n') }
      this.#listener.onExit(key, exit)
    }
    this.#running.set(key, { end })
    if (command.program === '/no/such/program') {
      tail.push(`${command.program}: spawn ENOENT`)
      setImmediate(() => end(null, null))
      return null
    }
    setImmediate(() => {
      for (const [is, what] of JSON.parse(command.args[0] as string) as Script) {
        if (!this.#running.has(key)) return
        if (is === 'exit') return end(what, null)
        const lines = (partial[is] + what).split('\n')
        partial[is] = lines.pop() as string
        if (lines.length > 0) tell(is, lines)
      }
    })
    return this.#nextPid++
  }

  kill(key: string): void {
    const { end } = this.#running.get(key) ?? {}
    if (end !== undefined) setImmediate(() => end(null, 'SIGKILL'))
  }
}
