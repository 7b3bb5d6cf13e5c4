// SPDX-License-Identifier: Apache-2.0
// The node daemon's main program. Where a driver or a test started it, its standard input is a pipe that nobody writes to:
// its end is the end of who started it, however that died. Then all workers are killed and all files removed, as after
// SIGTERM. It tells that it is ready, or why not, in one line of JSON on its standard output (`DaemonReport`).
//
// A node that its cluster has given up ends all it runs and joins again, as a new one.

import { TOKEN_ENV } from './cluster-home.js'
import { DAEMON_ENV, type DaemonReport, type DaemonSettings } from './daemon-settings.js'
import { beginLife, type NodeLife } from './node-life.js'

let life: NodeLife | null = null
/** It ends for good, for this reason. */
let ending: string | null = null
let reported = false

main()

function main(): void {
  for (const stream of [process.stdout, process.stderr]) stream.on('error', () => {})
  const settings = JSON.parse(process.env[DAEMON_ENV] ?? 'null') as DaemonSettings | null
  // Workers get neither.
  delete process.env[DAEMON_ENV]
  delete process.env[TOKEN_ENV]
  if (settings === null) {
    process.stderr.write(`eagleray: this program is started by init() or the eagleray command, not by hand\n`)
    process.exit(2)
  }
  if (settings.life === 'stdin') {
    const who = settings.founded ? 'its driver' : 'who started it'
    for (const event of ['end', 'error']) process.stdin.on(event, () => end(`${who} ended`))
    process.stdin.resume()
  }
  for (const signal of ['SIGTERM', 'SIGHUP'] as const) process.on(signal, () => end(`the node daemon got ${signal}`))
  // ctrl-C is for the driver, whose end we hear of.
  process.on('SIGINT', () => {})
  process.on('uncaughtException', error => {
    process.stderr.write(`eagleray: the node daemon failed: ${error.stack ?? error}\n`)
    process.exitCode = 1
    end('the node daemon failed')
  })
  live(settings)
}

function live(settings: DaemonSettings): void {
  beginLife(settings, { begun, waiting: text => report({ waiting: text }), ready: report, over }).catch((error: NodeJS.ErrnoException) => {
    report({ ok: false, message: error.message, code: error.code ?? null })
    process.stderr.write(`eagleray: the node daemon does not come up: ${error.message}\n`)
    process.exit(1)
  })

  function begun(next: NodeLife): void {
    life = next
    if (ending !== null) next.end(ending)
  }

  function over(reason: string, mayJoinAgain: boolean): void {
    life = null
    // Its driver shows this when it did not ask for the end itself.
    process.stderr.write(`eagleray: the node daemon ends: ${reason}\n`)
    if (mayJoinAgain && ending === null) live(settings)
    else process.exit()
  }
}

function end(reason: string): void {
  ending ??= reason
  life?.end(reason)
}

function report(line: DaemonReport): void {
  if (reported) return
  reported = 'ok' in line
  process.stdout.write(`${JSON.stringify(line)}\n`)
}
