// SPDX-License-Identifier: Apache-2.0
// `npm run bench`: measures rows, and beside them, with --vs, the peers that do the same work on the same machine.

import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { init, shutdown } from 'eagleray'
import { describeMachine } from './machine.js'
import { measure, type Timing } from './measure.js'
import { lmdb } from './peers/lmdb.js'
import { type Peer, PeerMissing } from './peers/peer.js'
import { piscina } from './peers/piscina.js'
import { ray } from './peers/ray.js'
import { type Column, compare, formatTable } from './report.js'
import type { Failed, Group, Measured, Row } from './row.js'
import { actorRows } from './rows/actors.js'
import { asyncActorRows } from './rows/async-actors.js'
import { callRows } from './rows/calls.js'
import { channelRows } from './rows/channel.js'
import { clusterRows } from './rows/cluster.js'
import { linkRows } from './rows/links.js'
import { objectRows } from './rows/objects.js'
import { placementGroupRows } from './rows/placement-groups.js'
import { measureStartup, startupRowNames } from './rows/startup.js'
import { storeRows } from './rows/store.js'
import { taskRows } from './rows/tasks.js'
import { transferRows } from './rows/transfer.js'

const usage = `npm run bench -- [options]
  --vs ray|piscina|lmdb  also run this peer, here and now; may be repeated. Only the groups of rows that the peers have are run.
  --against FILE         also compare with figures recorded before (bench/baselines/*.json); may be repeated
  --filter TEXT          only rows whose group or name holds TEXT
  --time MS              length of a round (2000)
  --rounds N             rounds a row (4)
  --startup-runs N       clusters started for the start-up rows (5)
  --json [FILE]          write the figures to FILE (bench/results/latest.json)`

const peers: Record<string, { peer: Peer; groups: Group[] }> = {
  ray: { peer: ray, groups: ['ray microbenchmark', 'start-up', 'cluster'] },
  piscina: { peer: piscina, groups: ['calls'] },
  lmdb: { peer: lmdb, groups: ['store'] },
}

/** Rows that need no cluster, and rows that share one. */
const alone: Row[] = [...storeRows, ...channelRows, ...linkRows, ...transferRows, ...clusterRows]
const inSession: Row[] = [...objectRows, ...taskRows, ...actorRows, ...asyncActorRows, ...placementGroupRows, ...callRows]

function parse(args: string[]) {
  // --json may stand without a file.
  const at = args.indexOf('--json')
  if (at >= 0 && (args[at + 1] === undefined || args[at + 1]?.startsWith('--'))) {
    args.splice(at + 1, 0, fileURLToPath(new URL('results/latest.json', import.meta.url)))
  }
  const { values } = parseArgs({
    args,
    options: {
      vs: { type: 'string', multiple: true, default: [] },
      against: { type: 'string', multiple: true, default: [] },
      filter: { type: 'string', default: '' },
      time: { type: 'string', default: '2000' },
      rounds: { type: 'string', default: '4' },
      'startup-runs': { type: 'string', default: '5' },
      json: { type: 'string' },
      help: { type: 'boolean', default: false },
    },
  })
  const unknown = values.vs.filter(name => !(name in peers))
  if (unknown.length > 0) throw new TypeError(`--vs knows ${Object.keys(peers).join(', ')}, not ${unknown.join(', ')}`)
  const timing: Timing = { rounds: positive('rounds', values.rounds), roundMs: positive('time', values.time), warmupMs: 1000 }
  timing.warmupMs = Math.min(timing.warmupMs, timing.roundMs)
  return { ...values, timing, startupRuns: positive('startup-runs', values['startup-runs']) }
}

function positive(name: string, text: string): number {
  const value = Number(text)
  if (!Number.isInteger(value) || value < 1) throw new TypeError(`--${name} must be a whole number above 0, not ${text}`)
  return value
}

async function measureAll(rows: Row[], timing: Timing, measured: Measured[], failed: Failed[]): Promise<void> {
  for (const row of rows) {
    try {
      const result = await measure(row, timing)
      measured.push(result)
      console.error(`  ${row.group} · ${row.name}: ${result.value.toPrecision(4)} ${row.unit}`)
    } catch (error) {
      failed.push({ name: row.name, group: row.group, error: (error as Error).stack ?? String(error) })
      console.error(`  ${row.group} · ${row.name}: FAILED ${(error as Error).message}`)
    }
  }
}

async function main(): Promise<number> {
  const options = parse(process.argv.slice(2))
  if (options.help) {
    console.log(usage)
    return 0
  }
  const chosen = options.vs.map(name => peers[name] as (typeof peers)[string])
  for (const { peer } of chosen) await peer.check()
  const recorded = options.against.map(readBaseline)

  const groups = new Set<Group>([...chosen.flatMap(peer => peer.groups), ...recorded.flatMap(column => column.rows.map(row => row.group))])
  const wanted = ({ name, group }: { name: string; group: Group }): boolean =>
    (groups.size === 0 || groups.has(group)) && (name.includes(options.filter) || group.includes(options.filter))

  const measured: Measured[] = []
  const failed: Failed[] = []
  const startupWanted = startupRowNames.some(([name]) => wanted({ name, group: 'start-up' }))
  if (startupWanted) measured.push(...(await measureStartup(options.startupRuns)).filter(wanted))
  await measureAll(alone.filter(wanted), options.timing, measured, failed)
  if (inSession.some(wanted)) {
    await init()
    await measureAll(inSession.filter(wanted), options.timing, measured, failed)
    await shutdown()
  }

  const columns: Column[] = []
  const rowFilter = chosen.some(({ groups }) => groups.some(group => group.includes(options.filter))) ? '' : options.filter
  for (const { peer } of chosen) {
    const result = await peer.measure({ timing: options.timing, filter: rowFilter, startupRuns: startupWanted ? options.startupRuns : 0 })
    columns.push({ ...result, recorded: null, rows: result.rows.filter(wanted) })
  }
  columns.push(...recorded.map(column => ({ ...column, rows: column.rows.filter(wanted) })))

  const report = compare(describeMachine(), options.timing, measured, failed, columns)
  console.log(formatTable(report))
  if (options.json !== undefined) {
    mkdirSync(dirname(options.json), { recursive: true })
    writeFileSync(options.json, `${JSON.stringify(report, null, 2)}\n`)
    console.error(`figures written to ${options.json}`)
  }
  return failed.length === 0 ? 0 : 1
}

interface Baseline {
  name: string
  version: string
  takenOn: string
  machine: string
  rows: Column['rows']
}

function readBaseline(path: string): Column {
  const { name, version, takenOn, machine, rows } = JSON.parse(readFileSync(join(path), 'utf8')) as Baseline
  return { name, version, recorded: `taken on ${takenOn} on ${machine}`, rows }
}

main().then(
  code => process.exit(code),
  error => {
    console.error(error instanceof PeerMissing || error instanceof TypeError ? error.message : error)
    process.exit(1)
  },
)
