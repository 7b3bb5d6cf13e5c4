// SPDX-License-Identifier: Apache-2.0
// What every `Processes` must do; the real one and the fake both.
import assert from 'node:assert/strict'
import { EventEmitter, once } from 'node:events'
import { readFileSync } from 'node:fs'
import { ChildProcesses, type Command, type Exit, type Processes, type ProcessListener } from '#lib/io/processes.js'
import { limits } from '#lib/options.js'
import { FakeProcesses, type Script } from '../../fakes/processes.js'

const REAL = `const script = JSON.parse(process.argv[1]); for (const [is, what] of script) { if (is === 'exit') process.exit(what); process[is].write(what) } setInterval(() => {}, 1000)`

class Recorder extends EventEmitter implements ProcessListener {
  readonly lines: string[] = []
  readonly exits = new Map<string, Exit>()

  onLines(key: string, stream: string, lines: string[]): void {
    assert.ok(!this.exits.has(key), 'a line after the end')
    this.lines.push(...lines.map(line => `${key} ${stream} ${line}`))
    this.emit('lines')
  }

  onExit(key: string, exit: Exit): void {
    assert.ok(!this.exits.has(key), 'ended twice')
    this.exits.set(key, exit)
    this.emit('exit')
  }

  async ended(key: string): Promise<Exit> {
    while (!this.exits.has(key)) await once(this, 'exit')
    return this.exits.get(key) as Exit
  }
}

const kinds: [string, (listener: ProcessListener) => Processes, (script: Script) => Command][] = [
  ['child processes', listener => new ChildProcesses(listener), script => command(process.execPath, ['-e', REAL, JSON.stringify(script)])],
  ['fake processes', listener => new FakeProcesses(listener), script => command('fake', [JSON.stringify(script)])],
]

for (const [name, create, script] of kinds) {
  suite(name, () => {
    test('lines come whole, an unfinished one at the end, the exit last', async () => {
      const recorder = new Recorder()
      const processes = create(recorder)
      const pid = processes.start(
        'a',
        script([
          ['stdout', 'one\ntw'],
          ['stdout', 'o\nthree'],
          ['stderr', 'wrong\n'],
          ['exit', 3],
        ]),
      )
      assert.ok(pid !== null && pid > 0)
      assert.equal(processes.live, 1)
      assert.deepEqual(await recorder.ended('a'), { exitCode: 3, signal: null, stderrTail: 'wrong' })
      assert.deepEqual(
        recorder.lines.filter(line => line.includes('stdout')),
        ['a stdout one', 'a stdout two', 'a stdout three'],
      )
      assert.equal(processes.live, 0)
    })

    test('the last lines of stderr are kept for who asks why', async () => {
      const recorder = new Recorder()
      const text = Array.from({ length: 100 }, (_, index) => `line ${index}\n`).join('')
      create(recorder).start(
        'a',
        script([
          ['stderr', text],
          ['exit', 1],
        ]),
      )
      const { stderrTail } = await recorder.ended('a')
      assert.equal(stderrTail.split('\n').length, limits.stderrTailLines)
      assert.match(stderrTail, /line 99$/)
    })

    test('kill ends it with SIGKILL; killing what has ended does nothing', async () => {
      const recorder = new Recorder()
      const processes = create(recorder)
      processes.start('a', script([['stdout', 'up\n']]))
      while (recorder.lines.length === 0) await once(recorder, 'lines')
      processes.kill('a')
      assert.deepEqual(await recorder.ended('a'), { exitCode: null, signal: 'SIGKILL', stderrTail: '' })
      processes.kill('a')
      processes.kill('never started')
    })

    test('what cannot be started ends, saying so', async () => {
      const recorder = new Recorder()
      assert.equal(create(recorder).start('a', command('/no/such/program', [])), null)
      const { exitCode, signal, stderrTail } = await recorder.ended('a')
      assert.deepEqual([exitCode, signal], [null, null])
      assert.match(stderrTail, /\/no\/such\/program.*ENOENT/)
    })
  })
}

suite('child processes alone', () => {
  test('what a process started ends with it', async () => {
    const recorder = new Recorder()
    const processes = new ChildProcesses(recorder)
    const parent = `const { spawn } = require('node:child_process')
      const child = spawn(process.execPath, ['-e', 'setInterval(() => {}, 1000)'], { stdio: 'inherit' })
      child.on('spawn', () => { console.log(child.pid); setInterval(() => {}, 1000) })`
    processes.start('a', command(process.execPath, ['-e', parent]))
    while (recorder.lines.length === 0) await once(recorder, 'lines')
    const grandchild = Number(recorder.lines[0]?.split(' ')[2])
    processes.kill('a')
    await recorder.ended('a')
    while (lives(grandchild)) await new Promise(resolve => setImmediate(resolve))
  })

  test('characters that arrive in pieces stay whole, and endless lines are cut', async () => {
    const recorder = new Recorder()
    const text = `const b = Buffer.from('ä€😀'); for (const x of b) process.stdout.write(Buffer.of(x)); process.stdout.write('\\n' + 'x'.repeat(${limits.logLineBytesMax + 10}))`
    new ChildProcesses(recorder).start('a', command(process.execPath, ['-e', text]))
    await recorder.ended('a')
    assert.deepEqual(
      recorder.lines.map(line => line.length - 'a stdout '.length),
      [4, limits.logLineBytesMax, 10],
    )
    assert.equal(recorder.lines[0], 'a stdout ä€😀')
  })
})

/** Neither gone nor a zombie that nobody has waited for. */
function lives(pid: number): boolean {
  try {
    return !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'))
  } catch {
    return false
  }
}

function command(program: string, args: string[]): Command {
  return { program, args, env: process.env, cwd: process.cwd() }
}
