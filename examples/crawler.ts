// SPDX-License-Identifier: Apache-2.0
// A crawler: fetch a page, follow its links, until nothing new turns up. What to fetch next depends on what came back, so
// it is a loop around `wait`: take whichever pages are ready, hand out the links they name, and go on.
//
// The site is a small web server in this process, so the example needs no network.

import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { get, type ObjectRef, remote, shutdown, wait } from 'eagleray'

const PAGES = 60
const IN_FLIGHT_MAX = 8

interface Page {
  path: string
  words: number
  links: string[]
}

/** Page n links to 2n+1 and 2n+2 (where they exist) and back to the start. */
const site = createServer((request, response) => {
  const n = Number(request.url!.slice('/page/'.length))
  const links = [2 * n + 1, 2 * n + 2, 0].filter(target => target < PAGES)
  response.end(`<p>${'word '.repeat(n + 1)}</p>${links.map(target => `<a href="/page/${target}">next</a>`).join('')}`)
})
await new Promise<void>(resolve => site.listen(0, '127.0.0.1', resolve))
const origin = `http://127.0.0.1:${(site.address() as AddressInfo).port}`

// Fetching mostly waits, so a task asks for a tenth of a CPU and ten of them share one.
const visit = remote(
  async function visit(base: string, path: string): Promise<Page> {
    const html = await (await fetch(base + path)).text()
    const links = Array.from(html.matchAll(/href="([^"]+)"/g), match => match[1]!)
    const text = html.replace(/<a .*/, '').replace(/<[^>]+>/g, ' ')
    return { path, words: text.split(/\s+/).filter(word => word !== '').length, links }
  },
  { numCpus: 0.1 },
)

const known = new Set(['/page/0'])
const frontier = ['/page/0']
const pages: Page[] = []
let pending: ObjectRef<Page>[] = []

while (frontier.length > 0 || pending.length > 0) {
  while (frontier.length > 0 && pending.length < IN_FLIGHT_MAX) pending.push(visit.remote(origin, frontier.shift()!))
  const [ready, rest] = await wait(pending, { numReturns: 1 }) // the first to come, whichever it is
  pending = rest
  for (const page of await get(ready)) {
    pages.push(page)
    for (const link of page.links.filter(path => !known.has(path))) {
      known.add(link)
      frontier.push(link)
    }
  }
}

console.log(
  `${pages.length} pages, ${pages.reduce((sum, page) => sum + page.links.length, 0)} links, ${pages.reduce((sum, page) => sum + page.words, 0)} words`,
)

await shutdown()
site.closeAllConnections()
site.close()
