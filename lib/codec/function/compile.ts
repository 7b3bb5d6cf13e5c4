// SPDX-License-Identifier: Apache-2.0
// Compiles the functions that came from one module, in one script, so that they share the module's variables:
//
//   (function __eagleray_module($importMeta) { let a, b, …            the module's variables
//     const __eagleray_fill = env => { ({ a, b } = env) }
//     return [__eagleray_fill, [
//       (() => { let x, …; return [() => (function f() { … }), env => { ({ x } = env) }] })(),    one for each function
//     ]] })
//
// Functions and classes are only created when asked for, because a class may need its variables then. The script has the
// module's name, and each text is put on the line where the user wrote it, so stack traces read as if nothing had
// happened, and `import()` resolves from there.

import type { FunctionRecord } from './bundle.js'
import { GENERATED_MODULE, ModuleFacts } from './module-facts.js'
import { fileOf } from './module-files.js'
import { IMPORT_META } from './parse.js'
import { scriptThatImports } from './script-imports.js'
import { rememberGenerated } from './scripts.js'

type Environment = Record<string, unknown>

export interface CompiledFunction {
  create(): Function
  /** Sets the variables between the function and its module. */
  fill(environment: Environment): void
}

export interface CompiledModule {
  /** Sets the module's variables. */
  fill(environment: Environment): void
  /** In the order of the records given. */
  functions: CompiledFunction[]
}

export interface ModuleCode {
  /** Where the module is in this process. */
  url: string
  esm: boolean
  strict: boolean
  variables: string[]
  functions: FunctionRecord[]
}

const FILL = '__eagleray_fill'
const ENV = '__eagleray_env'

export function compileModule(module: ModuleCode, importMeta: object): CompiledModule {
  const order = module.functions.map((_, i) => i).sort((a, b) => module.functions[a]!.line - module.functions[b]!.line)
  const firstLine = order.length > 0 ? module.functions[order[0]!]!.line : 0
  const { code, start } = sourceOf(module, order, firstLine)
  const script = scriptThatImports(code, {
    filename: module.esm ? module.url || 'eagleray:function' : (fileOf(module.url) ?? (module.url || 'eagleray:function')),
    lineOffset: firstLine - start,
  })
  const run = script.runInThisContext() as (meta: object) => [CompiledModule['fill'], [() => unknown, CompiledFunction['fill']][]]
  const [fill, made] = run.call(module.esm ? undefined : {}, importMeta)
  rememberGenerated(fill, new ModuleFacts(module.url, code, false, true, firstLine - start))
  const functions: CompiledFunction[] = []
  order.forEach((original, i) => {
    const [create, fillLocals] = made[i]!
    const member = module.functions[original]!.form === 'member'
    functions[original] = { create: () => (member ? memberOf(create() as object) : (create() as Function)), fill: fillLocals }
  })
  return { fill, functions }
}

/** `start` is the line of the code on which the first function's line begins. */
function sourceOf(module: ModuleCode, order: number[], firstLine: number): { code: string; start: number } {
  const directive = module.strict ? "'use strict';" : ''
  // The function refers to itself so that it lives as long as anything that was created in the script.
  const fill = `const ${FILL} = ${ENV} => { ${FILL}; ${assignment(module.variables)} };`
  let code = `(function ${GENERATED_MODULE}(${IMPORT_META}) {${directive}${declaration(module.variables)}${fill} return [${FILL}, [\n`
  let line = firstLine
  let column = 0
  const write = (text: string): void => {
    code += text
    const breaks = text.split('\n')
    line += breaks.length - 1
    column = breaks.length > 1 ? breaks.at(-1)!.length : column + text.length
  }
  for (const i of order) {
    const { text, form, locals, line: wantedLine, column: wantedColumn } = module.functions[i]!
    const names = locals.map(([name]) => name)
    const opening = `(() => {${declaration(names)} return [() => (${form === 'member' ? '{' : ''}`
    if (line < wantedLine) write('\n'.repeat(wantedLine - line))
    write(' '.repeat(Math.max(0, wantedColumn - column - opening.length)))
    write(opening)
    write(text)
    write(`${form === 'member' ? '}' : ''}), ${ENV} => { ${assignment(names)} }] })(),`)
  }
  return { code: `${code}]]})`, start: 1 }
}

function declaration(names: string[]): string {
  return names.length > 0 ? `let ${names.join(', ')};` : ''
}

function assignment(names: string[]): string {
  return names.length > 0 ? `({ ${names.join(', ')} } = ${ENV});` : ''
}

/** A method, getter or setter out of the object literal it stands in. */
function memberOf(holder: object): Function {
  const descriptor = Object.getOwnPropertyDescriptors(holder) as Record<string, PropertyDescriptor>
  const { value, get, set } = Object.values(descriptor)[0]!
  return (value ?? get ?? set) as Function
}
