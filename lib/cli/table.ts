// SPDX-License-Identifier: Apache-2.0
// Rows as text for a terminal, or as JSON for programs.

export type Row = Record<string, unknown>

/** Columns as wide as what is in them; `columns` says which, and in which order. */
export function table(rows: readonly Row[], columns: readonly string[]): string {
  const lines = [
    columns.map(column => column.replace(/([A-Z])/g, ' $1').toUpperCase()),
    ...rows.map(row => columns.map(column => cell(row[column]))),
  ]
  const widths = columns.map((_, i) => Math.max(...lines.map(line => (line[i] as string).length)))
  return lines
    .map(line =>
      line
        .map((text, i) => text.padEnd(widths[i] as number))
        .join('  ')
        .trimEnd(),
    )
    .join('\n')
}

export function json(value: unknown): string {
  return JSON.stringify(value, null, 2)
}

export function bytes(count: number): string {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB']
  let unit = 0
  let amount = count
  for (; amount >= 1024 && unit < units.length - 1; unit++) amount /= 1024
  return `${unit === 0 ? amount : amount.toFixed(1)} ${units[unit]}`
}

/**
 * What a row has there, as `--filter` compares it; undefined: nothing. A dot leads into a field; names may have dots themselves, and
 * the longest that fits counts.
 */
export function textAt(value: unknown, path: string): string | undefined {
  if (typeof value !== 'object' || value === null) return undefined
  if (Object.hasOwn(value, path)) return String((value as Row)[path])
  for (let dot = path.lastIndexOf('.'); dot > 0; dot = path.lastIndexOf('.', dot - 1)) {
    const name = path.slice(0, dot)
    const found = Object.hasOwn(value, name) ? textAt((value as Row)[name], path.slice(dot + 1)) : undefined
    if (found !== undefined) return found
  }
  return undefined
}

function cell(value: unknown): string {
  if (value === null || value === undefined || value === '') return '-'
  if (Array.isArray(value)) return value.length === 0 ? '-' : value.map(cell).join(',')
  if (typeof value === 'object')
    return (
      Object.entries(value)
        .map(([name, each]) => `${name}:${cell(each)}`)
        .join(' ') || '-'
    )
  // One row is one line.
  return String(value).split('\n')[0] as string
}
