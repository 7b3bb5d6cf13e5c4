// SPDX-License-Identifier: Apache-2.0
// Checked by the compiler, never run: types flow from the functions and classes of the user to what `get` gives.

import {
  type ActorHandle,
  type ActorPool,
  createArray,
  get,
  getActor,
  nodeAffinity,
  type ObjectRef,
  put,
  Queue,
  remote,
  wait,
} from 'eagleray'

/** Compiles only when both types are the same. */
function same<A>() {
  return <B>(_: B, ..._same: [A] extends [B] ? ([B] extends [A] ? [] : [never]) : [never]): void => {}
}

declare const numberRef: ObjectRef<number>
declare const textRef: ObjectRef<string>
declare const numberRefs: ObjectRef<number>[]

// Arguments: checked; a ref to T stands where T is expected.
const add = remote((a: number, b: number) => a + b)
same<ObjectRef<number>>()(add.remote(1, 2))
same<ObjectRef<number>>()(add.remote(numberRef, add.remote(1, numberRef)))
// @ts-expect-error: too few
add.remote(1)
// @ts-expect-error: too many
add.remote(1, 2, 3)
// @ts-expect-error: a string is no number
add.remote(1, '2')
// @ts-expect-error: a ref to a string is no number
add.remote(1, textRef)
// @ts-expect-error: a remote function is not called directly
add(1, 2)

const withDefault = remote((name: string, times = 1) => name.repeat(times))
same<ObjectRef<string>>()(withDefault.remote('a'))
withDefault.remote(textRef, numberRef)
// @ts-expect-error: the default is a number
withDefault.remote('a', 'b')
const rest = remote((...all: number[]) => all.length)
rest.remote(1, numberRef, 3)

// Results: what an async function resolves to; refs inside stay refs.
const fetchRow = remote(async (id: number) => ({ id, tags: ['a'] }))
same<ObjectRef<{ id: number; tags: string[] }>>()(fetchRow.remote(1))
const child = remote((n: number) => ({ ref: add.remote(n, 1) }))
same<ObjectRef<{ ref: ObjectRef<number> }>>()(child.remote(1))
const takesRefs = remote((refs: ObjectRef<number>[]) => refs.length)
takesRefs.remote([numberRef])

// numReturns: a tuple of refs, nothing for 0.
const divide = remote((a: number, b: number) => [Math.floor(a / b), String(a % b)] as [number, string], { numReturns: 2 })
const [quotient, remainder] = divide.remote(7, 2)
same<ObjectRef<number>>()(quotient)
same<ObjectRef<string>>()(remainder)
same<undefined>()(remote(() => 1, { numReturns: 0 }).remote())
const both = remote(() => [1, 'a'] as [number, string])
  .options({ numReturns: 2 })
  .remote()
same<[ObjectRef<number>, ObjectRef<string>]>()(both)

// Options: known ones only.
add.options({ numCpus: 0.5, maxRetries: -1, retryExceptions: [RangeError], resources: { token: 1 }, name: 'sum' })
add.options({ schedulingStrategy: nodeAffinity({ nodeId: 'aaaaaaaaaa', soft: true }), labelSelector: { zone: '!in(a,b)' } })
add.options({ schedulingStrategy: 'SPREAD' })
// @ts-expect-error: unknown
add.options({ schedulingStrategy: 'NEAREST' })
// @ts-expect-error: the values of labels are texts
add.options({ labelSelector: { zone: 1 } })
// @ts-expect-error: which node?
nodeAffinity({ soft: true })
// @ts-expect-error: unknown
add.options({ cpus: 1 })
// @ts-expect-error: of the wrong type
add.options({ numCpus: '1' })

export async function values(): Promise<void> {
  same<number>()(await get(numberRef))
  same<[number, string]>()(await get([numberRef, textRef] as [ObjectRef<number>, ObjectRef<string>]))
  same<number[]>()(await get(numberRefs))
  same<[number, string]>()(await get([numberRef, textRef]))
  same<ObjectRef<Float64Array<ArrayBuffer>>>()(put(new Float64Array(1)))
  const [ready, pending] = await wait([numberRef], { numReturns: 1, timeoutMs: 5 })
  same<ObjectRef<number>[]>()(ready)
  same<ObjectRef<number>[]>()(pending)
  // @ts-expect-error: not a ref
  await get(5)
  // @ts-expect-error: unknown option
  await get(numberRef, { timeout: 5 })
  const builder = createArray(Float64Array, 8)
  builder.array[0] = 1.5
  const sealed = await get(builder.seal())
  sealed.fill(1)
}

// Actors: constructor and methods are typed as those of the class.
class Account {
  #balance: number
  readonly owner: string

  constructor(owner: string, balance = 0) {
    this.owner = owner
    this.#balance = balance
  }

  deposit(amount: number): number {
    return (this.#balance += amount)
  }

  async history(): Promise<{ amount: number }[]> {
    return [{ amount: this.#balance }]
  }
}
const RemoteAccount = remote(Account, { maxRestarts: 1 })
const account = RemoteAccount.remote('me', numberRef)
same<ActorHandle<Account>>()(account)
same<ObjectRef<number>>()(account.deposit.remote(numberRef))
same<ObjectRef<{ amount: number }[]>>()(account.history.remote())
account.deposit.options({ maxTaskRetries: 2 }).remote(1)
RemoteAccount.options({ name: 'savings', getIfExists: true }).remote('me')
// @ts-expect-error: the owner is missing
RemoteAccount.remote()
// @ts-expect-error: of the wrong type
account.deposit.remote('1')
// @ts-expect-error: no such method
account.withdraw.remote(1)
// @ts-expect-error: a method is not called directly
account.deposit(1)
// @ts-expect-error: fields are not methods
account.owner.remote()
// @ts-expect-error: unknown option
RemoteAccount.options({ restarts: 1 })

// Handles are values like any other.
const useAccount = remote((handle: ActorHandle<Account>, n: number) => get(handle.deposit.remote(n)))
same<ObjectRef<number>>()(useAccount.remote(account, 1))

export async function named(): Promise<void> {
  const found = await getActor<Account>('savings')
  same<ObjectRef<number>>()(found.deposit.remote(1))
}

export async function helpers(pool: ActorPool<ActorHandle<Account>>): Promise<void> {
  const queue = new Queue<string>({ maxSize: 1 })
  await queue.put('a')
  same<string>()(await queue.get())
  for await (const value of pool.map((each, n: number) => each.deposit.remote(n), [1, 2])) same<number>()(value)
}
