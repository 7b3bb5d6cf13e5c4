// SPDX-License-Identifier: Apache-2.0
// Messages between processes of two nodes, through both daemons, over ZeroMQ.

import assert from 'node:assert/strict'
import { type ChildProcess, fork } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { rmSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { CuttableProxy } from './cuttable-proxy.js'
import { waitFor } from './support.js'

interface Heard {
  from: string
  is: string
  text: string
}

class Linked<Hello> {
  readonly heard: Heard[] = []
  private constructor(
    readonly child: ChildProcess,
    readonly hello: Hello,
  ) {
    child.on('message', message => this.heard.push(message as Heard))
  }

  static async start<Hello>(...args: string[]): Promise<Linked<Hello>> {
    const child = fork(fileURLToPath(new URL('programs/linked.mjs', import.meta.url)), args, { execArgv: [] })
    const [hello] = (await once(child, 'message')) as [Hello]
    return new Linked(child, hello)
  }

  get texts(): string[] {
    return this.heard.filter(each => each.is === 'warning').map(each => each.text)
  }

  tell(message: object): void {
    this.child.send(message)
  }
}

interface DaemonHello {
  nodeId: string
  daemonId: string
  address: string
}
type Speaker = Linked<{ workerId: string }>

suite('routes between real processes', () => {
  const children: ChildProcess[] = []
  const paths: string[] = []

  teardown(async () => {
    for (const child of children.splice(0)) {
      if (child.exitCode !== null || child.signalCode !== null) continue
      const exited = once(child, 'exit')
      child.kill('SIGKILL')
      await exited
    }
    for (const path of paths.splice(0)) rmSync(path, { recursive: true, force: true })
  })

  async function node(nodeId: string): Promise<{ daemon: Linked<DaemonHello>; speaker: Speaker }> {
    const path = `/dev/shm/eagleray-test-${randomBytes(4).toString('hex')}`
    paths.push(path)
    const daemon = await Linked.start<DaemonHello>('daemon', nodeId, path)
    children.push(daemon.child)
    const speaker = await Linked.start<{ workerId: string }>('speaker', path, daemon.hello.daemonId)
    children.push(speaker.child)
    return { daemon, speaker }
  }

  test('arrive in order and whole, both ways, also when a daemon was paused meanwhile', async () => {
    const [a, b] = [await node('aaaaaaaaaa'), await node('bbbbbbbbbb')]
    a.daemon.tell({ open: b.daemon.hello })
    const to = b.speaker.hello.workerId
    const said = Array.from({ length: 40 }, (_, i) => `${i} ${'x'.repeat(i * 5000)}`)
    for (const text of said.slice(0, 20)) a.speaker.tell({ to, text })
    await waitFor(() => b.speaker.texts.length > 0, 'the first message')
    b.daemon.child.kill('SIGSTOP')
    for (const text of said.slice(20)) a.speaker.tell({ to, text })
    b.speaker.tell({ to: a.speaker.hello.workerId, text: 'back' })
    b.daemon.child.kill('SIGCONT')
    await waitFor(() => b.speaker.texts.length === said.length && a.speaker.texts.length === 1, 'all messages')
    assert.deepEqual(b.speaker.texts, said)
    assert.deepEqual(a.speaker.heard, [{ from: to, is: 'warning', text: 'back', size: 4 }])
  })

  test('arrive once and in order over a connection that is cut again and again', async () => {
    const [a, b] = [await node('aaaaaaaaaa'), await node('bbbbbbbbbb')]
    const proxy = new CuttableProxy()
    try {
      const { hello } = b.daemon
      a.daemon.tell({ open: { ...hello, address: await proxy.to(hello.address) } })
      const said: string[] = []
      for (let round = 0; round < 10; round++) {
        for (let i = 0; i < 50; i++) {
          said.push(`${round}.${i} ${'x'.repeat((i * 997) % 20_000)}`)
          a.speaker.tell({ to: b.speaker.hello.workerId, text: said.at(-1) })
          b.speaker.tell({ to: a.speaker.hello.workerId, text: said.at(-1) })
        }
        await waitFor(() => b.speaker.texts.length > round * 50, 'some of them')
        proxy.cut()
        proxy.join()
      }
      await waitFor(() => b.speaker.texts.length >= said.length && a.speaker.texts.length >= said.length, 'all of them')
      assert.deepEqual(b.speaker.texts, said)
      assert.deepEqual(a.speaker.texts, said)
    } finally {
      proxy.end()
    }
  })

  test('of a process that is gone the sender hears', async () => {
    const [a, b] = [await node('aaaaaaaaaa'), await node('bbbbbbbbbb')]
    b.daemon.tell({ open: a.daemon.hello })
    const exited = once(b.speaker.child, 'exit')
    b.speaker.child.kill('SIGKILL')
    await exited
    const gone = b.speaker.hello.workerId
    b.daemon.tell({ reap: gone })
    await waitFor(() => {
      a.speaker.tell({ to: gone, text: 'anybody?' })
      return a.speaker.heard.some(each => each.is === 'workerDied')
    }, 'the news')
  })
})
