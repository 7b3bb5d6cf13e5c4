// SPDX-License-Identifier: Apache-2.0
// Scripts compiled at run time in which `import()` works as in a file of their name.

import vm from 'node:vm'

const importModuleDynamically = vm.constants.USE_MAIN_CONTEXT_DEFAULT_LOADER
let silenced = false

export function scriptThatImports(code: string, options: { filename: string; lineOffset?: number }): vm.Script {
  if (!silenced) silenceWarning()
  return new vm.Script(code, { ...options, importModuleDynamically })
}

/** The loader says once that this is experimental. The user did not choose it, so the first use is one that nobody hears. */
function silenceWarning(): void {
  silenced = true
  const { emitWarning } = process
  process.emitWarning = () => undefined
  try {
    new vm.Script("() => import('node:path')", { importModuleDynamically }).runInThisContext()()
  } finally {
    process.emitWarning = emitWarning
  }
}
