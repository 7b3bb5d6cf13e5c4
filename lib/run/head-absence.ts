// SPDX-License-Identifier: Apache-2.0
// What a driver says of a head that is away: one line once something of its waits for that, and one when the head is back.

import type { Actor } from '../core/owner/actor-calls.js'
import { limits } from '../options.js'
import type { HeadAway } from '../wire/messages.js'
import type { Runtime } from './runtime.js'

/** `headAt`: host:port, where it is known. `storage`: what a head that is there says of its storage, which is not. */
export function describeAbsence(headAt: string | null, storage: string | null): string {
  const head = headOf(headAt)
  const now = 'work that runs goes on, and new actors, names and groups wait for it'
  if (storage !== null) return `${head} ${storage.replace(/\.$/, '')}; ${now}`
  return `${head} does not answer; ${now}. ${ifEnded}`
}

/** Of a question that has waited long enough. */
export function describeSilence(headAt: string | null, what: string, waitedMs: number, storage: string | null): string {
  const silence = `did not answer ${what} within ${waitedMs} ms`
  if (storage !== null) return `${headOf(headAt)} ${silence}: it ${storage}`
  const now = 'work that runs goes on, and new actors, names and groups wait for it'
  return `${headOf(headAt)} ${silence}; ${now}. ${ifEnded}`
}

const headOf = (headAt: string | null): string => (headAt === null ? 'the head of the cluster' : `the head at ${headAt}`)
const ifEnded = 'If it has ended, `eagleray start --head` with the same --port, --host and --storage goes on from there'

export class HeadAbsence {
  #timer: NodeJS.Timeout | null = null
  #hasSaid = false

  constructor(
    private readonly runtime: Runtime,
    private readonly say: (text: string) => void,
  ) {}

  told({ isAway, storage }: HeadAway): void {
    const { requests } = this.runtime
    requests.storageAway = storage
    this.end()
    if (isAway) {
      this.#timer = setInterval(() => this.#look(storage), limits.headAbsenceLookMs).unref()
      return this.#look(storage)
    }
    if (this.#hasSaid) this.say(`${headOf(requests.headAt)} is back`)
    this.#hasSaid = false
  }

  end(): void {
    if (this.#timer !== null) clearInterval(this.#timer)
    this.#timer = null
  }

  #look(storage: string | null): void {
    if (!isWaiting(this.runtime)) return
    this.end()
    this.#hasSaid = true
    this.say(describeAbsence(this.runtime.requests.headAt, storage))
  }
}

/** Whether something here needs the head: an actor that is to be placed, or a placement group. */
function isWaiting({ owner, groups }: Runtime): boolean {
  const waits = ({ view, queue, observers }: Actor): boolean =>
    queue.length + observers.length > 0 && (view === null || view.phase === 'pending' || view.phase === 'restarting')
  return groups.areAwaited || [...owner.calls.actors.values(), ...owner.calls.named.values()].some(waits)
}
