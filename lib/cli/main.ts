// SPDX-License-Identifier: Apache-2.0
// The command `eagleray`: one file of this folder for each of its commands.

import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { EaglerayError } from '../errors.js'
import { OWN_PACKAGE } from '../own-files.js'
import { type Command, Failure, helpOf, parse, print, UsageError } from './command.js'
import { drainNode } from './drain-node.js'
import { getOne } from './get.js'
import { list } from './list.js'
import { logs } from './logs.js'
import { memory } from './memory.js'
import { microbenchmark } from './microbenchmark.js'
import { start } from './start.js'
import { status } from './status.js'
import { stop } from './stop.js'
import { summary } from './summary.js'

const commands: Command[] = [start, stop, status, list, getOne, summary, logs, memory, drainNode, microbenchmark]

function help(): string {
  const width = Math.max(...commands.map(({ name }) => name.length))
  return [
    'Usage: eagleray COMMAND [options]',
    '',
    'Starts, stops and looks at clusters of eagleray.',
    '',
    'Commands:',
    ...commands.map(({ name, summary: text }) => `  ${name.padEnd(width)}  ${text}`),
    '',
    '`eagleray COMMAND --help` tells more of each; `eagleray --version` tells the version.',
    '',
  ].join('\n')
}

function version(): string {
  const { version: text } = JSON.parse(readFileSync(fileURLToPath(new URL('package.json', OWN_PACKAGE)), 'utf8')) as { version: string }
  return text
}

async function main([name, ...args]: string[]): Promise<number> {
  if (name === undefined || name === '--help' || name === '-h' || name === 'help') {
    process.stdout.write(help())
    return name === undefined ? 2 : 0
  }
  if (name === '--version' || name === '-v') {
    print(version())
    return 0
  }
  const command = commands.find(each => each.name === name)
  try {
    if (command === undefined) throw new UsageError(`there is no command ${name}`)
    const { values, positionals } = parse(command, args)
    if (values.help === true) {
      process.stdout.write(helpOf(command))
      return 0
    }
    return await command.run(values, positionals)
  } catch (error) {
    if (error instanceof UsageError || error instanceof TypeError || error instanceof RangeError) {
      process.stderr.write(`eagleray: ${error.message}\nSee: eagleray ${command === undefined ? '' : `${name} `}--help\n`)
      return 2
    }
    if (!(error instanceof Failure || error instanceof EaglerayError)) throw error
    process.stderr.write(`eagleray: ${error.message}\n`)
    return 1
  }
}

// Who reads what is printed may stop: `eagleray list tasks | head`. What was begun (a cluster that starts) is done nevertheless.
for (const stream of [process.stdout, process.stderr])
  stream.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EPIPE') throw error
  })
process.exitCode = await main(process.argv.slice(2))
