// SPDX-License-Identifier: Apache-2.0
// What the driver decides before it starts the daemon.
import assert from 'node:assert/strict'
import { STEPS } from '#lib/core/resources.js'
import { workerFlags, workerNodeOptions } from '#lib/run/job.js'
import { nodeResources } from '#lib/run/node-resources.js'

suite('resources of a node', () => {
  test('what the user says', () => {
    const { total, gpuIds } = nodeResources(
      { numCpus: 2.5, numGpus: 2, memoryBytes: 1000, resources: { disk: 0.5 }, objectStoreBytes: 500 },
      {},
    )
    assert.deepEqual(total, { CPU: 2.5 * STEPS, GPU: 2 * STEPS, memory: 1000, objectStoreMemory: 500, disk: 0.5 * STEPS })
    assert.deepEqual(gpuIds, ['0', '1'])
  })

  test('what the machine has', () => {
    const { total } = nodeResources({}, {})
    assert.ok((total.CPU ?? 0) >= STEPS && (total.memory ?? 0) > 0)
  })

  test('visible GPUs give their ids, UUIDs too, and an end at the first that is none', () => {
    const ids = (CUDA_VISIBLE_DEVICES: string, numGpus?: number) => nodeResources({ numGpus }, { CUDA_VISIBLE_DEVICES }).gpuIds
    assert.deepEqual(ids('GPU-8932f937, MIG-1'), ['GPU-8932f937', 'MIG-1'])
    assert.deepEqual(ids('3,1', 1), ['3'])
    assert.deepEqual(ids(''), [])
    assert.deepEqual(ids('0,-1,2'), ['0'])
    assert.deepEqual(ids('0', 0), [])
  })

  test('wrong figures are refused before anything starts', () => {
    assert.throws(() => nodeResources({ numGpus: 2 }, { CUDA_VISIBLE_DEVICES: '0' }), {
      name: 'RangeError',
      message: /numGpus is 2, and CUDA_VISIBLE_DEVICES="0" names 1/,
    })
    assert.throws(() => nodeResources({ numGpus: 0.5 }, {}), RangeError)
    assert.throws(() => nodeResources({ numCpus: -1 }, {}), RangeError)
    // An integer in messages, where it has to be exact.
    assert.throws(() => nodeResources({ resources: { disk: 1e12 } }, {}), { name: 'RangeError', message: /900719925474/ })
    assert.throws(() => nodeResources({ memoryBytes: 2 ** 60 }, {}), RangeError)
    assert.throws(() => nodeResources({ resources: { disk: Number.NaN } }, {}), RangeError)
    assert.throws(() => nodeResources({ resources: { GPU: 1 } }, {}), RangeError)
  })
})

suite('flags of the workers', () => {
  test('loaders and conditions travel; what evaluates, watches, tests or debugs does not', () => {
    const flags = [
      '--import',
      'tsx',
      '-C',
      'dev',
      '--eval',
      'code()',
      '--inspect-brk=9229',
      '--watch',
      '--watch-path',
      'lib',
      '--test',
      '--input-type=module',
      '--input-type',
      'module',
      '--expose-gc',
      '-p',
      '1',
      '--enable-source-maps',
    ]
    assert.deepEqual(workerFlags(flags), ['--import', 'tsx', '-C', 'dev', '--expose-gc', '--enable-source-maps'])
  })

  test('NODE_OPTIONS likewise, but left alone where it has quotes', () => {
    assert.deepEqual(workerNodeOptions('--inspect  --max-old-space-size=100'), { text: '--max-old-space-size=100', loaders: [] })
    assert.deepEqual(workerNodeOptions('--import tsx --max-old-space-size=100'), { text: '--max-old-space-size=100', loaders: ['tsx'] })
    const quoted = '--require "./a b.js" --inspect'
    assert.deepEqual(workerNodeOptions(quoted), { text: quoted, loaders: [] })
  })
})
