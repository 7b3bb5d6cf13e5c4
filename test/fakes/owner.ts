// SPDX-License-Identifier: Apache-2.0
// One owner's machines with nothing around them: workers are names, claim words a map, and every step checks the
// invariants. Tests say what happens and read what the owner asked for.

import { type Actor, ActorCall } from '#lib/core/owner/actor-calls.js'
import type { Effect } from '#lib/core/owner/effects.js'
import type { Entry } from '#lib/core/owner/entry.js'
import type { Lane } from '#lib/core/owner/lane.js'
import type { ContainedRef, Outcome } from '#lib/core/owner/outcome.js'
import { Owner, type OwnerEvent } from '#lib/core/owner/owner.js'
import { type CodeRef, Task } from '#lib/core/owner/task.js'
import { objectId } from '#lib/ids.js'
import type { ActorView, Control, Death, SchedulingClass, WorkerId } from '#lib/wire/messages.js'
import { jobOf, workerIdOf } from './cluster.js'

export type EffectOf<Is extends Effect['is']> = Extract<Effect, { is: Is }>
export type SentOf<Is extends Control['is']> = Extract<Control, { is: Is }>

export const NODE = workerIdOf(0)
export const SELF = workerIdOf(1)
export const DEATH: Death = { exitCode: null, signal: 'SIGKILL', stderrTail: '', reason: null, outOfMemory: false }
/** Of a function that nobody has called yet. */
export const codeOf = (bodyMs: number | null = null): CodeRef => ({ hash: 'c', bytes: new Uint8Array(0), name: 'f', bodyMs })
export const CPU: SchedulingClass = classOf('cpu')

export function classOf(key: string, more: Partial<SchedulingClass> = {}): SchedulingClass {
  return {
    key,
    resources: { CPU: 10_000 },
    freshWorker: false,
    maxCalls: 0,
    environment: null,
    job: jobOf(SELF),
    where: null,
    near: null,
    ...more,
  }
}

export interface TaskOptions {
  name?: string
  args?: (Entry | Uint8Array)[]
  /** Entries inside the arguments. */
  nested?: Entry[]
  returns?: number
  /** Left out: one for all of this owner, that is known to be quick. */
  code?: CodeRef
  retries?: number
  retryExceptions?: boolean
  class?: SchedulingClass
  parent?: unknown
}

export class FakeOwner {
  now = 0
  readonly owner: Owner
  /** Everything asked for, oldest first. */
  readonly effects: Effect[] = []
  readonly begun = new Set<Task>()
  /** Hears of each effect as it is carried out. */
  onEffect: (effect: Effect) => void = () => {}
  readonly #code = codeOf(0)
  #nextLease = 1
  #seen = 0
  #adopted = 0

  constructor(self: WorkerId = SELF) {
    this.owner = new Owner(self, NODE, bytes => new Error(new TextDecoder().decode(bytes)))
  }

  act(event: OwnerEvent): void {
    this.#handle(event)
    this.owner.invariants()
  }

  #handle(event: OwnerEvent): void {
    const out: Effect[] = []
    this.owner.handle(event, this.now, out)
    this.#carryOut(out)
  }

  carryOut(out: Effect[]): void {
    this.#carryOut(out)
    this.owner.invariants()
  }

  #carryOut(out: Effect[]): void {
    for (let i = 0; i < out.length; i++) {
      const effect = out[i] as Effect
      this.effects.push(effect)
      this.onEffect(effect)
      if (effect.is !== 'revoke') continue
      const ok = effect.task.lane === effect.lane && !this.begun.has(effect.task)
      this.owner.handle({ is: 'revoked', task: effect.task, lane: effect.lane, ok }, this.now, out)
    }
  }

  from(from: WorkerId, message: Control): void {
    this.act({ is: 'message', from, message })
  }

  flush(): void {
    this.act({ is: 'flush' })
  }

  /** The daemon says of what dead owners had that no store has any of it but `kept`. */
  adopted(kept: Entry[] = []): void {
    this.flush()
    for (const { ack, owner, seqs } of this.sent('adopt').slice(this.#adopted)) {
      this.#adopted++
      const has = new Set(kept.filter(entry => entry.owner === owner).map(entry => entry.seq))
      this.from(NODE, { is: 'adopted', ack, missing: seqs.filter(seq => !has.has(seq)) })
    }
  }

  /** Submits as `.remote()` does; the user holds a ref of each return. */
  submit(options: TaskOptions = {}): Task {
    const { name = 'f', args, nested = [], returns = 1, retries = 0, retryExceptions = false, parent = null } = options
    const held = [...(args ?? []).filter(each => !(each instanceof Uint8Array)), ...nested] as Entry[]
    for (const entry of held) entry.holds++
    const seq = this.owner.nextSeq(returns)
    const task = new Task(
      seq,
      name,
      options.code ?? this.#code,
      options.class ?? CPU,
      args ?? new Uint8Array(0),
      args?.length ?? 0,
      returns,
      retries,
      retryExceptions,
      held,
      parent,
    )
    this.#handle({ is: 'submit', task })
    for (const entry of task.entries) entry.local++
    this.owner.invariants()
    return task
  }

  put(contained: ContainedRef[] | null = null): Entry {
    const entry = this.owner.stored(this.owner.nextSeq(1), 100, contained)
    entry.local++
    return entry
  }

  /** The user meets a ref of another process. */
  meet(owner: WorkerId, seq: number, isActor = false): Entry {
    const entry = this.owner.references.refer(owner, seq, isActor)
    entry.local++
    return entry
  }

  unref(...entries: Entry[]): void {
    const out: Effect[] = []
    for (const entry of entries) this.owner.unref(entry, out)
    this.carryOut(out)
  }

  grant(worker: WorkerId, classKey = 'cpu'): number {
    const leaseId = this.#nextLease++
    this.from(NODE, { is: 'grant', classKey, leaseId, workerId: worker, gpuIds: [], nodeId: 'aaaaaaaaaa' })
    return leaseId
  }

  /** The task's worker answers. */
  reply(
    task: Task,
    more: {
      status?: 'ok' | 'error' | 'cancelled'
      results?: Outcome[]
      contained?: ContainedRef[][]
      retry?: boolean
      lane?: Lane
      bodyMs?: number
    } = {},
  ): void {
    const { status = 'ok', contained = null, retry = false, bodyMs = 0 } = more
    const lane = more.lane ?? (task.lane as Lane)
    const ok: Outcome[] = task.entries.map(() => ({ form: 'plain', value: task.seq }))
    const results = more.results ?? (status === 'ok' ? ok : [{ form: 'failed', error: new Error('body') } as const])
    this.act({ is: 'reply', from: lane.workerId, claim: task.claim, task: task.seq, status, results, contained, retry, bodyMs })
  }

  /** The worker passes over a task that was taken back. */
  passOver(worker: WorkerId, claim: number, seq: number): void {
    this.act({ is: 'reply', from: worker, claim, task: seq, status: 'revoked', results: [], contained: null, retry: false, bodyMs: 0 })
  }

  die(worker: WorkerId, death: Death = DEATH): void {
    const claims = new Map([...this.begun].filter(task => task.lane?.workerId === worker).map(task => [task.claim, true]))
    this.act({ is: 'workerDied', workerId: worker, death, begun: claim => claims.has(claim) })
  }

  actor(seq: number, ordered = true): Actor {
    return this.owner.actor(objectId(this.owner.self, seq), true, 'Counter', ordered)
  }

  call(actor: Actor, more: { args?: Entry[]; retries?: number; pendingMax?: number; returns?: number; parent?: unknown } = {}): ActorCall {
    const { args = [], retries = 0, pendingMax = -1, returns = 1, parent = null } = more
    const held = actor.entry === null ? [...args] : [...args, actor.entry]
    for (const entry of held) entry.holds++
    const call = new ActorCall(this.owner.nextSeq(returns), actor, 'Counter.add', 0, args, args.length, returns, retries, held, parent)
    try {
      this.#handle({ is: 'call', call, pendingMax })
    } catch (error) {
      for (const entry of held) entry.holds--
      throw error
    }
    for (const entry of call.entries) entry.local++
    this.owner.invariants()
    return call
  }

  answer(
    call: ActorCall,
    from: WorkerId,
    more: { status?: 'ok' | 'error' | 'cancelled'; results?: Outcome[]; retry?: boolean; contained?: ContainedRef[][] } = {},
  ): void {
    const { status = 'ok', retry = false, contained = null } = more
    const results =
      more.results ??
      (status === 'ok'
        ? call.entries.map(() => ({ form: 'plain', value: call.seq }) as const)
        : [{ form: 'failed', error: new Error('body') } as const])
    const out: Effect[] = []
    this.owner.callReplied({ from, task: call.seq, status, results, contained, retry }, this.now, out)
    this.carryOut(out)
  }

  /** Effects of a kind since the last time this was asked, of any kind. */
  news<Is extends Effect['is']>(is: Is): EffectOf<Is>[] {
    const fresh = this.effects.slice(this.#seen).filter((effect): effect is EffectOf<Is> => effect.is === is)
    this.#seen = this.effects.length
    return fresh
  }

  all<Is extends Effect['is']>(is: Is): EffectOf<Is>[] {
    return this.effects.filter((effect): effect is EffectOf<Is> => effect.is === is)
  }

  sent<Is extends Control['is']>(is: Is, to?: WorkerId): SentOf<Is>[] {
    const matching = this.all('send').filter(each => each.message.is === is && (to === undefined || each.to === to))
    return matching.map(each => each.message as SentOf<Is>)
  }
}

export function viewOf(actor: Actor, more: Partial<ActorView> = {}): ActorView {
  return {
    actorId: actor.actorId,
    className: actor.className,
    name: null,
    namespace: 'default',
    phase: 'alive',
    workerId: workerIdOf(50),
    pid: 50,
    nodeId: 'aaaaaaaaaa',
    incarnation: 0,
    restartsLeft: 0,
    deathCause: null,
    shape: new Uint8Array(0),
    maxTaskRetries: 0,
    maxPendingCalls: -1,
    isAsync: false,
    ...more,
  }
}
