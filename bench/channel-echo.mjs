// SPDX-License-Identifier: Apache-2.0
// The other end of the channel rows: sends every packet back, until told to stop or its parent is gone.
// Arguments: the store's path, microseconds to spin.

import { native } from '#lib/native.js'

const [, , path, spinMicros] = process.argv
const store = native.openStore(path)
const inbox = new Uint8Array(2 ** 20)
const index = new Int32Array(3 * 8192)

/** Packets the ring had no room for: copies, because the inbox is reused. */
const waiting = []

const sendWaiting = () => {
  while (waiting.length > 0 && port.send(waiting[0].channel, waiting[0].bytes, waiting[0].bytes.length)) waiting.shift()
}

const listener = {
  onPackets(count) {
    for (let i = 0; i < count; i++) {
      const [channel, offset, length] = [index[3 * i], index[3 * i + 1], index[3 * i + 2]]
      const bytes = inbox.subarray(offset, offset + length)
      if (waiting.length > 0 || !port.send(channel, bytes, length)) waiting.push({ channel, bytes: bytes.slice() })
    }
  },
  onClosed() {},
  onOpened() {},
  onWritable: sendWaiting,
  onSealed() {},
}

const port = native.openPort(store, listener, inbox, index, Number(spinMicros))
port.ref()
process.on('message', () => process.disconnect())
process.on('disconnect', () => {
  port.close()
  store.close()
  process.exit(0)
})
process.send({ slot: store.slot, workerId: store.workerId })
