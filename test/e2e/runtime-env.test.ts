// SPDX-License-Identifier: Apache-2.0
// biome-ignore-all lint/suspicious/noTemplateCurlyInString: such texts are what is tested
// Runtime environments: each field at work, whose processes are shared, who inherits, and what fails with which words.

import assert from 'node:assert/strict'
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import {
  type Explanation,
  explain,
  get,
  type ObjectRef,
  type RuntimeEnv,
  RuntimeEnvError,
  ready,
  remote,
  shutdown,
  TaskError,
} from 'eagleray'
import { begin, end, isAlive, scratchPath, sessionTraces, waitFor } from './support.js'

/** Writes files below a new directory, and gives its path. */
function tree(files: Record<string, string>): string {
  const top = scratchPath()
  for (const [path, text] of Object.entries(files)) {
    mkdirSync(dirname(join(top, path)), { recursive: true })
    writeFileSync(join(top, path), text)
  }
  return top
}

const packageOf = (name: string, version: string, code: string): string =>
  tree({ 'package.json': JSON.stringify({ name, version, main: 'index.cjs' }), 'index.cjs': code })

const where = remote(() => ({ pid: process.pid, cwd: process.cwd(), flags: process.execArgv }))
const variable = remote((name: string) => process.env[name] ?? null)
const imported = remote(async (specifier: string) => {
  const { default: value } = (await import(specifier)) as { default: unknown }
  return value
})
const required = remote((specifier: string) => process.getBuiltinModule('node:module').createRequire(`${process.cwd()}/task.js`)(specifier))

async function waiting(ref: ObjectRef): Promise<Explanation | null> {
  const explanation = await explain(ref)
  return explanation.state === 'waiting for its environment' ? explanation : null
}

async function fails(env: RuntimeEnv, ...patterns: RegExp[]): Promise<void> {
  const error = await get(where.options({ runtimeEnv: env, name: 'broken' }).remote()).then(
    () => assert.fail('it ran'),
    (thrown: unknown) => thrown,
  )
  assert.ok(error instanceof RuntimeEnvError && !(error instanceof TaskError), String(error))
  assert.equal(error.code, 'ERR_EAGLERAY_RUNTIME_ENV')
  for (const pattern of [/^broken cannot run/, ...patterns]) assert.match(error.message, pattern)
}

suite('runtime environments', () => {
  let sessionDir = ''
  suiteSetup(async () => {
    process.env.EAGLERAY_TEST_BASE = 'base'
    sessionDir = (await begin()).sessionDir
  })
  suiteTeardown(async () => {
    delete process.env.EAGLERAY_TEST_BASE
    await end()
  })

  suite('fields', () => {
    test('envVars are set before any code runs, and refer to those set without them', async () => {
      const runtimeEnv = { envVars: { EAGLERAY_TEST_OWN: 'own', EAGLERAY_TEST_BASE: '${EAGLERAY_TEST_BASE}:more:${EAGLERAY_TEST_NONE}' } }
      assert.equal(await get(variable.options({ runtimeEnv }).remote('EAGLERAY_TEST_OWN')), 'own')
      assert.equal(await get(variable.options({ runtimeEnv }).remote('EAGLERAY_TEST_BASE')), 'base:more:')
      assert.equal(await get(variable.remote('EAGLERAY_TEST_OWN')), null)
    })

    test('nodeOptions are flags of the process', async () => {
      const limit = remote(() => process.getBuiltinModule('node:v8').getHeapStatistics().heap_size_limit)
      const small = await get(limit.options({ runtimeEnv: { nodeOptions: ['--max-old-space-size=64'] } }).remote())
      assert.ok(small < 256 << 20, `${small} bytes`)
    })

    test('preload: modules run once, in order, before the first task, found from workingDir', async () => {
      const workingDir = tree({
        'first.mjs': 'globalThis.seen = ["first"]',
        'second.cjs': 'globalThis.seen.push("second")',
        'node_modules/third/index.js': 'globalThis.seen.push("third")',
        'typed.ts': 'const name: string = "typed"; (globalThis as { seen?: string[] }).seen?.push(name)',
      })
      const seen = remote(() => (globalThis as { seen?: string[] }).seen)
      const options = { runtimeEnv: { workingDir, preload: ['./first.mjs', './second.cjs', 'third', './typed.ts'] } }
      assert.deepEqual(await get(seen.options(options).remote()), ['first', 'second', 'third', 'typed'])
      assert.deepEqual(await get(seen.options(options).remote()), ['first', 'second', 'third', 'typed'])
    })

    test('workingDir: the worker runs in a copy, without what is excluded, and finds modules there', async () => {
      const workingDir = tree({
        'package.json': '{ "type": "module" }',
        'data.txt': 'as it was',
        'big.log': 'left out',
        'node_modules/beside/index.js': 'export default "beside"',
        'node_modules/beside/package.json': '{ "type": "module", "main": "index.js" }',
        'lib/tool.js': 'import beside from "beside"\nimport { get } from "eagleray"\nexport default `tool and ${beside} ${typeof get}`',
      })
      const runtimeEnv = { workingDir, excludes: ['*.log'] }
      const { cwd } = await get(where.options({ runtimeEnv }).remote())
      assert.ok(cwd.startsWith(join(sessionDir, 'environments')), cwd)
      assert.deepEqual(readdirSync(cwd).sort(), ['data.txt', 'lib', 'node_modules', 'package.json'])
      assert.equal(await get(imported.options({ runtimeEnv }).remote(`${cwd}/lib/tool.js`)), 'tool and beside function')
      assert.equal(await get(imported.options({ runtimeEnv }).remote('beside')), 'beside')
      writeFileSync(join(workingDir, 'data.txt'), 'changed')
      const again = await get(where.options({ runtimeEnv: { ...runtimeEnv, envVars: { X: '1' } } }).remote())
      assert.equal(again.cwd, cwd, 'it is copied once a session')
      assert.equal(readFileSync(join(cwd, 'data.txt'), 'utf8'), 'as it was')
    })

    test('two directories with the same content share a copy', async () => {
      const [one, two] = [tree({ 'a.txt': 'same' }), tree({ 'a.txt': 'same' })]
      const cwds = [one, two].map(workingDir => get(where.options({ runtimeEnv: { workingDir } }).remote()))
      const [first, second] = await Promise.all(cwds)
      assert.equal(first?.cwd, second?.cwd)
      assert.notEqual(first?.pid, second?.pid)
    })

    test('code of the driver that lies in workingDir is taken from the copy', async () => {
      const workingDir = tree({
        'main.mjs': 'import { name } from "./name.mjs"\nexport const here = () => [name, import.meta.dirname]',
        'name.mjs': 'export const name = "copied"',
      })
      const { here } = (await import(join(workingDir, 'main.mjs'))) as { here: () => string[] }
      assert.deepEqual(await get(remote(here).remote()), ['copied', workingDir])
      const [name, directory] = await get(remote(here, { runtimeEnv: { workingDir } }).remote())
      assert.equal(name, 'copied')
      assert.ok(directory?.startsWith(sessionDir), directory)
    })

    test('npm: packages are installed once, and found by import and require before those of the driver', async () => {
      const first = packageOf('eagleray-test-package', '1.0.0', 'module.exports = require("eagleray-test-inner") + " 1"')
      const inner = packageOf('eagleray-test-inner', '1.0.0', 'module.exports = "inner"')
      const runtimeEnv = { npm: [first, `file:${inner}`] }
      assert.equal(await get(imported.options({ runtimeEnv }).remote('eagleray-test-package')), 'inner 1')
      assert.equal(await get(required.options({ runtimeEnv }).remote('eagleray-test-package')), 'inner 1')
      rmSync(first, { recursive: true })
      const other = { ...runtimeEnv, envVars: { X: '1' } }
      assert.equal(await get(imported.options({ runtimeEnv: other }).remote('eagleray-test-package')), 'inner 1', 'installed once')
      await assert.rejects(get(imported.remote('eagleray-test-package')), /Cannot find package/)
      const acorn = packageOf('acorn', '0.0.1', 'module.exports = "not the driver’s"')
      assert.equal(await get(imported.options({ runtimeEnv: { npm: { packages: [acorn] } } }).remote('acorn')), 'not the driver’s')
    })
  })

  suite('processes', () => {
    test('the same environment reuses its process, another never does', async () => {
      const pidIn = async (runtimeEnv?: RuntimeEnv) =>
        (await get(where.options(runtimeEnv === undefined ? {} : { runtimeEnv }).remote())).pid
      const env = (value: string): RuntimeEnv => ({ envVars: { EAGLERAY_TEST_REUSE: value, EAGLERAY_TEST_OTHER: '1' } })
      const first = await pidIn(env('a'))
      assert.equal(await pidIn({ envVars: { EAGLERAY_TEST_OTHER: '1', EAGLERAY_TEST_REUSE: 'a' } }), first)
      const others = [await pidIn(env('b')), await pidIn(), await pidIn({}), await pidIn({ envVars: {} })]
      assert.ok(!others.includes(first))
      assert.equal(await pidIn(env('a')), first)
    })

    test('an actor has its own, for itself and its calls', async () => {
      const Actor = remote(
        class {
          read(): string | null {
            return process.env.EAGLERAY_TEST_ACTOR ?? null
          }
        },
        { runtimeEnv: { envVars: { EAGLERAY_TEST_ACTOR: 'one' } } },
      )
      const one = Actor.remote()
      const two = Actor.options({ runtimeEnv: { envVars: { EAGLERAY_TEST_ACTOR: 'two' } } }).remote()
      assert.deepEqual(await get([one.read.remote(), two.read.remote()]), ['one', 'two'])
    })
  })

  suite('inheritance', () => {
    test('children run in the environment of who submits them, and override it field by field', async () => {
      const child = remote(() => [process.env.EAGLERAY_TEST_A, process.env.EAGLERAY_TEST_B, process.cwd()])
      const parent = remote(async () => {
        const own = { runtimeEnv: { envVars: { EAGLERAY_TEST_B: '${EAGLERAY_TEST_B}+child' } } }
        return get([child.remote(), child.options(own).remote()])
      })
      const workingDir = tree({ 'a.txt': 'inherited' })
      const runtimeEnv = { workingDir, envVars: { EAGLERAY_TEST_A: 'a', EAGLERAY_TEST_B: 'b' } }
      const [same, changed] = await get(parent.options({ runtimeEnv }).remote())
      assert.deepEqual(same?.slice(0, 2), ['a', 'b'])
      assert.deepEqual(changed?.slice(0, 2), ['a', 'b+child'])
      assert.equal(same?.[2], changed?.[2])
      assert.notEqual(same?.[2], process.cwd())
    })

    test('tasks that an actor submits inherit the actor’s', async () => {
      const Actor = remote(
        class {
          read(): Promise<string | null> {
            return get(variable.remote('EAGLERAY_TEST_FROM_ACTOR'))
          }
        },
      )
      const actor = Actor.options({ runtimeEnv: { envVars: { EAGLERAY_TEST_FROM_ACTOR: 'yes' } } }).remote()
      assert.equal(await get(actor.read.remote()), 'yes')
    })
  })

  suite('failures', () => {
    test('a workingDir that is not there, or no directory', async () => {
      const missing = scratchPath()
      await fails(
        { workingDir: missing },
        /runtimeEnv\.workingDir: there is no directory/,
        new RegExp(missing),
        /Correct runtimeEnv\.workingDir/,
      )
      await fails({ workingDir: join(tree({ file: '' }), 'file') }, /is no directory/)
    })

    test('a preload that is not found, that throws, and that ends the process', async () => {
      const workingDir = tree({
        'throws.mjs': 'function deep() { throw new TypeError("boom") }\ndeep()',
        'ends.mjs': 'console.error("last words"); process.exit(3)',
        'early.mjs': 'import { put } from "eagleray"; put(1)',
      })
      await fails({ workingDir, preload: ['./none.mjs'] }, /runtimeEnv\.preload: \.\/none\.mjs could not be imported/, /Cannot find module/)
      await fails({ preload: ['no-such-package'] }, /runtimeEnv\.preload: no-such-package/)
      await fails({ workingDir, preload: ['./throws.mjs'] }, /TypeError: boom\n.*at deep .*throws\.mjs:1/)
      await fails({ workingDir, preload: ['./ends.mjs'] }, /runtimeEnv\.preload: .*exit code 3.*\nlast words/)
      await fails({ workingDir, preload: ['./early.mjs'] }, /use the API in tasks and actors/)
    })

    test('a flag that node does not know', async () => {
      await fails({ nodeOptions: ['--no-such-flag'] }, /runtimeEnv\.nodeOptions: .*exit code 9.*\n.*bad option: --no-such-flag/)
    })

    test('an npm package that is not there: npm’s own words, and a second attempt that works', async () => {
      const path = scratchPath()
      const env = { npm: [`file:${path}`] }
      await fails(env, /runtimeEnv\.npm: npm install file:.* failed/, /npm error/)
      mkdirSync(path)
      writeFileSync(join(path, 'package.json'), '{ "name": "eagleray-test-late", "version": "1.0.0", "main": "index.cjs" }')
      writeFileSync(join(path, 'index.cjs'), 'module.exports = "late"')
      assert.equal(await get(imported.options({ runtimeEnv: env }).remote('eagleray-test-late')), 'late')
    })

    test('all who wait fail together, an actor too, and others go on', async () => {
      const runtimeEnv = { workingDir: scratchPath() }
      const refs = Array.from({ length: 10 }, () => where.options({ runtimeEnv }).remote())
      const Actor = remote(
        class {
          call() {}
        },
        { runtimeEnv },
      )
      const actor = Actor.remote()
      const fine = where.remote()
      for (const ref of refs) await assert.rejects(get(ref), RuntimeEnvError)
      await assert.rejects(ready(actor), RuntimeEnvError)
      await assert.rejects(get(actor.call.remote()), /runtimeEnv\.workingDir/)
      assert.ok((await get(fine)).pid > 0)
    })

    test('wrong values are refused at the call', () => {
      assert.throws(() => remote(() => 1, { runtimeEnv: { envVars: { FOO: 3 as unknown as string } } }), /runtimeEnv\.envVars\.FOO/)
      assert.throws(() => where.options({ runtimeEnv: { pip: [] } as RuntimeEnv }), /runtimeEnv\.pip/)
      assert.throws(() => remote(class {}, { runtimeEnv: { npm: 'x' as unknown as string[] } }), /runtimeEnv\.npm/)
      assert.throws(() => where.options({ runtimeEnv: { excludes: ['x'] } }).remote(), /excludes/)
    })
  })
})

suite('runtime environments under way', () => {
  suiteTeardown(end)

  test('explain tells that a task, or an actor’s call, waits for its environment', async () => {
    const { sessionDir } = await begin()
    const slow = tree({
      'package.json': JSON.stringify({
        name: 'eagleray-test-slow',
        version: '1.0.0',
        scripts: { install: 'while [ ! -e go ]; do sleep 0.05; done' },
      }),
    })
    const runtimeEnv = { npm: [slow] }
    const ref = where.options({ runtimeEnv, name: 'patient' }).remote()
    const Actor = remote(
      class Patient {
        call() {}
      },
      { runtimeEnv },
    )
    const actor = Actor.remote()
    const call = actor.call.remote()
    const task = await waitFor(() => waiting(ref))
    assert.match(task.reason, /^patient waits for its runtime environment: npm packages .* being set up/)
    const ofCall = await waitFor(() => waiting(call))
    assert.match(ofCall.reason, /^the actor Patient waits for its runtime environment/)
    const installing = await waitFor(() => {
      const { pid } =
        sessionTraces()
          .processes()
          .find(each => each.command.startsWith('sleep')) ?? {}
      return pid === undefined ? null : sessionTraces().processes()
    })
    await shutdown()
    await assert.rejects(get(ref))
    await sessionTraces().gone()
    assert.ok(!existsSync(sessionDir))
    for (const { pid } of installing) assert.ok(!isAlive(pid))
  })
})
