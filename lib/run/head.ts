// SPDX-License-Identifier: Apache-2.0
// The head's main program: a process of its own, to which the daemons of all nodes speak. It tells that it is ready, or why
// not, in one line of JSON on its standard output (`HeadReport`).

import { randomBytes } from 'node:crypto'
import { encodeError } from '../codec/error-value.js'
import { Head } from '../core/head/head.js'
import { HEAD_ID } from '../ids.js'
import { zmqTransport } from '../io/zmq/transport.js'
import { limits } from '../options.js'
import { HEAD_ENV, type HeadReport, type HeadSettings } from './head-settings.js'
import { HeadShell } from './head-shell.js'
import { HEAD_NODE } from './relay.js'

const DRAIN_MS = 500

main().catch((error: NodeJS.ErrnoException) => {
  report({ ok: false, message: error.message, code: error.code ?? null })
  process.exit(1)
})

async function main(): Promise<void> {
  for (const stream of [process.stdout, process.stderr]) stream.on('error', () => {})
  const settings = JSON.parse(process.env[HEAD_ENV] ?? 'null') as HeadSettings | null
  delete process.env[HEAD_ENV]
  if (settings === null) {
    process.stderr.write('eagleray: this program is started by the eagleray command, not by hand\n')
    process.exit(2)
  }
  if (settings.storage !== 'memory')
    throw new Error(`storage ${settings.storage}: this version keeps the tables of the head in memory only`)
  const clusterId = randomBytes(8).toString('hex')
  const head = new Head({
    ...{ nodeId: null, encodeError, clusterId, epoch: randomBytes(8).toString('hex') },
    nodeDeadAfterMs: settings.nodeDeadAfterMs ?? limits.nodeDeadAfterMs,
  })
  const shell = new HeadShell(head, () => Promise.resolve())
  const { host, port, token } = settings
  const transport = await zmqTransport({ id: HEAD_NODE, daemonId: HEAD_ID, token, host, port, listener: shell })
  shell.start(transport)
  let ending = false
  const end = async (): Promise<void> => {
    if (ending) return
    ending = true
    shell.stop()
    await transport.close(DRAIN_MS)
    process.exit(0)
  }
  if (settings.life === 'stdin') {
    for (const event of ['end', 'error']) process.stdin.on(event, () => void end())
    process.stdin.resume()
  }
  for (const signal of ['SIGTERM', 'SIGHUP'] as const) process.on(signal, () => void end())
  process.on('SIGINT', () => {})
  report({ ok: true, address: transport.address.replace('tcp://', ''), clusterId })
}

function report(line: HeadReport): void {
  process.stdout.write(`${JSON.stringify(line)}\n`)
}
