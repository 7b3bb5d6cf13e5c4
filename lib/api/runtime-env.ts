// SPDX-License-Identifier: Apache-2.0
// The option `runtimeEnv`: what it may say, and what is refused at the call.

import { createHash } from 'node:crypto'
import { resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { inherit } from '../core/environment.js'
import { RESERVED_VARIABLES } from '../run/daemon-settings.js'
import type { Runtime } from '../run/runtime.js'
import type { Environment } from '../wire/messages.js'

/** What a worker process is started in. Tasks of equal environments share processes; others never do. */
export interface RuntimeEnv {
  /** Variables of the environment, set before any code runs. `${NAME}` in a value stands for what is set without it, or for nothing. */
  envVars?: Readonly<Record<string, string>>
  /** A directory of this machine, up to 100 MiB. It is copied at its first use in a session; the worker runs in the copy, and finds modules there. */
  workingDir?: string
  /** What of workingDir to leave out, in the manner of .gitignore (without `!`): `*.log`, `build/`, `/data`. */
  excludes?: readonly string[]
  /** Packages as `npm install` takes them. Installed once a session; what the worker imports is looked for among them first. */
  npm?: readonly string[] | { readonly packages: readonly string[]; readonly registry?: string }
  /** Modules imported before the worker runs anything, in this order: paths from workingDir (or from the directory of the driver), packages, file: URLs. */
  preload?: readonly string[]
  /** Flags of `node`, values with `=`: `--max-old-space-size=4096`. */
  nodeOptions?: readonly string[]
}

const FIELDS = ['envVars', 'workingDir', 'excludes', 'npm', 'preload', 'nodeOptions']
/** With these, node does something else than run the worker. */
const OTHER_PROGRAMS =
  /^(--?|-[evhipcr]|-pe|--(eval|print|interactive|check|version|help|v8-options|test|watch|watch-path|run|completion-bash))(=|$)/
/** Flags that take the next word, which would be the worker's program. */
const VALUELESS =
  /^(-r|-C|--(require|import|loader|experimental-loader|conditions|env-file|stack-trace-limit|title|icu-data-dir|openssl-config))$/

/** Options with their runtimeEnv checked, its paths made absolute. Throws TypeError or RangeError that name the field. */
export function withRuntimeEnv<T extends { runtimeEnv?: RuntimeEnv }>(what: string, options: T): T {
  return options.runtimeEnv === undefined ? options : { ...options, runtimeEnv: resolveRuntimeEnv(what, options.runtimeEnv) }
}

/** What a task or actor that is submitted now by this process is to run in. */
export function environmentOf(runtime: Runtime, own: RuntimeEnv | undefined): Environment | null {
  return environmentUnder(runtime.environment, own)
}

/** The same under any parent. */
export function environmentUnder(parent: Environment | null, own: RuntimeEnv | undefined): Environment | null {
  if (own === undefined) return parent
  const { npm, ...rest } = own
  const packages =
    npm === undefined ? {} : { npm: Array.isArray(npm) ? { packages: npm } : (npm as { packages: string[]; registry?: string }) }
  return inherit(parent, { ...rest, ...packages }, keyOfText)
}

const keyOfText = (text: string): string => createHash('sha256').update(text).digest('hex').slice(0, 24)

export function resolveRuntimeEnv(what: string, given: RuntimeEnv): RuntimeEnv {
  const env = record(what, 'runtimeEnv', given)
  for (const key of Object.keys(env)) {
    if (!FIELDS.includes(key)) throw new TypeError(`${what}: unknown field runtimeEnv.${key}. There are: ${FIELDS.join(', ')}`)
  }
  return {
    ...(env.envVars === undefined ? {} : { envVars: checkVariables(what, env.envVars) }),
    ...(env.workingDir === undefined ? {} : { workingDir: directory(what, env.workingDir) }),
    ...(env.excludes === undefined ? {} : { excludes: checkExcludes(what, env.excludes) }),
    ...(env.npm === undefined ? {} : { npm: checkNpm(what, env.npm) }),
    ...(env.preload === undefined ? {} : { preload: texts(what, 'runtimeEnv.preload', env.preload) }),
    ...(env.nodeOptions === undefined ? {} : { nodeOptions: checkFlags(what, env.nodeOptions) }),
  }
}

function record(what: string, path: string, value: unknown): Record<string, unknown> {
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Record<string, unknown>
  throw new TypeError(`${what}: ${path} must be an object, not ${describe(value)}`)
}

function text(what: string, path: string, value: unknown): string {
  if (typeof value !== 'string') throw new TypeError(`${what}: ${path} must be a string, not ${describe(value)}`)
  if (value.trim() === '' || value.includes('\0')) throw new RangeError(`${what}: ${path} must not be empty, nor contain a NUL character`)
  return value
}

function texts(what: string, path: string, value: unknown): string[] {
  if (!Array.isArray(value)) throw new TypeError(`${what}: ${path} must be an array of strings, not ${describe(value)}`)
  return value.map((each, i) => text(what, `${path}[${i}]`, each))
}

function describe(value: unknown): string {
  return value === null ? 'null' : Array.isArray(value) ? 'an array' : typeof value === 'object' ? 'an object' : String(value)
}

function checkVariables(what: string, value: unknown): Record<string, string> {
  const variables = record(what, 'runtimeEnv.envVars', value)
  for (const [name, each] of Object.entries(variables)) {
    const path = `runtimeEnv.envVars.${name}`
    if (name === '' || /[=\0]/.test(name))
      throw new RangeError(`${what}: runtimeEnv.envVars: ${JSON.stringify(name)} is no name of a variable`)
    if (RESERVED_VARIABLES.includes(name)) throw new RangeError(`${what}: ${path} is for eagleray itself`)
    if (typeof each !== 'string') throw new TypeError(`${what}: ${path} must be a string, not ${describe(each)}`)
    if (each.includes('\0')) throw new RangeError(`${what}: ${path} must not contain a NUL character`)
  }
  return { ...(variables as Record<string, string>) }
}

function directory(what: string, value: unknown): string {
  const path = text(what, 'runtimeEnv.workingDir', value)
  if (path.startsWith('file:')) return fileURLToPath(path)
  if (/^[a-z][a-z0-9+.-]+:\/\//i.test(path))
    throw new RangeError(`${what}: runtimeEnv.workingDir is ${path}; it must be a directory of this machine`)
  return resolve(path)
}

function checkExcludes(what: string, value: unknown): string[] {
  const patterns = texts(what, 'runtimeEnv.excludes', value)
  const negated = patterns.findIndex(pattern => pattern.startsWith('!'))
  if (negated >= 0)
    throw new RangeError(`${what}: runtimeEnv.excludes[${negated}] begins with !, and nothing that is left out can be taken in again`)
  return patterns
}

function checkNpm(what: string, value: unknown): { packages: string[]; registry?: string } {
  if (Array.isArray(value)) return { packages: packageNames(what, 'runtimeEnv.npm', value) }
  const npm = record(what, 'runtimeEnv.npm', value)
  for (const key of Object.keys(npm)) {
    if (key !== 'packages' && key !== 'registry')
      throw new TypeError(`${what}: unknown field runtimeEnv.npm.${key}. There are: packages, registry`)
  }
  const packages = packageNames(what, 'runtimeEnv.npm.packages', npm.packages)
  if (npm.registry === undefined) return { packages }
  const registry = text(what, 'runtimeEnv.npm.registry', npm.registry)
  if (!/^https?:\/\//.test(registry))
    throw new RangeError(`${what}: runtimeEnv.npm.registry is ${registry}; it must be an http or https URL`)
  return { packages, registry }
}

/** As `npm install` takes them; those that are files by their absolute path, since npm runs elsewhere. */
function packageNames(what: string, path: string, value: unknown): string[] {
  return texts(what, path, value).map((name, i) => {
    if (name.startsWith('-')) throw new RangeError(`${what}: ${path}[${i}] is ${name}, which is no package but an option`)
    const file = /^(?:file:(?:\/\/)?)?(\.{0,2}\/.*)$/.exec(name) ?? /^file:(.*)$/.exec(name)
    return file === null ? name : `file:${resolve(file[1] as string)}`
  })
}

function checkFlags(what: string, value: unknown): string[] {
  const flags = texts(what, 'runtimeEnv.nodeOptions', value)
  flags.forEach((flag, i) => {
    const path = `${what}: runtimeEnv.nodeOptions[${i}] is ${flag}`
    if (!flag.startsWith('-')) throw new RangeError(`${path}; a flag begins with -, and its value follows an = in the same string`)
    if (VALUELESS.test(flag)) throw new RangeError(`${path}; its value must follow an = in the same string`)
    if (OTHER_PROGRAMS.test(flag)) throw new RangeError(`${path}, with which node does not run a worker`)
  })
  return flags
}
