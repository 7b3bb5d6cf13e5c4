// SPDX-License-Identifier: Apache-2.0
// What the end-to-end tests share: a session for a suite that must end clean, programs run as child processes, and the
// search for anything a cluster left behind.
//
// Everything a test starts carries a mark in its environment, which its own children inherit. So a cluster of somebody
// else on the machine is never taken for a leftover of ours.

import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { existsSync, mkdtempSync, readdirSync, readFileSync, readlinkSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { availableResources, type ClusterContext, clusterResources, type InitOptions, init, shutdown, state } from 'eagleray'
import { ObjectStore } from 'eagleray/store'
import { collect } from './programs/by-reference.js'

const MARK = 'EAGLERAY_E2E_MARK'
const USER_FOLDER = `eagleray-${process.getuid!()}`

/** Polls until the condition gives something truthy, and gives that; rejects with `what` when it does not within `timeoutMs`. */
export async function waitFor<T>(condition: () => T | Promise<T>, what = 'the condition', timeoutMs = 15_000): Promise<NonNullable<T>> {
  const until = performance.now() + timeoutMs
  for (let pauseMs = 1; ; pauseMs = Math.min(pauseMs * 2, 50)) {
    const value = await condition()
    if (value) return value as NonNullable<T>
    if (performance.now() > until) throw new Error(`${what}: not within ${timeoutMs} ms`)
    await new Promise(resolve => setTimeout(resolve, pauseMs))
  }
}

/** The store of the session that runs, opened as a program of the user would that has found out where it lies. The caller closes it. */
export function sessionStore(): Promise<ObjectStore> {
  const folders = sessionTraces().folders.flatMap(folder => [folder, join(folder, 'store')])
  return ObjectStore.open(folders.find(folder => existsSync(join(folder, 'segment'))) as string)
}

// Traces -------------------------------------------------------------------------------------------------------------

/** What one marked family of processes uses, and what is left of it later. */
export class Traces {
  readonly #folders = new Set<string>()

  constructor(
    readonly mark: string,
    readonly temporary: string,
  ) {}

  /** Processes of the family that are alive, this one apart. */
  processes(): { pid: number; command: string }[] {
    const found = []
    for (const entry of readdirSync('/proc')) {
      const pid = Number(entry)
      if (!Number.isInteger(pid) || pid === process.pid) continue
      try {
        if (!readFileSync(`/proc/${pid}/environ`, 'latin1').split('\0').includes(`${MARK}=${this.mark}`)) continue
        found.push({ pid, command: readFileSync(`/proc/${pid}/cmdline`, 'latin1').replaceAll('\0', ' ').trim() })
      } catch {
        // It ended meanwhile, or belongs to somebody else.
      }
    }
    return found
  }

  /** Remembers the folders that the family has open or mapped now. */
  note(): void {
    const own = process.env[MARK] === this.mark ? [process.pid] : []
    for (const pid of [...own, ...this.processes().map(each => each.pid)]) {
      for (const path of pathsOf(pid)) {
        if (path.endsWith(' (deleted)')) continue
        const inside = path.indexOf(`/${USER_FOLDER}/`)
        if (inside < 0) continue
        const name = path.slice(inside + USER_FOLDER.length + 2).split('/')[0]!
        this.#folders.add(path.slice(0, inside + USER_FOLDER.length + 2) + name)
      }
    }
  }

  get folders(): string[] {
    return [...this.#folders]
  }

  /** Processes and files that are still there, as lines of text. */
  leftovers(): string[] {
    const own = join(this.temporary, USER_FOLDER)
    const inTemporary = this.temporary !== tmpdir() && existsSync(own) ? readdirSync(own).map(name => join(own, name)) : []
    const paths = new Set([...this.folders.filter(path => existsSync(path)), ...inTemporary])
    return [...this.processes().map(each => `process ${each.pid}: ${each.command}`), ...paths]
  }

  /** Waits until nothing is left. */
  async gone(timeoutMs = 10_000): Promise<void> {
    await waitFor(() => this.leftovers().length === 0, 'nothing left behind', timeoutMs).catch(() => {
      assert.deepEqual(this.leftovers(), [], 'nothing may be left behind')
    })
  }
}

function* pathsOf(pid: number): Generator<string> {
  try {
    for (const [, path] of readFileSync(`/proc/${pid}/maps`, 'utf8').matchAll(/ (\/\S+)$/gm)) yield path!
    for (const fd of readdirSync(`/proc/${pid}/fd`)) yield readlinkSync(`/proc/${pid}/fd/${fd}`)
  } catch {
    // It ended meanwhile.
  }
}

// The session of a suite ---------------------------------------------------------------------------------------------

let session: { context: ClusterContext; traces: Traces } | undefined

/** Marks this process and all that it starts from now on. */
export function marked(): Traces {
  process.env[MARK] = uniqueName()
  return new Traces(process.env[MARK], tmpdir())
}

/** For suiteSetup: a local cluster of two CPUs and a small store. */
export async function begin(options: InitOptions = {}): Promise<ClusterContext> {
  const traces = marked()
  const context = await init({ address: 'local', numCpus: 2, objectStoreBytes: 256 << 20, ...options })
  traces.note()
  session = { context, traces }
  return context
}

/** For suiteTeardown: all resources came back, then shutdown, then nothing is left. */
export async function end(): Promise<void> {
  if (session === undefined) return
  const { traces } = session
  session = undefined
  try {
    await resourcesReturned()
  } finally {
    traces.note()
    await shutdown()
  }
  await traces.gone()
}

/** The traces of the suite's own session. */
export function sessionTraces(): Traces {
  return session!.traces
}

/** Waits until everything that can be claimed is available; leases of idle workers may take a moment to go back. */
export async function resourcesReturned(): Promise<void> {
  const total = await clusterResources()
  const back = async () => {
    await collect()
    const available = await availableResources()
    return Object.keys(total).every(name => name === 'objectStoreMemory' || available[name] === total[name])
  }
  await waitFor(back, 'all resources available').catch(async () => assert.deepEqual(await availableResources(), total))
}

/** Waits until none of these objects is known to the cluster any more, collecting garbage here meanwhile. */
export async function objectsGone(ids: string[], alsoCollect: () => Promise<unknown> = async () => {}): Promise<void> {
  const gone = async () => {
    await collect()
    await alsoCollect()
    const listed = new Set((await state.listObjects()).map(each => each.objectId))
    return ids.every(id => !listed.has(id))
  }
  await waitFor(gone, `objects ${ids.join(', ')} gone`)
}

export async function isListed(id: string): Promise<boolean> {
  return (await state.listObjects()).some(each => each.objectId === id)
}

/** Waits until the process is gone (a zombie is). */
export function processGone(pid: number): Promise<boolean> {
  return waitFor(() => !isAlive(pid), `process ${pid} gone`)
}

export function isAlive(pid: number): boolean {
  try {
    return !/^State:\s+[ZX]/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'))
  } catch {
    return false
  }
}

// Gates: what holds a task until the test says go -------------------------------------------------------------------

const scratch = mkdtempSync(join(tmpdir(), 'e2e-'))
process.on('exit', () => rmSync(scratch, { recursive: true, force: true }))
/** No cluster of whoever runs the tests is attached to, or seen. */
process.env.EAGLERAY_HOME = join(scratch, 'home')

let names = 0
function uniqueName(): string {
  return `${process.pid}-${Date.now()}-${names++}`
}

/** A path in the tests' scratch folder at which nothing is yet. */
export function scratchPath(): string {
  return join(scratch, uniqueName())
}

/** A task that got `path` (see `passed` in programs/by-reference.ts) waits there until the gate is opened. */
export function gate(): { path: string; open(): void } {
  const path = scratchPath()
  return { path, open: () => writeFileSync(path, '') }
}

// Programs -----------------------------------------------------------------------------------------------------------

export interface Ended {
  code: number | null
  signal: NodeJS.Signals | null
  stdout: string
  stderr: string
}

export interface Program {
  readonly pid: number
  readonly traces: Traces
  readonly ended: Promise<Ended>
  /** Waits until its standard output or error matches. */
  line(pattern: RegExp): Promise<RegExpMatchArray>
  /** Writes a line to its standard input. */
  say(text: string): void
  kill(signal: NodeJS.Signals): void
}

export interface ProgramOptions {
  args?: string[]
  nodeOptions?: string[]
  env?: Record<string, string>
  cwd?: string
  /** A command that runs it, such as `ip netns exec NAME`. */
  under?: string[]
}

const running = new Set<Traces>()

/** Starts `test/e2e/programs/<file>` (or an absolute path) in a process of its own, under tsx when it is TypeScript. */
export function startProgram(file: string, options: ProgramOptions = {}): Program {
  const temporary = mkdtempSync(join(scratch, 'tmp-'))
  const traces = new Traces(uniqueName(), temporary)
  const path = file.startsWith('/') ? file : fileURLToPath(new URL(`programs/${file}`, import.meta.url))
  const loader = /\.[cm]?ts$/.test(file) && !options.nodeOptions?.includes('--experimental-strip-types') ? ['--import', 'tsx'] : []
  const [command, ...before] = [...(options.under ?? []), process.execPath] as string[] as [string, ...string[]]
  const child = spawn(command, [...before, ...loader, ...(options.nodeOptions ?? []), path, ...(options.args ?? [])], {
    cwd: options.cwd ?? fileURLToPath(new URL('../..', import.meta.url)),
    env: { ...process.env, TMPDIR: temporary, [MARK]: traces.mark, ...options.env },
    stdio: ['pipe', 'pipe', 'pipe'],
  })
  running.add(traces)
  const output = { stdout: '', stderr: '' }
  for (const name of ['stdout', 'stderr'] as const) {
    child[name].setEncoding('utf8')
    child[name].on('data', (text: string) => {
      output[name] += text
      traces.note()
    })
  }
  child.stdin.on('error', () => {}) // it may have ended before it read what it was told
  return {
    pid: child.pid!,
    traces,
    ended: endOf(child, output),
    line: pattern =>
      waitFor(() => output.stdout.match(pattern) ?? output.stderr.match(pattern), `output ${pattern}`, 25_000).catch(error => {
        throw new Error(`${(error as Error).message}\n--- stdout\n${output.stdout}\n--- stderr\n${output.stderr}`)
      }),
    say: text => void child.stdin.write(`${text}\n`),
    kill: signal => void child.kill(signal),
  }
}

async function endOf(child: ChildProcess, output: { stdout: string; stderr: string }): Promise<Ended> {
  const [code, signal] = await new Promise<[number | null, NodeJS.Signals | null]>((resolve, reject) => {
    child.on('error', reject)
    child.on('close', (...how) => resolve(how))
  })
  return { code, signal, ...output }
}

/** Runs a program to its end, which must be exit code 0 with nothing left behind. Gives what it wrote. */
export async function runProgram(file: string, options: ProgramOptions = {}): Promise<Ended> {
  const program = startProgram(file, options)
  const ended = await program.ended
  assert.equal(ended.code, 0, `${file} ended with ${ended.code ?? ended.signal}\n${ended.stdout}\n${ended.stderr}`)
  await program.traces.gone()
  return ended
}

/** For teardown: ends what programs of a failed test may have left. */
export function endPrograms(): void {
  for (const traces of running) {
    for (const { pid } of traces.processes()) {
      try {
        process.kill(pid, 'SIGKILL')
      } catch {
        // It ended meanwhile.
      }
    }
  }
  running.clear()
}
