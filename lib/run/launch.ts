// SPDX-License-Identifier: Apache-2.0
// Starts one of this package's own programs: its settings go in a variable of its environment, which no other user can
// read, and it reports in one line of JSON on its standard output. What it says on standard error is kept for errors.

import type { ChildProcess } from 'node:child_process'
import { readSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

/** What is read of a program's output where that goes to a file (bytes). */
const OUTPUT_BYTES = 64 * 1024
/** What is kept of standard error (characters). */
const TAIL = 4096

/**
 * How long a program lives. `stdin`: until its standard input ends, which is the end of the process that started it, however
 * that died. `own`: until it is stopped.
 */
export type Life = 'stdin' | 'own'

export interface Launch {
  program: URL
  /** Name of the variable for the settings. */
  variable: string
  settings: unknown
  life: Life
  /** Where standard output and error go: pipes; or a file, which can be read while this thread is blocked. */
  output: 'pipe' | number
  /** Standard error alone goes to this file. */
  log?: number
  /** It makes connections over TLS, for which NODE_EXTRA_CA_CERTS may name certificates. They take a third of the start, so others go without. */
  trusts?: boolean
}

export interface ProgramExit {
  exitCode: number | null
  signal: string | null
  stderrTail: string
}

export interface Launched {
  child: ChildProcess
  exit: Promise<ProgramExit>
}

export function launch({ program, variable, settings, life, output, log, trusts = false }: Launch): Launched {
  // Not imported: workers have this module too, start nothing, and come up sooner without.
  const { spawn } = process.getBuiltinModule('node:child_process')
  const child = spawn(process.execPath, [fileURLToPath(program)], {
    // A session of its own: ctrl-C in the terminal reaches the driver alone.
    detached: true,
    stdio: [life === 'stdin' ? 'pipe' : 'ignore', output, log ?? output],
    env: { ...process.env, NODE_OPTIONS: '', ...(!trusts && { NODE_EXTRA_CA_CERTS: undefined }), [variable]: JSON.stringify(settings) },
  })
  const file = log ?? output
  const tail = file === 'pipe' ? keepTail(child) : () => textOf(file).slice(-TAIL).trimEnd()
  const exit = new Promise<ProgramExit>(resolve => {
    child.on('error', error => resolve({ exitCode: null, signal: null, stderrTail: error.message }))
    child.on('exit', (exitCode, signal) => resolve({ exitCode, signal, stderrTail: tail() }))
  })
  child.stdin?.on('error', () => {})
  return { child, exit }
}

type Failed = { ok: false; message: string; code: string | null }

/** The line in which the program says that it is ready, or why not; also when it ended without one. Lines before it tell what it waits for. */
export async function reportOf<Report extends { ok: true }>(
  { child, exit }: Launched,
  onWaiting: (text: string) => void = () => {},
): Promise<Report | Failed> {
  const report = await Promise.race([firstLine<Report | Failed>(child, onWaiting), exit])
  return 'ok' in report ? report : { ok: false, message: describeExit(report), code: null }
}

/** The beginning of the output in that file. */
export function textOf(file: number): string {
  const bytes = Buffer.alloc(OUTPUT_BYTES)
  return bytes.toString('utf8', 0, readSync(file, bytes, 0, bytes.length, 0))
}

/** What keeps this process alive as long as the child lives: its pipes and the child itself. */
export function handlesOf(child: ChildProcess): { ref(): void; unref(): void }[] {
  return [child, child.stdin, child.stdout, child.stderr].filter(handle => handle !== null) as unknown as { ref(): void; unref(): void }[]
}

export function describeExit({ exitCode, signal, stderrTail }: ProgramExit): string {
  return `it ended with ${signal === null ? `exit code ${exitCode}` : `signal ${signal}`}${stderrTail === '' ? '' : `\n${stderrTail}`}`
}

function keepTail(child: ChildProcess): () => string {
  let text = ''
  child.stderr?.on('error', () => {})
  child.stderr?.on('data', (chunk: Buffer) => {
    text = (text + chunk.toString()).slice(-TAIL)
  })
  return () => text.trimEnd()
}

function firstLine<Report>(child: ChildProcess, onWaiting: (text: string) => void): Promise<Report> {
  return new Promise(resolve => {
    let text = ''
    let isOver = false
    child.stdout?.on('error', () => {})
    child.stdout?.on('data', (chunk: Buffer) => {
      if (isOver) return
      const lines = (text + chunk.toString()).split('\n')
      text = lines.pop() as string
      for (const line of lines) {
        const said = JSON.parse(line) as object
        if ('waiting' in said) onWaiting(said.waiting as string)
        else {
          isOver = true
          return resolve(said as Report)
        }
      }
    })
  })
}
