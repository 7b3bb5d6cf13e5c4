// SPDX-License-Identifier: Apache-2.0
// What every data channel must do, tried on each.

import assert from 'node:assert/strict'
import { once } from 'node:events'
import { connect, createServer, type Server, type Socket } from 'node:net'
import {
  type DataChannel,
  type DataListener,
  type DataPeer,
  type Failure,
  type Lent,
  NotNow,
  type Piece,
  type Question,
  type Sink,
} from '#lib/io/data/channel.js'
import { ANSWER_BYTES, answerTo, dataKey, GREETING_BYTES, Greeter } from '#lib/io/data/handshake.js'
import { tcpChannel } from '#lib/io/data/tcp.js'
import { ANSWER, QUESTION_BYTES, writeAnswerHead, writeQuestion } from '#lib/io/data/tcp-frames.js'
import { zmqDataChannel } from '#lib/io/data/zmq.js'
import { limits } from '#lib/options.js'
import { FakeDataNetwork } from '../../fakes/data.js'

const ID = 'ab'.repeat(20)
const [A, B, C] = ['aaaaaaaaaa', 'bbbbbbbbbb', 'cccccccccc'] as const
const MB = 1 << 20

type Make = (nodeId: string, token: string, listener: DataListener) => Promise<DataChannel>

class Ears implements DataListener {
  readonly questions: Question[] = []
  readonly gone: string[] = []
  readonly refused: string[] = []
  #woken: (() => void)[] = []
  /** Null: questions wait for the test. */
  answer: ((question: Question) => void) | null = null

  onQuestion(question: Question): void {
    this.questions.push(question)
    this.answer?.(question)
    this.#wake()
  }
  onPeerGone(peer: string): void {
    this.gone.push(peer)
    this.#wake()
  }
  onRefused(_address: string, why: string): void {
    this.refused.push(why)
    this.#wake()
  }
  async until(condition: () => boolean): Promise<void> {
    while (!condition()) await new Promise<void>(resolve => this.#woken.push(resolve))
  }
  #wake(): void {
    for (const each of this.#woken.splice(0)) each()
  }
}

/** Takes bytes in rooms of at most that size. */
class Bucket implements Sink {
  readonly bytes: Uint8Array
  readonly ended: Promise<Failure | null>
  wroteBytes = 0
  writes = 0
  #end: (failure: Failure | null) => void = () => {}
  isDone = false

  constructor(
    length: number,
    private readonly roomMax = Number.POSITIVE_INFINITY,
  ) {
    this.bytes = new Uint8Array(length)
    this.ended = new Promise(resolve => (this.#end = resolve))
  }
  room(at: number): Uint8Array {
    assert.ok(!this.isDone && at < this.bytes.length, 'room is asked for where none is')
    return this.bytes.subarray(at, Math.min(this.bytes.length, at + this.roomMax))
  }
  wrote(at: number, count: number): void {
    assert.ok(!this.isDone)
    assert.equal(at, this.wroteBytes)
    this.wroteBytes += count
    this.writes++
  }
  done(failure: Failure | null): void {
    assert.ok(!this.isDone, 'it ends twice')
    this.isDone = true
    this.#end(failure)
  }
}

const piece = (offset: number, length: number): Piece => ({ id: ID, offset, length })
const peer = (nodeId: string, channel: DataChannel): DataPeer => ({ nodeId, address: channel.address })
const pattern = (length: number, seed: number): Uint8Array => Uint8Array.from({ length }, (_, i) => (i * 31 + seed) & 255)

const lend = (bytes: Uint8Array, done = () => {}): Lent => ({
  read(at, target) {
    target.set(bytes.subarray(at, at + target.length))
    return null
  },
  done,
})

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise(resolve => setImmediate(resolve))
}

const network = new FakeDataNetwork()
const kinds: [string, Make][] = [
  ['fake', async (nodeId, token, listener) => network.channel(nodeId, token, listener)],
  ['TCP', (nodeId, token, listener) => tcpChannel({ nodeId, token, listener })],
  ['ZeroMQ', (nodeId, token, listener) => zmqDataChannel({ nodeId, token, listener })],
]

for (const [name, make] of kinds) {
  suite(`data channel: ${name}`, () => {
    let open: DataChannel[] = []
    const started = async (nodeId: string, ears: DataListener = new Ears(), token = 'secret'): Promise<DataChannel> => {
      const channel = await make(nodeId, token, ears)
      open.push(channel)
      return channel
    }
    teardown(() => {
      for (const each of open) each.close()
      open = []
    })

    test('bytes arrive as they are, in rooms of any size, and the sender hears that they left', async () => {
      const ears = new Ears()
      const source = await started(A, ears)
      const asker = await started(B)
      const bytes = pattern(3 * MB + 5, 1)
      let left = 0
      ears.answer = question => {
        assert.deepEqual([question.peer, question.id, question.offset, question.length], [B, ID, 7, bytes.length])
        question.send(lend(bytes, () => left++))
      }
      for (const roomMax of [Number.POSITIVE_INFINITY, 1000]) {
        const bucket = new Bucket(bytes.length, roomMax)
        asker.fetch(peer(A, source), piece(7, bytes.length), bucket)
        assert.equal(await bucket.ended, null)
        assert.equal(Buffer.compare(bucket.bytes, bytes), 0)
        assert.equal(bucket.wroteBytes, bytes.length)
      }
      await until(() => left === 2)
    })

    test('many at once, answered in another order', async () => {
      const ears = new Ears()
      const source = await started(A, ears)
      const asker = await started(B)
      const buckets = Array.from({ length: 50 }, (_, i) => new Bucket(1000 + i))
      for (const [i, bucket] of buckets.entries()) asker.fetch(peer(A, source), piece(i, 1000 + i), bucket)
      await ears.until(() => ears.questions.length === buckets.length)
      for (const question of ears.questions.reverse()) question.send(lend(pattern(question.length, question.offset)))
      for (const [i, bucket] of buckets.entries()) {
        assert.equal(await bucket.ended, null)
        assert.deepEqual(bucket.bytes, pattern(1000 + i, i))
      }
    })

    test('refusals tell whether asking again could help, and other pieces go on', async () => {
      const ears = new Ears()
      const source = await started(A, ears)
      const asker = await started(B)
      ears.answer = question =>
        question.offset === 0
          ? question.refuse('missing')
          : question.offset === 1
            ? question.refuse('busy')
            : question.send(lend(pattern(10, 0)))
      const buckets = [0, 1, 2].map(offset => {
        const bucket = new Bucket(10)
        asker.fetch(peer(A, source), piece(offset, 10), bucket)
        return bucket
      })
      const ends = await Promise.all(buckets.map(each => each.ended))
      assert.deepEqual(
        ends.map(each => each?.missing),
        [true, false, undefined],
      )
    })

    test('the largest piece', async () => {
      const ears = new Ears()
      const source = await started(A, ears)
      const asker = await started(B)
      const bytes = new Uint8Array(limits.pieceBytes).fill(7)
      ears.answer = question => question.send(lend(bytes))
      const bucket = new Bucket(bytes.length)
      asker.fetch(peer(A, source), piece(0, bytes.length), bucket)
      assert.equal(await bucket.ended, null)
      assert.equal(Buffer.compare(bucket.bytes, bytes), 0)
    })

    test('bytes that a disk gives later', async () => {
      const ears = new Ears()
      const source = await started(A, ears)
      const asker = await started(B)
      const bytes = pattern(2 * MB + 1, 3)
      ears.answer = question => {
        const lent = lend(bytes)
        question.send({
          ...lent,
          read: (at, target) => new Promise(resolve => setImmediate(() => resolve(lent.read(at, target) ?? undefined))),
        })
      }
      const bucket = new Bucket(bytes.length)
      asker.fetch(peer(A, source), piece(0, bytes.length), bucket)
      assert.equal(await bucket.ended, null)
      assert.equal(Buffer.compare(bucket.bytes, bytes), 0)
    })

    test('bytes that cannot be read are missing, are given back, and other pieces go on', async () => {
      const ears = new Ears()
      const source = await started(A, ears)
      const asker = await started(B)
      const failure = new Error('the disk failed')
      const reads = [
        () => {
          throw failure
        },
        () => Promise.reject(failure),
      ]
      let given = 0
      ears.answer = question => {
        const read = reads[question.offset]
        const lent = lend(pattern(10, 0), () => given++)
        question.send(read === undefined ? lent : { ...lent, read })
      }
      const buckets = [0, 1, 2].map(offset => {
        const bucket = new Bucket(10)
        asker.fetch(peer(A, source), piece(offset, 10), bucket)
        return bucket
      })
      const ends = await Promise.all(buckets.map(each => each.ended))
      assert.deepEqual(
        ends.map(each => each?.missing),
        [true, true, undefined],
      )
      await until(() => given === 3)
    })

    test('bytes that cannot be read now are no missing ones, and the asker hears the reason of the system', async () => {
      const ears = new Ears()
      const source = await started(A, ears)
      const asker = await started(B)
      let given = 0
      ears.answer = question => {
        const read = (): never => {
          throw new NotNow(question.offset === 0 ? -24 : 0, 'too many files are open')
        }
        question.send({ ...lend(pattern(10, 0), () => given++), read })
      }
      const ends = [0, 1].map(offset => {
        const bucket = new Bucket(10)
        asker.fetch(peer(A, source), piece(offset, 10), bucket)
        return bucket.ended
      })
      assert.deepEqual(await Promise.all(ends), [
        { missing: false, why: 'it cannot read its copy now (EMFILE)' },
        { missing: false, why: 'it cannot read its copy now' },
      ])
      assert.equal(given, 2)
    })

    test('an empty piece', async () => {
      const ears = new Ears()
      const source = await started(A, ears)
      const asker = await started(B)
      ears.answer = question => question.send(lend(new Uint8Array(0)))
      const bucket = new Bucket(0)
      asker.fetch(peer(A, source), piece(0, 0), bucket)
      assert.equal(await bucket.ended, null)
    })

    test('both ways between one pair, and from several at once', async () => {
      const [earsA, earsB] = [new Ears(), new Ears()]
      const [a, b, c] = [await started(A, earsA), await started(B, earsB), await started(C)]
      earsA.answer = question => question.send(lend(pattern(question.length, 1)))
      earsB.answer = question => question.send(lend(pattern(question.length, 2)))
      const fetch = (from: DataChannel, to: DataPeer): Bucket => {
        const bucket = new Bucket(MB)
        from.fetch(to, piece(0, MB), bucket)
        return bucket
      }
      const buckets = [fetch(a, peer(B, b)), fetch(b, peer(A, a)), fetch(c, peer(A, a)), fetch(c, peer(B, b))]
      for (const each of buckets) assert.equal(await each.ended, null)
      assert.deepEqual(
        buckets.map(each => each.bytes[0]),
        [2, 1, 1, 2],
      )
    })

    test('a source that ends fails what was asked of it; the source hears of an asker that ends', async () => {
      const ears = new Ears()
      const source = await started(A, ears)
      const asker = await started(B)
      const bucket = new Bucket(10)
      asker.fetch(peer(A, source), piece(0, 10), bucket)
      await ears.until(() => ears.questions.length === 1)
      source.close()
      assert.equal((await bucket.ended)?.missing, false)

      const second = await started(C, ears)
      asker.fetch(peer(C, second), piece(0, 10), new Bucket(10))
      await ears.until(() => ears.questions.length === 2)
      asker.close()
      await ears.until(() => ears.gone.includes(B))
      // An answer to nobody does no harm, and is said to have left.
      await new Promise<void>(resolve => ears.questions[1]?.send(lend(new Uint8Array(10), resolve)))
    })

    test('a peer that is dead fails at once', async () => {
      const source = await started(A)
      const asker = await started(B)
      const bucket = new Bucket(10)
      asker.fetch(peer(A, source), piece(0, 10), bucket)
      asker.forget(A)
      assert.ok((await bucket.ended) !== null)
    })

    test('nobody listens there', async () => {
      const source = await started(A)
      const asker = await started(B)
      source.close()
      const bucket = new Bucket(10)
      asker.fetch(peer(A, source), piece(0, 10), bucket)
      assert.equal((await bucket.ended)?.missing, false)
    })

    test('another token: both sides refuse', async () => {
      const ears = new Ears()
      const source = await started(A, ears)
      const asker = await started(B, new Ears(), 'wrong')
      const bucket = new Bucket(10)
      asker.fetch(peer(A, source), piece(0, 10), bucket)
      assert.equal((await bucket.ended)?.missing, false)
      await ears.until(() => ears.refused.length > 0)
      assert.equal(ears.questions.length, 0)
    })

    test('another node than the one that is meant is not believed', async () => {
      const ears = new Ears()
      const source = await started(A, ears)
      const asker = await started(B)
      const bucket = new Bucket(10)
      asker.fetch({ nodeId: C, address: source.address }, piece(0, 10), bucket)
      assert.equal((await bucket.ended)?.missing, false)
      assert.equal(ears.questions.length, 0)
    })
  })
}

suite('data channel: TCP against those who do not keep to it', () => {
  let channel: DataChannel
  let ears: Ears
  let server: Server | null = null
  const askers: DataChannel[] = []
  setup(async () => {
    ears = new Ears()
    channel = await tcpChannel({ nodeId: A, token: 'secret', listener: ears, handshakeMs: 50, stallMs: 50 })
  })
  teardown(() => {
    channel.close()
    for (const each of askers.splice(0)) each.close()
    server?.close()
    server = null
  })
  /** One with all the time for a handshake. */
  const asker = async (stallMs: number = limits.dataStallMs): Promise<DataChannel> => {
    const made = await tcpChannel({ nodeId: A, token: 'secret', listener: ears, stallMs })
    askers.push(made)
    return made
  }
  const visit = async (): Promise<Socket> => {
    const { hostname, port } = new URL(channel.address)
    const socket = connect(Number(port), hostname)
    socket.on('error', () => {})
    await once(socket, 'connect')
    return socket
  }
  /** A visitor that has proved to be of the cluster, and takes nothing from then on. */
  const enter = async (): Promise<Socket> => {
    const socket = await visit()
    const greeting = Buffer.alloc(GREETING_BYTES)
    for (let have = 0; have < GREETING_BYTES; ) {
      const [bytes] = (await once(socket, 'data')) as [Buffer]
      have += bytes.copy(greeting, have)
    }
    socket.pause()
    socket.write((answerTo(greeting, dataKey('secret'), B, A) as { answer: Buffer }).answer)
    return socket
  }
  const listen = async (onConnection: (socket: Socket) => void): Promise<DataPeer> => {
    server = createServer(onConnection)
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    return { nodeId: B, address: `tcp://127.0.0.1:${(server.address() as { port: number }).port}` }
  }

  /** A source of the cluster that answers the first question by hand, from its head on. */
  const answering = (length: number, answer: (socket: Socket) => Promise<void>): Promise<DataPeer> =>
    listen(async socket => {
      socket.on('error', () => {})
      const greeter = new Greeter(dataKey('secret'), B)
      socket.write(greeter.greeting)
      const heard = async (size: number): Promise<Buffer> => {
        for (;;) {
          const bytes = socket.read(size) as Buffer | null
          if (bytes !== null) return bytes
          await once(socket, 'readable')
        }
      }
      socket.write((greeter.check(await heard(ANSWER_BYTES)) as { proof: Buffer }).proof)
      await heard(QUESTION_BYTES)
      socket.write(writeAnswerHead(1, ANSWER.bytes, length))
      await answer(socket)
    })

  test('loopback unless another interface is given', () => {
    assert.match(channel.address, /^tcp:\/\/127\.0\.0\.1:\d+$/)
  })

  test('a visitor with garbage is refused, whatever its length', async () => {
    for (let seed = 0; seed < 30; seed++) {
      const before = ears.refused.length
      const socket = await visit()
      socket.on('data', () => {})
      socket.write(pattern(80 + 37 * seed, seed))
      await once(socket, 'close')
      await ears.until(() => ears.refused.length > before)
    }
    assert.equal(ears.questions.length, 0)
  })

  test('a visitor that says nothing is sent away', async () => {
    const socket = await visit()
    socket.on('data', () => {})
    await once(socket, 'close')
    await ears.until(() => ears.refused.length === 1)
  })

  test('a source with garbage, or none at all, is a failure', async () => {
    for (let seed = 0; seed < 20; seed++) {
      const to = await listen(socket => {
        socket.on('error', () => {})
        if (seed > 0) socket.write(pattern(10 * seed, seed))
      })
      const bucket = new Bucket(10)
      channel.fetch(to, piece(0, 10), bucket)
      assert.equal((await bucket.ended)?.missing, false)
      server?.close()
    }
  })

  test('a source that cannot read on in the middle ends the connection, and all is given back', async () => {
    const asked = new Ears()
    const source = await tcpChannel({ nodeId: B, token: 'secret', listener: asked })
    const length = 2 * MB
    let given = 0
    asked.answer = question => {
      const lent = lend(new Uint8Array(length), () => given++)
      const read = (at: number, target: Uint8Array) => (at === 0 ? lent.read(at, target) : Promise.reject(new Error('the disk failed')))
      question.send({ ...lent, read })
    }
    const buckets = [new Bucket(length), new Bucket(length)]
    for (const bucket of buckets) channel.fetch(peer(B, source), piece(0, length), bucket)
    for (const { ended } of buckets) assert.equal((await ended)?.missing, false)
    await until(() => given === asked.questions.length)
    assert.match(asked.refused[0] ?? '', /the disk failed/)
    source.close()
  })

  test('who takes nothing of what it asked for is disconnected, and little is read for it meanwhile', async () => {
    let reads = 0
    let given = 0
    ears.answer = question => {
      const lent = lend(new Uint8Array(limits.pieceBytes), () => given++)
      question.send({
        ...lent,
        read(at, target) {
          reads++
          return lent.read(at, target)
        },
      })
    }
    const socket = await enter()
    const pieces = 32
    for (let i = 0; i < pieces; i++) socket.write(writeQuestion(i + 1, piece(i, limits.pieceBytes)))
    await ears.until(() => ears.refused.length > 0)
    assert.match(ears.refused[0] ?? '', /it took nothing for 50 ms/)
    await until(() => given === ears.questions.length)
    assert.ok(ears.questions.length === pieces && reads > 0 && reads < 100, `${ears.questions.length} questions, ${reads} reads`)
    socket.destroy()
  })

  test('who takes nothing of what it asked for is disconnected also when it was idle before', async () => {
    ears.answer = question => question.send(lend(new Uint8Array(limits.pieceBytes)))
    const socket = await enter()
    // Each of these, which come later, is sent away after the time that an idle one may be looked at.
    for (let i = 0; i < 2; i++) {
      const silent = await visit()
      silent.on('data', () => {})
      await once(silent, 'close')
    }
    for (let i = 0; i < 32; i++) socket.write(writeQuestion(i + 1, piece(i, limits.pieceBytes)))
    await ears.until(() => ears.refused.some(why => /it took nothing for 50 ms/.test(why)))
    socket.destroy()
  })

  test('a source that stops in the middle is given up', async () => {
    const silent = new Ears()
    const source = await tcpChannel({ nodeId: B, token: 'secret', listener: silent })
    const bucket = new Bucket(10)
    channel.fetch(peer(B, source), piece(0, 10), bucket)
    assert.match((await bucket.ended)?.why ?? '', /50 ms/)
    source.close()
  })

  test('bytes that come in bits are read when they fill the room there is', async () => {
    const [room, part] = [256 * 1024, 4096]
    const bytes = pattern(2 * room + part, 5)
    const to = await answering(bytes.length, async socket => {
      for (let at = 0; at < bytes.length; at += part) {
        await new Promise(resolve => socket.write(bytes.subarray(at, at + part), resolve))
        // Whoever wakes for each bit has had its turns.
        for (let i = 0; i < 3; i++) await new Promise(resolve => setImmediate(resolve))
      }
    })
    const bucket = new Bucket(bytes.length, room)
    const channel = await asker()
    channel.fetch(to, piece(0, bytes.length), bucket)
    assert.equal(await bucket.ended, null)
    assert.equal(Buffer.compare(bucket.bytes, bytes), 0)
    assert.ok(bucket.writes < 10, `${bytes.length / part} bits were read in ${bucket.writes} times`)
  })

  test('a source that is slow, and sends less in the time it has than is waited for, is heard all the same', async () => {
    const bytes = pattern(3 * MB, 6)
    const bucket = new Bucket(bytes.length)
    const to = await answering(bytes.length, async socket => {
      for (let at = 0; at < 5000; at += 1000) {
        socket.write(bytes.subarray(at, at + 1000))
        await until(() => bucket.wroteBytes === at + 1000 || bucket.isDone)
      }
      socket.write(bytes.subarray(5000))
    })
    const channel = await asker(50)
    channel.fetch(to, piece(0, bytes.length), bucket)
    assert.equal(await bucket.ended, null)
    assert.equal(Buffer.compare(bucket.bytes, bytes), 0)
  })

  test('a source that stops in the middle of a piece is given up, with what has come', async () => {
    const bucket = new Bucket(MB)
    const to = await answering(MB, async socket => void socket.write(pattern(1000, 7)))
    const channel = await asker(50)
    channel.fetch(to, piece(0, MB), bucket)
    assert.match((await bucket.ended)?.why ?? '', /sent nothing for 50 ms/)
    assert.equal(bucket.wroteBytes, 1000)
  })

  test('a source that ends in the middle of a piece is a failure at once', async () => {
    const bucket = new Bucket(MB)
    const to = await answering(MB, async socket => void socket.end(pattern(1000, 8)))
    const channel = await asker()
    channel.fetch(to, piece(0, MB), bucket)
    assert.match((await bucket.ended)?.why ?? '', /the peer ended the connection/)
  })

  test('what is no address is a failure', async () => {
    for (const address of ['', 'x', 'tcp://127.0.0.1:0']) {
      const bucket = new Bucket(10)
      channel.fetch({ nodeId: B, address }, piece(0, 10), bucket)
      assert.equal((await bucket.ended)?.missing, false)
    }
  })

  test('a member that asks for what no node asks for is sent away', async () => {
    const asker = await tcpChannel({ nodeId: B, token: 'secret', listener: new Ears() })
    for (const bad of [piece(0, limits.pieceBytes + 1), piece(-1, 1), piece(Number.NaN, 1)]) {
      const bucket = new Bucket(1)
      asker.fetch(peer(A, channel), bad, bucket)
      assert.equal((await bucket.ended)?.missing, false)
    }
    assert.equal(ears.questions.length, 0)
    asker.close()
  })
})
