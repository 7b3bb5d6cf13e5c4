// SPDX-License-Identifier: Apache-2.0
// How addresses that nodes tell each other are spelled: tcp://host:port, with numbers of IPv6 in brackets.

export function endpoint(host: string, port: number | string): string {
  return `tcp://${host.includes(':') ? `[${host}]` : host}:${port}`
}

/** The port of `bound` at the host that others are told; without one, `bound` itself. */
export function advertisedEndpoint(bound: string, advertised: string | undefined): string {
  return advertised === undefined ? bound : endpoint(advertised, bound.slice(bound.lastIndexOf(':') + 1))
}
