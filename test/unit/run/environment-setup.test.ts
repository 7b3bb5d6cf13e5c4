// SPDX-License-Identifier: Apache-2.0
// biome-ignore-all lint/suspicious/noTemplateCurlyInString: such texts are what is tested

import assert from 'node:assert/strict'
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Command, Exit } from '#lib/io/processes.js'
import type { DaemonSettings, WorkerSettings } from '#lib/run/daemon-settings.js'
import { EnvironmentSetup, NOTHING } from '#lib/run/environment-setup.js'
import { type ModulePlaces, ownFile, searchFor } from '#lib/run/module-places.js'
import { SetupFailure } from '#lib/run/setup-failure.js'
import { workerCommand } from '#lib/run/worker-command.js'
import { environmentOf, jobOf, workerIdOf } from '../../fakes/cluster.js'

const fine: Exit = { exitCode: 0, signal: null, stderrTail: '' }

suite('setting up environments', () => {
  let top = ''
  let commands: { command: Command; end: (exit: Exit) => void }[] = []
  let changed: () => void = () => {}
  setup(() => {
    top = mkdtempSync(join(tmpdir(), 'environment-setup-'))
    commands = []
  })
  teardown(() => rmSync(top, { recursive: true, force: true }))

  const setUp = (): EnvironmentSetup =>
    new EnvironmentSetup({
      directory: join(top, 'environments'),
      env: { PATH: '/bin', EAGLERAY_DAEMON: 'secret' },
      start: command => ({
        ended: new Promise(end => {
          commands.push({ command, end })
          changed()
        }),
        kill: () => {},
      }),
    })
  const started = (count: number): Promise<void> =>
    new Promise(resolve => {
      changed = () => commands.length >= count && resolve()
      changed()
    })

  test('packages are installed once for all environments that ask for the same', async () => {
    const environments = setUp()
    const [one, two] = [environmentOf('one', { packages: ['x', 'y'] }), environmentOf('two', { packages: ['x', 'y'], preload: ['x'] })]
    const both = [environments.setUp(one), environments.setUp(two)]
    await started(1)
    const { command, end } = commands[0]!
    assert.deepEqual([command.program, command.args[0], command.args.slice(-3)], ['npm', 'install', ['--', 'x', 'y']])
    assert.equal(command.env.EAGLERAY_DAEMON, undefined)
    assert.match(command.env.PATH ?? '', /^\/bin:/)
    assert.equal(environments.place(one), NOTHING)
    end(fine)
    await Promise.all(both)
    assert.equal(commands.length, 1)
    assert.equal(environments.place(one).packages, command.cwd)
    assert.deepEqual(environments.place(two), environments.place(one))
    assert.equal(environments.place(null), NOTHING)
  })

  test('another registry is another installation', async () => {
    const environments = setUp()
    const done = ['https://a.example', 'https://b.example'].map(registry =>
      environments.setUp(environmentOf(registry, { packages: ['x'], registry })),
    )
    await started(2)
    assert.ok(commands[1]?.command.args.includes('--registry=https://b.example'))
    for (const { end } of commands) end(fine)
    await Promise.all(done)
  })

  test('a failed installation leaves nothing, gives npm’s last words, and is tried again', async () => {
    const environments = setUp()
    const environment = environmentOf('one', { packages: ['x'] })
    const first = environments.setUp(environment)
    await started(1)
    commands[0]?.end({ exitCode: 1, signal: null, stderrTail: 'npm error code E404' })
    await assert.rejects(first, (error: SetupFailure) => {
      assert.ok(error instanceof SetupFailure && error.field === 'runtimeEnv.npm')
      assert.match(error.message, /^npm install x failed \(exit code 1\):\nnpm error code E404/)
      return true
    })
    assert.ok(!existsSync(commands[0]?.command.cwd ?? ''))
    const second = environments.setUp(environment)
    await started(2)
    commands[1]?.end(fine)
    await second
    assert.equal(environments.place(environment).packages, commands[1]?.command.cwd)
  })

  test('a directory that appears later is copied then', async () => {
    const environments = setUp()
    const workingDir = join(top, 'late')
    const environment = environmentOf('one', { workingDir })
    await assert.rejects(environments.setUp(environment), SetupFailure)
    rmSync(workingDir, { force: true })
    writeFileSync(join(top, 'other'), '')
    await environments.setUp(environmentOf('two', { workingDir: top, excludes: ['environments'] }))
    assert.ok(existsSync(join(environments.place(environmentOf('two')).copy ?? '', 'other')))
  })
})

suite('the command of a worker', () => {
  const settings = { extraCaCerts: null } as unknown as DaemonSettings
  const job = { ...jobOf(workerIdOf(1)), execArgv: ['--flag'], nodeOptions: '--driver', cwd: '/usr' }
  const commandOf = (more: Parameters<typeof environmentOf>[1], of = job): Command =>
    workerCommand(settings, { environment: environmentOf('e', more), place: NOTHING, job: of } as unknown as WorkerSettings, {
      PATH: '/bin',
      EAGLERAY_DAEMON: 'secret',
    })

  test('variables are expanded from those without the environment, not from each other', () => {
    const { env } = commandOf({ envVars: { PATH: '/x:${PATH}', COPY: '${PATH}', NODE_OPTIONS: '${NODE_OPTIONS} --more', GONE: '${GONE}' } })
    assert.deepEqual([env.PATH, env.COPY, env.NODE_OPTIONS, env.GONE], ['/x:/bin', '/bin', '--driver --more', ''])
    assert.equal(env.EAGLERAY_DAEMON, undefined)
  })

  test('flags follow those of the driver, before the program; it starts where the driver is', () => {
    const { args, cwd } = commandOf({ nodeOptions: ['--own'], workingDir: '/w' })
    assert.deepEqual(args.slice(0, 2), ['--flag', '--own'])
    assert.equal(args.length, 3)
    assert.equal(cwd, '/usr')
  })

  test('where there is no such directory as the driver’s, it starts where the daemon is', () => {
    assert.equal(commandOf({}, { ...job, cwd: '/of/another/machine' }).cwd, process.cwd())
  })
})

suite('where modules are looked for', () => {
  const places: ModulePlaces = { packages: '/e/npm', copy: '/e/dir', source: '/s', driver: '/d', own: 'file:///own/' }

  test('by code of the user: the environment first, then Node’s way, then what is left', () => {
    assert.deepEqual(searchFor('x', '/d/program.mjs', places), { before: ['/e/npm', '/e/dir'], after: ['/s', '/d'] })
    assert.deepEqual(searchFor('@a/x', '/e/dir/lib/tool.mjs', places), { before: ['/e/npm'], after: ['/e/dir', '/s', '/d'] })
    assert.deepEqual(searchFor('x', null, { ...places, packages: null }), { before: ['/e/dir'], after: ['/s', '/d'] })
  })

  test('by installed packages: Node’s way first', () => {
    assert.deepEqual(searchFor('x', '/d/node_modules/y/index.js', places)?.before, [])
  })

  test('paths, URLs and built-in modules are none of ours; this package is always the one that runs', () => {
    for (const specifier of ['./x', '/x', '#x', 'file:///x', 'node:fs', 'fs', 'data:text/javascript,0'])
      assert.equal(searchFor(specifier, '/d/program.mjs', places), null, specifier)
    assert.equal(ownFile('eagleray', places), 'file:///own/index.js')
    assert.equal(ownFile('eagleray/store', places), 'file:///own/store.js')
    assert.equal(ownFile('eagleray-other', places), null)
  })
})
