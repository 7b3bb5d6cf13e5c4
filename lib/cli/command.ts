// SPDX-License-Identifier: Apache-2.0
// What a command of `eagleray` is, and how its arguments are read. Wrong ones are told with what is right, and exit with 2.

import { type ParseArgsConfig, parseArgs } from 'node:util'

export interface Option {
  type: 'string' | 'boolean'
  /** What stands for the value in the help; of a string. */
  value?: string
  help: string
  multiple?: boolean
}

export type Values = Record<string, string | boolean | string[] | undefined>

export interface Command {
  name: string
  /** Of positional arguments, for the help: '' where there are none. */
  takes: string
  /** How many: least and most. */
  counts: [number, number]
  summary: string
  /** More than the summary, in the command's own help. */
  details?: string
  options: Record<string, Option>
  /** Gives the exit code. */
  run(values: Values, positionals: string[]): Promise<number>
}

/** Wrong arguments: exit code 2, with a hint at the help. */
export class UsageError extends Error {
  override readonly name = 'UsageError'
}

/** What cannot be done now, such as to stop what is not running: exit code 1. */
export class Failure extends Error {
  override readonly name = 'Failure'
}

/** For commands that look at a running cluster. */
export const ADDRESS: Record<string, Option> = {
  address: {
    type: 'string',
    value: 'host:port',
    help: 'the cluster, by where its head listens. Default: EAGLERAY_ADDRESS, else the one that runs here',
  },
}

export function parse(command: Command, args: string[]): { values: Values; positionals: string[] } {
  const options: NonNullable<ParseArgsConfig['options']> = { help: { type: 'boolean', short: 'h' } }
  for (const [name, { type, multiple }] of Object.entries(command.options)) options[name] = { type, multiple: multiple ?? false }
  let parsed: { values: Values; positionals: string[] }
  try {
    parsed = parseArgs({ args, options, allowPositionals: true, strict: true }) as typeof parsed
  } catch (error) {
    throw new UsageError((error as Error).message)
  }
  const [least, most] = command.counts
  const { length } = parsed.positionals
  if (parsed.values.help !== true && (length < least || length > most))
    throw new UsageError(`${command.name} takes ${command.takes === '' ? 'no arguments' : command.takes}, and ${length} were given`)
  return parsed
}

export function helpOf({ name, takes, summary, details, options }: Command): string {
  const rows = Object.entries(options).map(([option, { value, help }]): [string, string] => [
    `--${option}${value === undefined ? '' : ` ${value}`}`,
    help,
  ])
  rows.push(['-h, --help', 'this text'])
  const width = Math.max(...rows.map(([left]) => left.length))
  const lines = rows.map(([left, right]) => `  ${left.padEnd(width)}  ${right}`)
  const usage = ['eagleray', name, takes, '[options]'].filter(part => part !== '').join(' ')
  return [`Usage: ${usage}`, '', summary, ...(details === undefined ? [] : ['', details]), '', 'Options:', ...lines, ''].join('\n')
}

export function textOf(values: Values, name: string): string | undefined {
  const value = values[name]
  return typeof value === 'string' ? value : undefined
}

/** A number option. Throws UsageError when it is none. */
export function numberOf(values: Values, name: string): number | undefined {
  const text = textOf(values, name)
  if (text === undefined) return undefined
  const number = Number(text)
  if (text.trim() === '' || !Number.isFinite(number)) throw new UsageError(`--${name} must be a number, not ${JSON.stringify(text)}`)
  return number
}

/** An option whose value is a JSON object. Throws UsageError when it is none. */
export function objectOf(values: Values, name: string, example: string): Record<string, unknown> | undefined {
  const text = textOf(values, name)
  if (text === undefined) return undefined
  try {
    const value = JSON.parse(text) as unknown
    if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Record<string, unknown>
  } catch {
    // Told below.
  }
  throw new UsageError(`--${name} must be a JSON object, such as '${example}', not ${text}`)
}

export function print(text: string): void {
  process.stdout.write(`${text}\n`)
}
