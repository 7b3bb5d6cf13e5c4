// SPDX-License-Identifier: Apache-2.0
// What `excludes` of a runtime environment leaves out, in the manner of .gitignore.
//
//   *.log      in any directory        build/     directories only        **/tmp/*    `**`: any number of directories
//   /data      at the top only         a/b.txt    with a slash inside: from the top      `*`, `?`: not across slashes

/** Tells whether a path (with `/`, from the top) is left out. A directory that is left out is not entered. */
export type Excluder = (path: string, isDirectory: boolean) => boolean

export function excluder(patterns: readonly string[]): Excluder {
  const rules = patterns.map(pattern => {
    const directoriesOnly = pattern.endsWith('/')
    const body = pattern.replace(/^\.?\//, '').replace(/\/+$/, '')
    const fromTop = pattern.startsWith('/') || pattern.startsWith('./') || body.includes('/')
    return { directoriesOnly, matches: new RegExp(`^${fromTop ? '' : '(?:.*/)?'}${translate(body)}$`) }
  })
  return (path, isDirectory) => rules.some(rule => (isDirectory || !rule.directoriesOnly) && rule.matches.test(path))
}

function translate(pattern: string): string {
  return pattern.replace(/\*\*\/|\*\*|\*|\?|[\\^$+.()|[\]{}]/g, token => {
    switch (token) {
      case '**/':
        return '(?:.*/)?'
      case '**':
        return '.*'
      case '*':
        return '[^/]*'
      case '?':
        return '[^/]'
      default:
        return `\\${token}`
    }
  })
}
