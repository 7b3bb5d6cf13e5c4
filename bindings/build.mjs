// SPDX-License-Identifier: Apache-2.0
// Builds the addon with node-gyp from npm packages alone. node-gyp would download Node's headers; an addon that uses only
// Node-API needs no more than those of `node-api-headers`, so they are laid out the way node-gyp expects of `--nodedir`.
// Usage: node bindings/build.mjs [--debug] [further arguments of node-gyp]

import { spawnSync } from 'node:child_process'
import { cpSync, mkdirSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { availableParallelism } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

const require = createRequire(import.meta.url)
const root = fileURLToPath(new URL('..', import.meta.url))

/** What node-gyp reads from a copy of Node's headers, beside the headers. The flags that matter stand in binding.gyp. */
const commonGypi = {
  variables: { 'node_engine%': 'v8', 'openssl_fips%': '', 'v8_enable_i18n_support%': 1, 'visibility%': 'hidden' },
  target_defaults: {
    default_configuration: 'Release',
    configurations: {
      Release: { cflags: ['-O3'], defines: ['NDEBUG'] },
      Debug: { cflags: ['-g', '-O0'], defines: ['DEBUG'] },
    },
    cflags: ['-fPIC', '-pthread', '-Wall', '-Wextra', '-Wno-unused-parameter'],
    ldflags: ['-pthread'],
  },
}

function layOutHeaders() {
  const nodedir = join(root, 'build', 'node-headers')
  const include = join(nodedir, 'include', 'node')
  mkdirSync(include, { recursive: true })
  cpSync(require('node-api-headers').include_dir, include, { recursive: true })
  writeFileSync(join(include, 'common.gypi'), JSON.stringify(commonGypi))
  writeFileSync(join(include, 'config.gypi'), JSON.stringify({ target_defaults: {}, variables: {} }))
  const [major, minor, patch] = process.versions.node.split('.')
  const version = { NODE_MAJOR_VERSION: major, NODE_MINOR_VERSION: minor, NODE_PATCH_VERSION: patch }
  writeFileSync(
    join(include, 'node_version.h'),
    Object.entries(version)
      .map(([name, value]) => `#define ${name} ${value}\n`)
      .join(''),
  )
  return nodedir
}

function missingTools() {
  const tools = [
    ['python3', 'python3'],
    ['make', 'make'],
    [process.env.CXX?.split(' ')[0] || 'g++', 'g++'],
  ]
  return tools.filter(([command]) => spawnSync(command, ['--version']).error).map(([, name]) => name)
}

function build(args) {
  const missing = missingTools()
  if (missing.length > 0) {
    console.error(
      `eagleray: building the native addon needs ${missing.join(', ')}, which could not be run.\n` +
        `Debian and Ubuntu: apt-get install ${missing.join(' ')}\n` +
        'Fedora: dnf install python3 make gcc-c++     Alpine: apk add python3 make g++',
    )
    return 1
  }
  const nodeGyp = require.resolve('node-gyp/bin/node-gyp.js')
  const jobs = `--jobs=${availableParallelism()}`
  const result = spawnSync(
    process.execPath,
    [nodeGyp, 'configure', 'build', `--nodedir=${layOutHeaders()}`, jobs, '--loglevel=warn', ...args],
    {
      cwd: root,
      stdio: 'inherit',
    },
  )
  if (result.status !== 0) {
    console.error('eagleray: the native addon did not build; the compiler said why above. It needs C++20: g++ 11 or clang++ 14 at least.')
  }
  return result.status ?? 1
}

process.exitCode = build(process.argv.slice(2))
