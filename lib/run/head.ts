// SPDX-License-Identifier: Apache-2.0
// The head's main program: takes its port, opens its storage, goes on from what it finds there, and listens to nodes. It tells that it
// is ready, or why not, in one line of JSON on its standard output (`HeadReport`). Its settings are in its environment.

import { randomBytes } from 'node:crypto'
import { encodeError } from '../codec/error-value.js'
import { Head } from '../core/head/head.js'
import { HEAD_ID } from '../ids.js'
import { openStorage } from '../io/storage/open.js'
import { fromText, toText } from '../io/storage/row-text.js'
import type { Storage, StoredTables } from '../io/storage/storage.js'
import { limits } from '../options.js'
import { HEAD_ENV, type HeadReport, type HeadSettings } from './head-settings.js'
import { HeadShell } from './head-shell.js'
import { HEAD_NODE } from './relay.js'

/** How long nodes are waited for at the end, that they have what was sent (ms). */
const DRAIN_MS = 500

const settings = JSON.parse(process.env[HEAD_ENV] ?? 'null') as HeadSettings | null
// Nobody else is to read the token there.
delete process.env[HEAD_ENV]
if (settings === null) {
  process.stderr.write(`eagleray: this program is started by eagleray start --head, not by hand\n`)
  process.exit(2)
}
process.stderr.on('error', () => {})
let isReady = false
let waitedFor: string | null = null
let shell: HeadShell | null = null
// Whoever starts it was interrupted while it waited: nobody knows of it, and nobody would end it.
process.stdout.on('error', () => {
  if (!isReady) process.exit(1)
})
run(settings).catch((error: Error) => {
  report({ ok: false, message: error.message, code: (error as NodeJS.ErrnoException).code ?? null })
  process.exit(1)
})

async function run({ host, advertised, port, token, storage: name, nodeDeadAfterMs, life }: HeadSettings): Promise<void> {
  // First, so that one that cannot listen leaves nothing in its storage.
  const { zmqDoor } = await import('../io/zmq/transport.js')
  const door = await zmqDoor({ id: HEAD_NODE, daemonId: HEAD_ID, token, host, advertised, port })
  const storage = openStorage(name, tellWaiting)
  const tables = await storage.load()
  const clusterId = await clusterOf(tables, storage)
  const options = { nodeId: null, clusterId, epoch: randomBytes(8).toString('hex'), encodeError }
  const head = new Head({ ...options, nodeDeadAfterMs: nodeDeadAfterMs ?? limits.nodeDeadAfterMs })
  head.restore(
    new Map([...tables].map(([table, rows]) => [table, new Map([...rows].map(([key, text]) => [key, fromText(text)]))])),
    performance.now(),
  )
  const failed = (error: Error): void => {
    process.stderr.write(`eagleray: the head ends: ${error.message}\n`)
    process.exit(1)
  }
  const listening = new HeadShell({ head, storage, onFailure: failed })
  shell = listening
  const transport = door.listen(listening)
  const end = async (reason: string): Promise<void> => {
    process.stderr.write(`eagleray: the head ends: ${reason}\n`)
    await listening.end()
    await transport.close(DRAIN_MS)
    await storage.close()
    process.exit(0)
  }
  for (const signal of ['SIGTERM', 'SIGHUP'] as const) process.once(signal, () => void end(`it got ${signal}`))
  process.on('SIGINT', () => {})
  process.on('uncaughtException', failed)
  if (life === 'stdin') {
    for (const event of ['end', 'error']) process.stdin.once(event, () => void end('who started it ended'))
    process.stdin.resume()
  }
  listening.start(transport)
  report({ ok: true, address: transport.address.replace(/^tcp:\/\//, ''), clusterId })
}

/** A cluster is one as long as its tables are. */
async function clusterOf(tables: StoredTables, storage: Storage): Promise<string> {
  const known = tables.get('cluster')?.get('id')
  if (known !== undefined) return (fromText(known) as { clusterId: string }).clusterId
  const clusterId = randomBytes(8).toString('hex')
  await storage.write([{ table: 'cluster', key: 'id', text: toText({ clusterId }) }])
  return clusterId
}

/** Who starts the head is told each time, its log and the nodes when it is something new: null ends it. */
function tellWaiting(text: string | null): void {
  if (text !== null && !isReady) report({ waiting: text })
  if (text !== null && text !== waitedFor) process.stderr.write(`eagleray: the head ${text}\n`)
  waitedFor = text
  shell?.storageAway(text)
}

function report(line: HeadReport): void {
  process.stdout.write(`${JSON.stringify(line)}\n`, error => {
    if (!error && 'ok' in line) isReady = true
  })
}
