// SPDX-License-Identifier: Apache-2.0
// Figures beside the peers', as a table and as data.

import type { Machine } from './machine.js'
import type { Timing } from './measure.js'
import { type Failed, type Group, lessIsBetter, type Measured, type Unit } from './row.js'

/** A peer's figures: measured in this run, or recorded on some machine before. */
export interface Column {
  name: string
  version: string
  /** Null when measured in this run; otherwise where and when it was recorded. */
  recorded: string | null
  rows: { name: string; group: Group; unit: Unit; value: number }[]
}

export interface Comparison {
  name: string
  group: Group
  unit: Unit
  /** Null where only a peer has the row. */
  value: number | null
  rounds: number[]
  /** By column: the peer's figure, and how many times better ours is. */
  against: Record<string, { value: number; ratio: number | null }>
}

export interface Report {
  machine: Machine
  timing: Timing
  columns: { name: string; version: string; recorded: string | null }[]
  rows: Comparison[]
  failed: Failed[]
  /** By column and group; rows that only one side has are left out. */
  geometricMeans: { column: string; group: Group; rows: number; ratio: number }[]
}

export function compare(machine: Machine, timing: Timing, ours: Measured[], failed: Failed[], columns: Column[]): Report {
  const rows: Comparison[] = ours.map(row => ({ ...row, against: {} }))
  for (const column of columns) {
    for (const theirs of column.rows) {
      let row = rows.find(({ name, group }) => name === theirs.name && group === theirs.group)
      if (!row) {
        row = { name: theirs.name, group: theirs.group, unit: theirs.unit, value: null, rounds: [], against: {} }
        rows.push(row)
      }
      const ratio = row.value === null ? null : lessIsBetter(row.unit) ? theirs.value / row.value : row.value / theirs.value
      row.against[label(column)] = { value: theirs.value, ratio }
    }
  }
  const described = columns.map(({ name, version, recorded }) => ({ name, version, recorded }))
  return { machine, timing, columns: described, rows, failed, geometricMeans: columns.flatMap(column => means(rows, column)) }
}

const label = (column: { name: string; recorded: string | null }): string =>
  column.recorded === null ? column.name : `${column.name}, recorded`

function means(rows: Comparison[], column: Column): Report['geometricMeans'] {
  const groups = [...new Set(rows.map(({ group }) => group))]
  return groups.flatMap(group => {
    const ratios = rows.filter(row => row.group === group).flatMap(row => row.against[label(column)]?.ratio ?? [])
    if (ratios.length === 0) return []
    return [
      {
        column: label(column),
        group,
        rows: ratios.length,
        ratio: Math.exp(ratios.reduce((sum, ratio) => sum + Math.log(ratio), 0) / ratios.length),
      },
    ]
  })
}

export function formatTable(report: Report): string {
  const { machine } = report
  const lines = [
    `eagleray ${machine.version} (${machine.commit}) on ${machine.cores} × ${machine.cpu}, ${(machine.memoryBytes / 2 ** 30).toFixed(0)} GiB, ` +
      `Linux ${machine.kernel}, Node ${machine.node}; median of ${report.timing.rounds} rounds of ${report.timing.roundMs} ms`,
    ...report.columns.map(
      column =>
        `${label(column)}: ${column.name} ${column.version}${column.recorded === null ? ', in this run' : `, NOT measured in this run: ${column.recorded}`}`,
    ),
  ]
  for (const group of new Set(report.rows.map(row => row.group))) lines.push('', ...formatGroup(report, group))
  for (const { name, error } of report.failed) lines.push('', `FAILED ${name}: ${error}`)
  return lines.join('\n')
}

function formatGroup(report: Report, group: Group): string[] {
  const rows = report.rows.filter(row => row.group === group)
  const labels = report.columns.map(label).filter(name => rows.some(row => name in row.against))
  const cells = [
    [group, 'eagleray', 'unit', ...labels.flatMap(name => [name, 'ratio'])],
    ...rows.map(row => [
      row.name,
      row.value === null ? '-' : format(row.value),
      row.unit,
      ...labels.flatMap(name => {
        const theirs = row.against[name]
        return [theirs ? format(theirs.value) : '-', theirs?.ratio == null ? '-' : `${format(theirs.ratio)}x`]
      }),
    ]),
  ]
  const widths = (cells[0] ?? []).map((_, column) => Math.max(...cells.map(row => row[column]?.length ?? 0)))
  const body = cells.map(row => row.map((cell, i) => (i === 0 ? cell.padEnd(widths[i] ?? 0) : cell.padStart(widths[i] ?? 0))).join('  '))
  const footer = report.geometricMeans
    .filter(mean => mean.group === group)
    .map(mean => `geometric mean against ${mean.column}, over ${mean.rows} row${mean.rows === 1 ? '' : 's'}: ${format(mean.ratio)}x`)
  return [...body, ...footer]
}

function format(value: number): string {
  return value >= 100 ? Math.round(value).toLocaleString('en-US') : value.toPrecision(3)
}
