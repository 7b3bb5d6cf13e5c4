// SPDX-License-Identifier: Apache-2.0
// Sets up what a runtime environment needs before a worker can be started in it: the copy of its directory and its
// packages, below the session's directory, with which they go. Parts that several environments have in common are set
// up once; what failed is tried anew when it is asked for again.

import { createHash } from 'node:crypto'
import { mkdir, rm, writeFile } from 'node:fs/promises'
import { delimiter, join } from 'node:path'
import type { Command, Exit } from '../io/processes.js'
import { limits } from '../options.js'
import type { Environment } from '../wire/messages.js'
import { DAEMON_ENV, type Place } from './daemon-settings.js'
import { SetupFailure } from './setup-failure.js'
import { copyWorkingDir } from './working-dir.js'

const NPM = 'runtimeEnv.npm'
export const NOTHING: Place = { copy: null, packages: null }

/** A process that installs: its end, and how to bring it about. */
export interface Running {
  ended: Promise<Exit>
  kill(): void
}

export interface SetupOptions {
  /** Made when it is needed. */
  directory: string
  /** Starts a process that ends with the session. */
  start: (command: Command) => Running
  /** Variables of the processes that install. */
  env: Record<string, string | undefined>
}

export class EnvironmentSetup {
  readonly #options: SetupOptions
  readonly #places = new Map<string, Place>()
  readonly #parts = new Map<string, Promise<string>>()

  constructor(options: SetupOptions) {
    this.#options = options
  }

  /** Where it was set up; `NOTHING` for one that asks for nothing. */
  place(environment: Environment | null): Place {
    return (environment === null ? undefined : this.#places.get(environment.key)) ?? NOTHING
  }

  /** Rejects with SetupFailure. */
  async setUp(environment: Environment): Promise<void> {
    const { workingDir, excludes, packages, registry } = environment
    const { directory } = this.#options
    await mkdir(directory, { recursive: true, mode: 0o700 })
    const copy =
      workingDir === null ? null : this.#part(['dir', workingDir, ...excludes], () => copyWorkingDir(workingDir, excludes, directory))
    const installed =
      packages.length === 0 ? null : this.#part(['npm', registry, ...packages], name => this.#install(name, packages, registry))
    // Both are waited for, so that nothing of a failed setup is under way when it is reported.
    const [first, second] = await Promise.allSettled([copy, installed])
    if (first.status === 'rejected') throw first.reason
    if (second.status === 'rejected') throw second.reason
    this.#places.set(environment.key, { copy: first.value, packages: second.value })
  }

  #part(what: readonly unknown[], make: (name: string) => Promise<string>): Promise<string> {
    const name = createHash('sha256').update(JSON.stringify(what)).digest('hex').slice(0, 24)
    let part = this.#parts.get(name)
    if (part === undefined) {
      part = make(name)
      this.#parts.set(name, part)
      part.catch(() => this.#parts.delete(name))
    }
    return part
  }

  async #install(name: string, packages: readonly string[], registry: string | null): Promise<string> {
    const prefix = join(this.#options.directory, `npm-${name}`)
    await mkdir(prefix, { recursive: true, mode: 0o700 })
    // A project of its own: npm would look for one above otherwise.
    await writeFile(join(prefix, 'package.json'), '{ "private": true }\n')
    const flags = [
      '--no-audit',
      '--no-fund',
      '--no-package-lock',
      '--no-update-notifier',
      '--prefer-offline',
      '--loglevel=error',
      '--logs-max=0',
    ]
    const source = registry === null ? [] : [`--registry=${registry}`]
    // install-links: a directory is packed and copied, not linked, so that later changes in it do not show.
    const args = ['install', '--prefix', prefix, '--install-links', ...flags, ...source, '--', ...packages]
    const env = { ...this.#options.env, [DAEMON_ENV]: undefined, PATH: this.#path() }
    const running = this.#options.start({ program: 'npm', args, env, cwd: prefix })
    let late = false
    const timer = setTimeout(() => {
      late = true
      running.kill()
    }, limits.npmInstallMs).unref()
    const exit = await running.ended
    clearTimeout(timer)
    if (exit.exitCode === 0) return prefix
    await rm(prefix, { recursive: true, force: true })
    const how = late ? `not done within ${limits.npmInstallMs / 1000} s` : exit.signal === null ? `exit code ${exit.exitCode}` : exit.signal
    throw new SetupFailure(
      NPM,
      `npm install ${packages.join(' ')} failed (${how})${exit.stderrTail === '' ? '' : `:\n${exit.stderrTail}\n`}`,
    )
  }

  /** With the directory of this node last: npm lies beside it where the user's PATH names neither. */
  #path(): string {
    return [this.#options.env.PATH ?? '', join(process.execPath, '..')].filter(part => part !== '').join(delimiter)
  }
}
