// SPDX-License-Identifier: Apache-2.0
// What of the head outlives it: rows of plain data in named tables, written whole. Everything else is told anew by the
// nodes when they register again.

export type TableName = 'cluster' | 'nodes' | 'seen' | 'actors' | 'arguments' | 'functions' | 'unborn' | 'jobs' | 'groups' | 'kv'

export const TABLES: readonly TableName[] = [
  ...(['cluster', 'nodes', 'seen', 'actors', 'arguments', 'functions', 'unborn', 'jobs', 'groups', 'kv'] as const),
]

/** Replaces a row, or with null removes it. Effects behind it in the queue are carried out once it is kept for good. */
export interface Persist {
  is: 'persist'
  table: TableName
  key: string
  row: unknown
}

/** By table and key, as they were last written. */
export type Tables = ReadonlyMap<string, ReadonlyMap<string, unknown>>

export function rowsOf<Row>(tables: Tables, table: TableName): [string, Row][] {
  return [...(tables.get(table) ?? [])] as [string, Row][]
}
