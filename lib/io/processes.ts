// SPDX-License-Identifier: Apache-2.0
// Child processes, as the node's shell needs them: started by key, their output by lines, their end told once and last.
// test/fakes/processes.ts is the same without processes; both pass one suite (test/unit/run/processes.test.ts).

import { type ChildProcess, spawn } from 'node:child_process'
import type { Readable } from 'node:stream'
import { StringDecoder } from 'node:string_decoder'
import { limits } from '../options.js'

/** How long output may come after a process ended, from what it started and what has its pipes (ms). */
const LATE_OUTPUT_MS = 200

export interface Command {
  program: string
  args: readonly string[]
  env: Record<string, string | undefined>
  cwd: string
}

export type Stream = 'stdout' | 'stderr'

export interface Exit {
  exitCode: number | null
  signal: string | null
  /** The last lines it wrote to stderr; when it could not be started, why. */
  stderrTail: string
}

export interface ProcessListener {
  /** Whole lines, without their ends; an unfinished last line comes when the process has ended. */
  onLines(key: string, stream: Stream, lines: string[]): void
  /** Once for each started process, after its last line. Never called from within `start` or `kill`. */
  onExit(key: string, exit: Exit): void
}

export interface Processes {
  /** Starts a process in a group of its own. Gives its pid; null when it could not be started, and then `onExit` follows. */
  start(key: string, command: Command): number | null
  /** SIGKILL to the process and to what it started. No effect on one that has ended. */
  kill(key: string): void
  /** How many have not ended. */
  readonly live: number
}

export class ChildProcesses implements Processes {
  readonly #listener: ProcessListener
  readonly #children = new Map<string, ChildProcess>()

  constructor(listener: ProcessListener) {
    this.#listener = listener
  }

  get live(): number {
    return this.#children.size
  }

  start(key: string, command: Command): number | null {
    // A group of its own: the terminal's ctrl-C is for the driver alone, and killing the group leaves nothing behind.
    const child = spawn(command.program, command.args, {
      cwd: command.cwd,
      env: command.env,
      detached: true,
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    this.#children.set(key, child)
    const tail: string[] = []
    const flushOut = splitLines(child.stdout, lines => this.#listener.onLines(key, 'stdout', lines))
    const flushErr = splitLines(child.stderr, lines => {
      // Lines that begin with NUL are about the output (run/output-name.ts), not of it.
      tail.push(...lines.filter(line => !line.startsWith('\0')).slice(-limits.stderrTailLines))
      if (tail.length > limits.stderrTailLines) tail.splice(0, tail.length - limits.stderrTailLines)
      this.#listener.onLines(key, 'stderr', lines)
    })
    const end = (exitCode: number | null, signal: string | null): void => {
      if (this.#children.get(key) !== child) return
      flushOut()
      flushErr()
      this.#children.delete(key)
      this.#listener.onExit(key, { exitCode, signal, stderrTail: tail.join('\n') })
    }
    child.on('error', error => {
      if (child.pid !== undefined) return
      tail.push(`${command.program}: ${error.message}`)
      end(null, null)
    })
    child.on('exit', (exitCode, signal) => {
      killGroup(child)
      setTimeout(() => {
        child.stdout.destroy()
        child.stderr.destroy()
        end(exitCode, signal)
      }, LATE_OUTPUT_MS).unref()
    })
    child.on('close', (exitCode, signal) => end(exitCode, signal))
    return child.pid ?? null
  }

  kill(key: string): void {
    const child = this.#children.get(key)
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return
    killGroup(child)
    child.kill('SIGKILL')
  }
}

function killGroup(child: ChildProcess): void {
  if (child.pid === undefined) return
  try {
    process.kill(-child.pid, 'SIGKILL')
  } catch {
    // ESRCH: nobody is left in it.
  }
}

/** Gives what to call at the end, for a last line without its end. */
function splitLines(stream: Readable, onLines: (lines: string[]) => void): () => void {
  const decoder = new StringDecoder('utf8')
  let rest = ''
  stream.on('error', () => {})
  stream.on('data', (chunk: Buffer) => {
    const lines = (rest + decoder.write(chunk)).split('\n')
    rest = lines.pop() as string
    while (rest.length > limits.logLineBytesMax) {
      lines.push(rest.slice(0, limits.logLineBytesMax))
      rest = rest.slice(limits.logLineBytesMax)
    }
    if (lines.length > 0) onLines(lines)
  })
  return () => {
    rest += decoder.end()
    if (rest !== '') onLines([rest])
    rest = ''
  }
}
