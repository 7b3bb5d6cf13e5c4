// SPDX-License-Identifier: Apache-2.0
// Tables that die with their process.

import { apply, type Change, type Storage, type StoredTables } from './storage.js'

export class MemoryStorage implements Storage {
  readonly #tables: StoredTables

  /** `tables`: what a former one had, where a test lets them live on. */
  constructor(tables: StoredTables = new Map()) {
    this.#tables = tables
  }

  async load(): Promise<StoredTables> {
    return new Map([...this.#tables].map(([table, rows]) => [table, new Map(rows)]))
  }

  async write(batch: readonly Change[]): Promise<void> {
    apply(this.#tables, batch)
  }

  async close(): Promise<void> {}
}
