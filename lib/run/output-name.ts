// SPDX-License-Identifier: Apache-2.0
// Whose output a line is. A worker runs many tasks, and the daemon, which reads its pipes, knows of none of them. So the
// worker says it in the stream itself, where it cannot come too late: a line `\0<name>` before the first output of
// another task. Only who writes pays for it. What does not go through `process.stdout` (a native library, a child
// process) gets the name of the last that did.

const MARK = '\0'

/** Makes this process's output say whose it is, by what `current` gives when something is written; null: no task's. */
export function nameOutput(current: () => string | null): void {
  for (const stream of [process.stdout, process.stderr]) nameStream(stream, current)
}

/** The name in a line, when it is one of those; '' for no task. Null when it is output. */
export function nameIn(line: string): string | null {
  return line.startsWith(MARK) ? line.slice(MARK.length) : null
}

type Write = (chunk: string | Uint8Array, ...rest: unknown[]) => boolean

function nameStream(stream: NodeJS.WriteStream, current: () => string | null): void {
  const write = stream.write.bind(stream) as Write
  let last = ''
  let atLineStart = true
  const named: Write = (chunk, ...rest) => {
    const name = (current() ?? '').replaceAll('\n', ' ')
    // In the middle of a line the name would cut it in two; that line belongs to who began it.
    if (name !== last && atLineStart) {
      last = name
      write(`${MARK}${name}\n`)
    }
    if (chunk.length > 0) atLineStart = typeof chunk === 'string' ? chunk.endsWith('\n') : chunk[chunk.length - 1] === 0x0a
    return write(chunk, ...rest)
  }
  stream.write = named as typeof stream.write
}
