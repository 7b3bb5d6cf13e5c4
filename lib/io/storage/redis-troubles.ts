// SPDX-License-Identifier: Apache-2.0
// What is the matter with a Redis that does not do as it should, by what it or the connection says, and what to do about it.

export interface Trouble {
  /** Time does not mend it. */
  readonly isPermanent: boolean
  readonly advice: string
}

const PERMANENT: readonly (readonly [RegExp, string])[] = [
  [/^NOAUTH/, 'it wants a password: redis://user:password@host:port'],
  [/^WRONGPASS|invalid password|^ERR AUTH/, 'it knows another user or password. Special characters of either stand in the address as %XX'],
  [/^NOPERM/, 'its user may not do what is needed: GET, MGET, SET, DEL, SCAN and EVAL of keys eagleray:*'],
  [/^ERR DB index/, 'it has fewer databases: name another number behind the slash'],
  [/^(MOVED|CROSSSLOT|CLUSTERDOWN)/, 'it is one of a Redis Cluster, which spreads the keys over servers: name a server that has all'],
  [/Unknown RESP type/, 'what listens there is no Redis: look at host and port'],
  [/wrong version number|packet length too long/, 'what listens there does not speak TLS: redis:// in place of rediss://'],
  [
    /certificate|altnames|CERT_/i,
    'its certificate is not trusted here. NODE_EXTRA_CA_CERTS=FILE.pem in the environment of `eagleray start` names who signed it',
  ],
]

const PASSING: readonly (readonly [RegExp, string])[] = [
  [/ECONNREFUSED/, 'nothing listens there. Is it started, and is that its port?'],
  [/ENOTFOUND|EAI_AGAIN/, 'no machine of that name is known here'],
  [/EHOSTUNREACH|ENETUNREACH|ETIMEDOUT/, 'the machine is not reached: it is away, or a firewall is between'],
  [/^Connection timeout/, 'nobody answers. The machine is away, a firewall is between, or rediss:// is used and it does not speak TLS'],
  [/ECONNRESET|Socket closed|EPIPE/, 'it closes the connection: it ends, or wants TLS (rediss://), or is no Redis'],
  [/^READONLY/, 'it is a replica, and takes no writes: name the primary'],
  [/^LOADING/, 'it reads its data still'],
  [/^(MISCONF|OOM)/, 'it takes no writes: its log tells why'],
  [/^$/, 'it takes the connection and says nothing: it hangs, is no Redis, or (with rediss://) does not speak TLS'],
]

export function troubleOf(message: string): Trouble {
  const matching = ([pattern]: readonly [RegExp, string]): boolean => pattern.test(message)
  const permanent = PERMANENT.find(matching)
  if (permanent !== undefined) return { isPermanent: true, advice: permanent[1] }
  return { isPermanent: false, advice: PASSING.find(matching)?.[1] ?? 'what it says is all that is known' }
}

/** What it said, in one short line, and what to do. */
export function describeTrouble(message: string): string {
  const said = (message.split('\n')[0] as string).trim()
  const short = said.length > 100 ? `${said.slice(0, 100)}…` : said
  return `${short === '' ? 'silence' : short}: ${troubleOf(message).advice}`
}
