// SPDX-License-Identifier: Apache-2.0
// Results of tasks and calls that are run again because what they had made was lost.

import { ReconstructionFailedError, TaskCancelledError } from '../../errors.js'
import type { Effect } from './effects.js'
import { type Entry, STATE } from './entry.js'
import type { Recipe } from './lineage.js'
import type { Outcome } from './outcome.js'
import type { Values } from './values.js'

/** A result of a recipe, of its first run or of one that makes again what was lost. */
export function settleAgain(
  recipe: Recipe,
  entry: Entry,
  outcome: Outcome,
  values: Values,
  decodeError: (bytes: Uint8Array) => Error,
  out: Effect[],
): void {
  if (recipe.remaking === null || outcome.form !== 'failed') {
    if (!entry.dropped) values.settle(entry, outcome, out)
    return
  }
  // One that nobody wants may be wanted later, and fare better.
  if (entry.dropped || entry.state === STATE.released) return
  const error = outcome.error instanceof Error ? outcome.error : decodeError(outcome.error)
  values.settle(entry, { form: 'failed', error: remakeFailure(recipe, recipe.remaking, entry, error) }, out)
}

function remakeFailure(recipe: Recipe, why: string, entry: Entry, error: Error): Error {
  if (error instanceof TaskCancelledError) return error
  const text = `an object was lost (${why}), and ${recipe.name}, which made it, failed when it was run again: ${error.message}`
  return new ReconstructionFailedError(text, { objectId: entry.id, cause: error })
}
