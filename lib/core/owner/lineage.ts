// SPDX-License-Identifier: Apache-2.0
// Lineage: how the objects in the store were made, so that one whose copies are all lost can be made again. What is kept is
// the task itself, with its encoded arguments; the values it took from other objects are not kept for it. Those objects are
// let go of as far as values are concerned, but their entries stay, and with them how they were made in turn.
//
// It grows to a number of bytes; beyond that the oldest recipes go, and what they made can no longer be rebuilt.

import { limits } from '../../options.js'
import { assert } from '../assert.js'
import { ActorCall } from './actor-calls.js'
import type { Effect } from './effects.js'
import { type Entry, STATE } from './entry.js'
import type { References } from './references.js'
import type { Task } from './task.js'

/** What made an object. */
export type Recipe = Task | ActorCall

/** What a recipe takes beside its arguments (bytes, roughly). */
const RECIPE_BYTES = 1024
const HELD_BYTES = 64

/**
 * Invariants: a recipe is kept exactly while one of its entries names it (`made`); each kept recipe counts once in `lineage` of
 * every object of this process among what it held; `bytes` is the sum of what they take.
 */
export class Lineage {
  bytes = 0
  /** Oldest first. */
  private readonly kept = new Map<Recipe, number>()
  /** Recipes to be forgotten: one may lead to the next, in chains of any length. */
  private readonly ending: [Recipe, string][] = []
  private isEnding = false

  constructor(
    private readonly references: References,
    private readonly bytesMax: number = limits.lineageBytesMax,
  ) {
    references.onDropped = (entry, out) => this.dropped(entry, out)
  }

  /** It has ended. Keeps it when objects are there that it made and could make again, and gives whether it did: then what it held is let go of. */
  keep(recipe: Recipe, out: Effect[]): boolean {
    // Most results are small, and never were in the store.
    if (recipe.remaking === null && !recipe.entries.some(isMade)) return false
    const isKept = recipe.retriesLeft !== 0 && recipe.entries.some(isMade)
    for (const entry of recipe.entries) {
      entry.made = isKept && isMade(entry) ? recipe : null
      if (!isKept && isMade(entry)) entry.unmade = usedUp(recipe)
    }
    if (!isKept) return false
    for (const entry of recipe.held) if (counts(entry)) entry.lineage++
    this.references.unholdAll(recipe.held, out)
    const bytes = sizeOf(recipe)
    this.kept.set(recipe, bytes)
    this.bytes += bytes
    for (const oldest of this.kept.keys()) {
      if (this.bytes <= this.bytesMax) break
      const what = `how ${oldest.name} made it was forgotten, since only ${this.bytesMax} bytes of that are kept`
      this.end(oldest, what, out)
    }
    return true
  }

  /** It is run once more: what it held is held again. */
  take(recipe: Recipe): void {
    this.bytes -= this.kept.get(recipe) ?? 0
    assert(this.kept.delete(recipe), 'a recipe is taken that is not kept')
    const { references } = this
    const fresh = new Map<Entry, Entry>()
    for (const [i, entry] of recipe.held.entries()) {
      if (counts(entry)) entry.lineage--
      // One of another process that was let go of since is borrowed anew.
      const again =
        entry.owner !== null && entry.dropped ? (fresh.get(entry) ?? references.refer(entry.owner, entry.seq, entry.isActor)) : entry
      if (again !== entry) fresh.set(entry, again)
      recipe.held[i] = again
      references.hold(again)
    }
    if (recipe.args instanceof Uint8Array) return
    for (const [i, argument] of recipe.args.entries()) {
      const again = argument instanceof Uint8Array ? undefined : fresh.get(argument)
      if (again !== undefined) recipe.args[i] = again
    }
  }

  has(recipe: Recipe): boolean {
    return this.kept.has(recipe)
  }

  get size(): number {
    return this.kept.size
  }

  invariants(): void {
    let bytes = 0
    for (const [recipe, each] of this.kept) {
      bytes += each
      assert(
        recipe.entries.some(entry => entry.made === recipe),
        'a recipe is kept of which nothing is left',
      )
      for (const entry of recipe.held) assert(!counts(entry) || entry.lineage > 0, 'an argument does not know that it is kept for a recipe')
    }
    assert(bytes === this.bytes, `lineage counts ${this.bytes} bytes but has ${bytes}`)
  }

  private dropped(entry: Entry, out: Effect[]): void {
    const recipe = entry.made as Recipe
    entry.made = null
    if (this.kept.has(recipe) && !recipe.entries.some(each => each.made === recipe)) this.end(recipe, '', out)
  }

  private end(recipe: Recipe, why: string, out: Effect[]): void {
    this.ending.push([recipe, why])
    if (this.isEnding) return
    this.isEnding = true
    for (let next = this.ending.pop(); next !== undefined; next = this.ending.pop()) this.forget(next[0], next[1], out)
    this.isEnding = false
  }

  private forget(recipe: Recipe, why: string, out: Effect[]): void {
    const bytes = this.kept.get(recipe)
    if (bytes === undefined) return
    this.kept.delete(recipe)
    this.bytes -= bytes
    for (const entry of recipe.entries) {
      if (entry.made !== recipe) continue
      entry.made = null
      entry.unmade = why
    }
    for (const entry of recipe.held) {
      if (!counts(entry)) continue
      entry.lineage--
      this.references.maybeDrop(entry, out)
    }
  }
}

/** It is in the store, or was before nobody wanted it. */
function isMade({ state, storedAs, dropped }: Entry): boolean {
  return (state === STATE.released || (state === STATE.stored && storedAs === null)) && !dropped
}

/** A handle keeps its actor alive; lineage does not. Objects of others are kept by their owners, or not. */
function counts(entry: Entry): boolean {
  return entry.owner === null && !entry.isActor
}

export function usedUp(recipe: Recipe): string {
  if (recipe instanceof ActorCall) return `${recipe.name} is a call on an actor, with no maxTaskRetries left`
  return `the retries of ${recipe.name} are used up`
}

function sizeOf({ args, held }: Recipe): number {
  const fixed = RECIPE_BYTES + HELD_BYTES * held.length
  if (args instanceof Uint8Array) return fixed + args.length
  return args.reduce((sum, each) => sum + (each instanceof Uint8Array ? each.length : (each.envelope?.length ?? 0)), fixed)
}
