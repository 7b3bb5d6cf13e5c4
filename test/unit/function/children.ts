// SPDX-License-Identifier: Apache-2.0
// Runs the fixtures: a process that captures, and others that rebuild what it captured.

import { spawn } from 'node:child_process'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

const ROOT = fileURLToPath(new URL('../../../', import.meta.url))
export const FIXTURES = join(ROOT, 'test', 'fixtures', 'functions')

/** What the sending side tells of one function. */
export interface Sent {
  name: string
  fnName: string
  how: 'reference' | 'value'
  bytes: string
  args: unknown[]
  references: number
  expected: unknown
}

/** What the receiving side tells. `again`: what capturing the rebuilt function gives. */
export interface Received {
  name: string
  result?: unknown
  fnName?: string
  error?: string
  again?: string
}

export interface Finished {
  code: number | null
  stdout: string
  stderr: string
}

/** Runs Node on a fixture, or on a file given with its path. */
export async function run(fixture: string, o: { flags?: string[]; args?: string[]; input?: string; cwd?: string } = {}): Promise<Finished> {
  const child = spawn(process.execPath, [...(o.flags ?? []), join(FIXTURES, fixture), ...(o.args ?? [])], {
    cwd: o.cwd ?? ROOT,
    timeout: 25_000,
    killSignal: 'SIGKILL',
  })
  let stdout = ''
  let stderr = ''
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    stdout += text
  })
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    stderr += text
  })
  child.stdin.on('error', () => {})
  child.stdin.end(o.input ?? '')
  const code = await new Promise<number | null>((resolve, reject) => child.on('error', reject).on('close', resolve))
  return { code, stdout, stderr }
}

function lines<T>({ code, stdout, stderr }: Finished, what: string): T[] {
  if (code !== 0) throw new Error(`${what} ended with ${code}:\n${stderr}`)
  return stdout
    .split('\n')
    .filter(Boolean)
    .map(line => JSON.parse(line) as T)
}

export async function send(fixture: string, flags: string[] = [], args: string[] = []): Promise<Sent[]> {
  return lines<Sent>(await run(fixture, { flags, args }), fixture)
}

export async function receive(sent: Pick<Sent, 'name' | 'bytes' | 'args'>[], flags: string[] = [], cwd = ROOT): Promise<Received[]> {
  const input = sent.map(({ name, bytes, args }) => `${JSON.stringify({ name, bytes, args })}\n`).join('')
  return lines<Received>(await run('receiver.mjs', { flags, input, cwd }), 'receiver.mjs')
}
