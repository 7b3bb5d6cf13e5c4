// SPDX-License-Identifier: Apache-2.0
// Tasks and an actor that write to stdout and stderr.

import { get, init, remote, shutdown, wait } from 'eagleray'

const speak = remote(function speak() {
  console.log('hello')
  console.log('two\nlines')
  console.error('to stderr')
})
const flood = remote(function flood() {
  for (let i = 0; i < 2000; i++) console.log(`line ${i}`)
})
const last = remote(function last() {
  process.stdout.write('without a line end')
})
const dying = remote(
  function dying() {
    console.error('last words')
    process.kill(process.pid, 'SIGKILL')
  },
  { maxRetries: 0 },
)
const boom = remote(function boom(what) {
  throw new Error(what)
})
class Speaker {
  say() {
    console.log('from an actor')
  }
}

await init({ address: 'local', numCpus: 1, objectStoreBytes: 64 << 20, logToDriver: process.argv[2] !== 'quiet' })
await get(speak.remote())
await get(speak.options({ name: 'named task' }).remote())
await get(flood.remote())
await get(boom.remote('handled')).catch(() => {})
const unread = boom.remote('unread')
await wait([unread])
unread[Symbol.dispose]()
await get(remote(Speaker).remote().say.remote())
await get(last.remote())
await get(dying.remote()).catch(() => {})
console.log('from the driver')
await shutdown()
