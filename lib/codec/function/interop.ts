// SPDX-License-Identifier: Apache-2.0
// What compilers do to a `require`d module before they let ES module code see it. The results behave as those of
// esbuild's __toESM and TypeScript's __importStar and __importDefault.

import type { Interop } from './module-bindings.js'

export function toEsm(exports: unknown, interop: Interop): unknown {
  switch (interop) {
    case 'toESM':
      return namespaceOf(exports, !isEsModule(exports))
    case 'toESMNode':
      return namespaceOf(exports, true)
    case 'star':
      return isEsModule(exports) ? exports : namespaceOf(exports, true)
    case 'default':
      return isEsModule(exports) ? exports : { default: exports }
    case null:
      return exports
  }
}

function isEsModule(exports: unknown): boolean {
  return exports !== null && exports !== undefined && Boolean((exports as { __esModule?: unknown }).__esModule)
}

/** Live views of the exports, with the whole as `default` where asked for. */
function namespaceOf(exports: unknown, whole: boolean): object {
  const isHolder = (typeof exports === 'object' && exports !== null) || typeof exports === 'function'
  const namespace: object = isHolder ? Object.create(Object.getPrototypeOf(exports)) : {}
  if (whole) Object.defineProperty(namespace, 'default', { value: exports, enumerable: true })
  if (!isHolder) return namespace
  for (const key of Object.getOwnPropertyNames(exports)) {
    if (Object.hasOwn(namespace, key)) continue
    const get = (): unknown => (exports as Record<string, unknown>)[key]
    Object.defineProperty(namespace, key, { get, enumerable: Object.getOwnPropertyDescriptor(exports, key)?.enumerable ?? true })
  }
  return namespace
}
