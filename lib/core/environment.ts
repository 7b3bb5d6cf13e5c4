// SPDX-License-Identifier: Apache-2.0
// Runtime environments as values: what a child makes of its parent's, and the text by which two are the same.
//
// A child overrides its parent field by field; envVars merge name by name. A value that names a variable the parent sets
// (`${NAME}`) gets the parent's value at once; other names are looked up where the worker starts (`expandVariables`).

import type { Environment } from '../wire/messages.js'

/** A checked runtime environment: paths are absolute, and what is left out is inherited. */
export interface EnvironmentFields {
  readonly envVars?: Readonly<Record<string, string>>
  readonly workingDir?: string
  readonly excludes?: readonly string[]
  readonly npm?: { readonly packages: readonly string[]; readonly registry?: string }
  readonly preload?: readonly string[]
  readonly nodeOptions?: readonly string[]
}

/**
 * The environment of a task or actor that gives `own` and is submitted where `parent` holds; null is the empty one.
 * `hash` makes the key of the canonical text. Throws RangeError when excludes are given and no workingDir is.
 */
export function inherit(parent: Environment | null, own: EnvironmentFields | null, hash: (text: string) => string): Environment | null {
  if (own === null) return parent
  const { envVars = {}, workingDir, excludes, npm, preload, nodeOptions } = own
  const before = parent?.envVars ?? {}
  const merged: Record<string, string> = { ...before }
  for (const [name, value] of Object.entries(envVars)) {
    merged[name] = value.replace(REFERENCE, (text, referred: string) => before[referred] ?? text)
  }
  const rest: Omit<Environment, 'key'> = {
    envVars: Object.fromEntries(Object.entries(merged).sort(([a], [b]) => (a < b ? -1 : 1))),
    workingDir: workingDir ?? parent?.workingDir ?? null,
    excludes: sorted(excludes ?? parent?.excludes ?? []),
    packages: sorted(npm?.packages ?? parent?.packages ?? []),
    registry: (npm === undefined ? parent?.registry : npm.registry) ?? null,
    preload: [...(preload ?? parent?.preload ?? [])],
    nodeOptions: [...(nodeOptions ?? parent?.nodeOptions ?? [])],
  }
  if (rest.packages.length === 0) rest.registry = null
  if (rest.workingDir === null && rest.excludes.length > 0)
    throw new RangeError('runtimeEnv.excludes says what to leave out of workingDir, and no workingDir is given or inherited')
  const text = JSON.stringify(rest)
  return text === EMPTY ? null : { key: hash(text), ...rest }
}

const REFERENCE = /\$\{([A-Za-z_][A-Za-z0-9_]*)\}/g

/** A value of envVars with `${NAME}` replaced; a name that is not set becomes nothing. */
export function expandVariables(value: string, lookUp: (name: string) => string | undefined): string {
  return value.replace(REFERENCE, (_, name: string) => lookUp(name) ?? '')
}

/** The text of a RuntimeEnvError: what cannot run, which field, why, and what to do. */
export function describeFailure(name: string, field: string, message: string): string {
  return `${name} cannot run, because its runtime environment could not be set up. ${field}: ${message}. Correct ${field}; what is submitted then tries again`
}

/** In `query explain`: what an actor waits for to be placed. The id alone asks for the actor's own row. */
export function placementOf(actorId: string): string {
  return `placement of ${actorId}`
}

function sorted(list: readonly string[]): string[] {
  return [...new Set(list)].sort()
}

const EMPTY = JSON.stringify({
  envVars: {},
  workingDir: null,
  excludes: [],
  packages: [],
  registry: null,
  preload: [],
  nodeOptions: [],
} satisfies Omit<Environment, 'key'>)
