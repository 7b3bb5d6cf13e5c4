// SPDX-License-Identifier: Apache-2.0
// Where the head keeps its tables. Rows are text by table and key; a batch is kept whole or not at all.

export interface Change {
  readonly table: string
  readonly key: string
  /** Null removes the row. */
  readonly text: string | null
}

export type StoredTables = Map<string, Map<string, string>>

export interface Storage {
  /** Everything that was kept. Called once, before anything is written. */
  load(): Promise<StoredTables>
  /**
   * Keeps all of it for good, or nothing. When it resolves it survives whatever happens to this process; when the process dies before,
   * either may be. Batches take effect in the order of the calls, whether or not they are awaited. Rejects when nothing can be kept any
   * more: what this process has told others since is then all that there is, and it should end.
   */
  write(batch: readonly Change[]): Promise<void>
  /** After what was written is kept. */
  close(): Promise<void>
}

export function apply(tables: StoredTables, batch: readonly Change[]): void {
  for (const { table, key, text } of batch) {
    let rows = tables.get(table)
    if (rows === undefined) tables.set(table, (rows = new Map()))
    if (text === null) rows.delete(key)
    else rows.set(key, text)
  }
}
