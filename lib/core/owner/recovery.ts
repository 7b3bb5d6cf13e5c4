// SPDX-License-Identifier: Apache-2.0
// Objects whose last copy is lost are made again, and whoever waits for them goes on waiting. First it is found out whether
// that can be done, all the way down to values that are still there; only then is anything run.

import { ObjectLostError, ReconstructionFailedError } from '../../errors.js'
import { objectId } from '../../ids.js'
import type { Millis } from '../machine.js'
import { ActorCall, type ActorCalls } from './actor-calls.js'
import type { Effect } from './effects.js'
import { type Entry, STATE } from './entry.js'
import { type Lineage, type Recipe, usedUp } from './lineage.js'
import type { References } from './references.js'
import { TASK } from './task.js'
import type { Tasks } from './tasks.js'
import type { Values } from './values.js'

/** Recipes to run again, those of the wanted object first; or why that cannot be. */
type Plan = { recipes: Recipe[] } | { impossible: string }

export class Recovery {
  constructor(
    private readonly references: References,
    private readonly values: Values,
    private readonly lineage: Lineage,
    private readonly tasks: Tasks,
    private readonly calls: ActorCalls,
  ) {}

  /** No copy of an object of this process is left. `why` says how that came. */
  lost(entry: Entry, why: string, now: Millis, out: Effect[]): void {
    if (entry.owner !== null || entry.state !== STATE.stored || entry.storedAs !== null || entry.dropped) return
    const { contained } = entry
    entry.contained = null
    this.values.reopen(entry)
    this.remake(entry, why, now, out)
    // Last, since what is run again may want them.
    if (contained !== null) this.references.unholdAll(contained, out)
  }

  /** Somebody wants a value that was let go of, since only lineage had a use for its object. */
  want(entry: Entry, now: Millis, out: Effect[]): void {
    if (entry.state !== STATE.released) return
    this.values.reopen(entry)
    this.remake(entry, 'nobody held it any more', now, out)
  }

  private remake(entry: Entry, why: string, now: Millis, out: Effect[]): void {
    const plan = this.plan(entry)
    if ('impossible' in plan) return this.fail(entry, why, plan.impossible, out)
    for (const recipe of plan.recipes) this.reset(recipe, why)
    if (entry.task === null) entry.task = entry.made
    for (const recipe of plan.recipes) {
      if (recipe instanceof ActorCall) this.calls.restart(recipe, out)
      else this.tasks.restart(recipe, now, out)
    }
  }

  private plan(wanted: Entry): Plan {
    const recipes = new Set<Recipe>()
    const work = [wanted]
    for (let entry = work.pop(); entry !== undefined; entry = work.pop()) {
      const recipe = entry.made
      if (recipe === null) return { impossible: this.without(entry, wanted) }
      if (recipes.has(recipe) || isUnderWay(recipe)) continue
      if (!this.lineage.has(recipe)) return { impossible: `${recipe.name}, which made it, was cancelled when it was run again` }
      if (recipe.retriesLeft === 0) return { impossible: usedUp(recipe) }
      if (recipe instanceof ActorCall && isOver(recipe)) return { impossible: `the actor of ${recipe.name} is gone` }
      recipes.add(recipe)
      if (recipe.args instanceof Uint8Array) continue
      for (const argument of recipe.args) if (!(argument instanceof Uint8Array) && argument.state === STATE.released) work.push(argument)
    }
    return { recipes: [...recipes] }
  }

  private without(entry: Entry, wanted: Entry): string {
    if (entry === wanted) return entry.unmade ?? ''
    const what = `it was made from ${objectId(this.references.self, entry.seq)}, which is gone`
    return `${what}: ${entry.unmade ?? 'that was put, and nobody held its ref any more'}`
  }

  /** As if it had not been run; what it made and is not there is pending. */
  private reset(recipe: Recipe, why: string): void {
    this.lineage.take(recipe)
    if (recipe.retriesLeft > 0) recipe.retriesLeft--
    recipe.attempt++
    recipe.remaking = why
    for (const entry of recipe.entries) {
      if (entry.dropped || entry.settled) continue
      this.values.reopen(entry)
      entry.task = recipe
    }
  }

  private fail(entry: Entry, why: string, impossible: string, out: Effect[]): void {
    const id = objectId(this.references.self, entry.seq)
    const lost = `the object ${id} is lost: ${why}`
    const error =
      impossible === ''
        ? new ObjectLostError(`${lost}. It was put, so nothing can make it again: put it again`, { objectId: id })
        : new ReconstructionFailedError(`${lost}. It cannot be made again: ${impossible}`, { objectId: id })
    this.values.settle(entry, { form: 'failed', error }, out)
    this.references.maybeDrop(entry, out)
  }
}

function isUnderWay(recipe: Recipe): boolean {
  return recipe instanceof ActorCall ? !recipe.done : recipe.state !== TASK.done
}

function isOver({ actor }: ActorCall): boolean {
  return actor.view?.phase === 'dead' || actor.entry?.dropped === true
}
