// SPDX-License-Identifier: Apache-2.0
// Where the files of this package lie. The code runs either as compiled, one file for each module, in dist/ (unit tests
// do that), or as it is published, put together in dist/bundle/ because that starts in half the time
// (bindings/bundle.mjs). All files of the bundle lie beside each other.

const here = new URL('./', import.meta.url)
const isBundle = here.pathname.endsWith('/bundle/')

/** Of the code that runs here: its index.js, store.js and so on. A file: URL that ends with a slash. */
export const OWN_ENTRIES: string = here.href

/** All code of this package, bundled or not, lies below. A file: URL that ends with a slash. */
export const OWN_CODE: string = isBundle ? new URL('..', here).href : here.href

/** The package's root. A file: URL that ends with a slash. */
export const OWN_PACKAGE: string = new URL('..', OWN_CODE).href

const bundled = (program: string): URL => new URL(program, here)

/** URLs of the programs that belong to the code that runs here. */
export const WORKER_PROGRAM: URL = isBundle ? bundled('worker.js') : new URL('./run/worker.js', import.meta.url)
/** Registered as hooks of the module loader by workers whose runtime environment brings modules. */
export const MODULE_HOOKS: URL = isBundle ? bundled('module-hooks.js') : new URL('./run/module-hooks.js', import.meta.url)
export const NODE_PROGRAM: URL = isBundle ? bundled('node.js') : new URL('./run/node.js', import.meta.url)
export const HEAD_PROGRAM: URL = isBundle ? bundled('head.js') : new URL('./run/head.js', import.meta.url)
