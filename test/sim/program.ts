// SPDX-License-Identifier: Apache-2.0
// Random programs of tasks. A body decides by its seed and its arguments alone, so it comes out the same on the cluster
// and run straight through; it may only differ in when things happen.

import { Thrown } from './errors.js'
import { Random } from './random.js'

/** What a program can hold: a number, and refs inside. `R` is how the runner of the body has refs. */
export interface Value<R> {
  n: number
  refs: R[]
}

export interface Child<R> {
  seed: number
  depth: number
  /** How often it may be run again; -1: without limit. */
  retries: number
  /** A ref at top level stands for its value. */
  args: ({ value: Value<R> } | { ref: R })[]
}

/** What becomes of an actor whose process ends, and of its calls; -1: without limit. */
export interface ActorKind {
  maxRestarts: number
  maxTaskRetries: number
}

const ONE_LIFE: ActorKind = { maxRestarts: 0, maxTaskRetries: 0 }

/** What a body does; all but `get` happens at once. */
export interface Context<R> {
  put(value: Value<R>): R
  submit(child: Child<R>): R
  /** Another ref to the same object. */
  again(ref: R): R
  drop(ref: R): void
  /** Cancels the task that makes it, if it is one and not done. */
  cancel(ref: R, force: boolean): void
  /** Whether bodies make actors. */
  readonly actors: boolean
  /** Whether some of them start again when their process ends. */
  readonly restarts: boolean
  /** Whether some tasks may be run again only so often. */
  readonly retries: boolean
  /** Whether answers of actors hold what they have put themselves, and bodies kill them. */
  readonly legacies: boolean
  /** A handle of a new actor, to be dropped like a ref. */
  create(kind: ActorKind): R
  /** Answered by what `answerOf` says of all its calls so far, or of this one where it may lose its state, with the same refs. */
  call(actor: R, value: Value<R>): R
  /** What it has put stays there for who has a ref to it. */
  kill(actor: R): void
}

/** Yields a ref when it needs its value, and goes on with that. Throws when that failed. */
export type Body<R> = Generator<R, Value<R>, Value<R>>

const MIX = 0x9e3779b1
const WHIM = 0x0ca9ce15
const CAST = 0x0ac70125
const FATE = 0x0fa7e125
const MERCY = 0x03e7c125

export function* body<R>(context: Context<R>, seed: number, depth: number, args: Value<R>[]): Body<R> {
  const random = new Random(seed)
  // Apart, so that a program comes to the same value with cancels as without, or fails.
  const whim = new Random(seed ^ WHIM)
  const hand: R[] = args.flatMap(each => each.refs)
  let n = args.reduce((sum, each) => (Math.imul(sum, 31) + each.n) | 0, seed)
  const take = () => hand.splice(random.int(hand.length), 1)[0] as R
  const steps = depth === 0 ? random.int(4) : 2 + random.int(5)
  for (let i = 0; i < steps; i++) {
    const what = random.int(10)
    if (what < 2) hand.push(context.put({ n: random.int(100), refs: random.some(hand, 0.4).map(ref => context.again(ref)) }))
    else if (what < 6 && depth > 0) hand.push(context.submit(child(context, random, depth, hand)))
    else if (what < 8 && hand.length > 0) {
      const at = random.int(hand.length)
      const got = yield hand[at] as R
      n = (Math.imul(n ^ got.n, MIX) + i) | 0
      // What was inside lives on without what it was in.
      if (random.chance(0.6)) context.drop(hand.splice(at, 1)[0] as R)
      hand.push(...got.refs)
    } else if (hand.length > 0) context.drop(take())
    if (hand.length > 0 && whim.chance(0.4)) context.cancel(whim.pick(hand), whim.chance(0.3))
  }
  if (context.actors) n = yield* withActor(context, seed, hand, n)
  if (random.chance(0.05)) {
    for (const ref of hand) context.drop(ref)
    throw new Thrown('thrown by the body')
  }
  const refs: R[] = []
  while (hand.length > 0) {
    const ref = take()
    if (random.chance(0.5)) refs.push(ref)
    else context.drop(ref)
  }
  return { n, refs }
}

/** An actor of this body alone, called a few times ahead, and let go of before or after it has answered. */
function* withActor<R>(context: Context<R>, seed: number, hand: R[], n: number): Generator<R, number, Value<R>> {
  const random = new Random(seed ^ CAST)
  if (random.chance(0.6)) return n
  const actor = context.create(context.restarts ? kindOf(new Random(seed ^ FATE)) : ONE_LIFE)
  const call = () => context.call(actor, { n: random.int(100), refs: random.some(hand, 0.3).map(ref => context.again(ref)) })
  const answers = Array.from({ length: 1 + random.int(4) }, call)
  const early = random.chance(0.5)
  if (early) context.drop(actor)
  let sum = n
  for (const answer of answers) {
    const got = yield answer
    sum = (Math.imul(sum ^ got.n, MIX) + 1) | 0
    context.drop(answer)
    hand.push(...got.refs)
  }
  if (!early && context.legacies && random.chance(0.6)) context.kill(actor)
  if (!early) context.drop(actor)
  return sum
}

/** What an actor adds to its answer of its own, to be put; null for nothing. */
export function legacyOf(n: number): number | null {
  return n % 3 === 0 ? null : n ^ MIX
}

/** Without limit more often than not: then it matters most. */
function kindOf(random: Random): ActorKind {
  if (random.chance(0.3)) return ONE_LIFE
  return { maxRestarts: random.pick([1, 3, -1, -1]), maxTaskRetries: random.pick([0, 2, -1, -1]) }
}

/** What an actor that is at `state` comes to with a call, and whether the call throws. */
export function answerOf(state: number, n: number): { n: number; throws: boolean } {
  return { n: (Math.imul(state, 31) + n) | 0, throws: n % 23 === 0 }
}

function child<R>(context: Context<R>, random: Random, depth: number, hand: R[]): Child<R> {
  const args: Child<R>['args'] = []
  for (let i = random.int(3); i > 0; i--) {
    if (hand.length > 0 && random.chance(0.5)) args.push({ ref: random.pick(hand) })
    else args.push({ value: { n: random.int(100), refs: random.some(hand, 0.4).map(ref => context.again(ref)) } })
  }
  const seed = random.int(1 << 30)
  return { seed, depth: depth - 1, retries: context.retries ? retriesOf(new Random(seed ^ MERCY)) : -1, args }
}

function retriesOf(random: Random): number {
  return random.chance(0.5) ? -1 : random.pick([0, 1, 3])
}

/** What everything that a result leads to comes out as: `null` for what failed. */
export type Tree = { n: number; refs: Tree[] } | null

/** `state`: of an actor; null where each answer depends on the call alone. */
type Plain = { value: Value<Plain> | null; state?: number | null }

/** The result of a program run straight through, each task where it is submitted. */
export function sequential(seed: number, depth: number, cast: Cast): Tree {
  return treeOf(run({ seed, depth, retries: -1, args: [] }, cast))
}

export type Cast = Pick<Context<unknown>, 'actors' | 'restarts' | 'legacies'>

function run({ seed, depth, args }: Child<Plain>, cast: Cast): Plain {
  const { actors, restarts, legacies } = cast
  const values = args.map(each => ('ref' in each ? each.ref.value : each.value))
  if (values.includes(null)) return { value: null }
  // Each time a value is got, its refs are other ones.
  const copies = (values as Value<Plain>[]).map(each => ({ n: each.n, refs: [...each.refs] }))
  const context: Context<Plain> = {
    put: value => ({ value }),
    submit: each => run(each, cast),
    again: ref => ref,
    drop: () => {},
    cancel: () => {},
    actors,
    restarts,
    retries: false,
    legacies,
    kill: () => {},
    create: ({ maxRestarts }) => ({ value: null, state: maxRestarts === 0 ? 0 : null }),
    call: (actor, value) => {
      const { n, throws } = answerOf(actor.state ?? 0, value.n)
      if (actor.state !== null) actor.state = n
      const legacy = legacies ? legacyOf(n) : null
      const own = legacy === null ? [] : [{ value: { n: legacy, refs: [] } }]
      return { value: throws ? null : { n, refs: [...value.refs, ...own] } }
    },
  }
  const steps = body(context, seed, depth, copies)
  try {
    let step = steps.next()
    while (!step.done) {
      const got = step.value.value
      step = got === null ? steps.throw(new Error('failed')) : steps.next({ n: got.n, refs: [...got.refs] })
    }
    return { value: step.value }
  } catch {
    return { value: null }
  }
}

function treeOf({ value }: Plain): Tree {
  return value === null ? null : { n: value.n, refs: value.refs.map(treeOf) }
}
