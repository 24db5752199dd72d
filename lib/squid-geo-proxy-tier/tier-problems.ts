import { checkToken } from "../haproxy-keepalived-pair/health-check";
import { canonicalIp } from "../net";
import { memoryGiBOf } from "../platform/aws/instance-memory";
import { isToken, refuse, refuseToken, warn, type Problem } from "../problem";
import { checkCertificate } from "../secret/certificate";
import { checkSite, isCovered } from "./site";
import type { SquidGeoProxyTier } from "./squid-geo-proxy-tier";

/** Said of none, and of the setting that is missing. */
export const NO_SITES: Omit<Problem, "what"> = {
  code: "open-proxy",
  allowed: "the host names that are served: a proxy that asks for whatever it is told to is everybody's",
  fix: 'sites: [".example.net"]',
};

/** Values that are wrong on their own. */
export function checkTier(tier: SquidGeoProxyTier): void {
  const { props } = tier;
  const names = Object.keys(props.regions);
  if (!names.length) {
    refuse(tier, {
      code: "no-nodes",
      what: "no region",
      allowed: "one at least",
      fix: "regions: { NAME: { platform } }",
    });
  }
  for (const name of names) {
    if (/^[a-z][a-z0-9-]{0,20}$/i.test(name)) continue;
    refuse(tier, {
      code: "bad-name",
      what: `region '${name}'`,
      allowed: "letters, digits and dashes, at most 21, a letter first: part of its nodes' names",
      fix: "choose such a name",
    });
  }
  if (!props.sites.length) {
    refuse(tier, { what: "'sites' is empty", ...NO_SITES });
  }
  for (const site of props.sites) checkSite(tier, site);
  if (props.defaultSite !== undefined) checkDefaultSite(tier, props.defaultSite);
  for (const header of props.hideHeaders ?? []) checkHidden(tier, header);
  for (const who of ["managers", "purgers"] as const) {
    if (!props[who]?.some(({ cidrs }) => cidrs.some((network) => network.endsWith("/0")))) continue;
    refuse(tier, {
      code: "open-proxy",
      what: `'${who}' is everybody`,
      allowed: "networks of administrators",
      fix: `${who}: [Peer.cidr("10.0.0.5")]`,
    });
  }
  checkLines(tier);
  checkHttps(tier);
  checkPools(tier);
  checkCarp(tier);
  checkWarm(tier);
}

/** Squid's words for all headers, and headers without which nobody could read the rest. */
const NOT_HIDDEN = /^(all|other|connection|content-(encoding|length|type)|transfer-encoding)$/i;

function checkHidden(tier: SquidGeoProxyTier, header: string): void {
  checkToken(tier, "header", header);
  if (!NOT_HIDDEN.test(header)) return;
  refuse(tier, {
    code: "bad-name",
    what: `'hideHeaders' has '${header}'`,
    allowed: "headers that an answer can do without",
    fix: "name each of them: Server, X-Powered-By",
  });
}

/** What is fetched beforehand is what a visitor would ask for: the cache knows it by its whole URL. */
function checkWarm(tier: SquidGeoProxyTier): void {
  const { cache, sites, https } = tier.props;
  for (const text of cache?.warm ?? []) {
    refuseToken(tier, "cache.warm", text);
    const url = /^https?:\/\/[\x21-\x7e]+$/.test(text) && URL.canParse(text) ? new URL(text) : undefined;
    if (!url || url.username || url.password || url.hash) {
      return refuse(tier, {
        code: "bad-path",
        what: `'cache.warm' has '${text}'`,
        allowed: "whole URLs, percent-encoded, without a user and without #",
        fix: '"https://www.example.net/logo.png"',
      });
    }
    const scheme = url.protocol.slice(0, -1);
    const port = Number(url.port || { http: 80, https: 443 }[scheme]);
    const served = sites.some(
      (site) => site === url.hostname || (site.startsWith(".") && `.${url.hostname}`.endsWith(site)),
    );
    if (!served || tier.publicPorts[scheme] !== port) {
      refuse(tier, {
        code: "conflicting-setting",
        what: `'cache.warm' has '${text}'`,
        allowed: `the tier's sites (${sites.join(", ")}) on its ports: ${JSON.stringify(tier.publicPorts)}`,
        fix: "write it as a visitor does",
      });
    }
    if (scheme === "https" && https?.certificates.some(({ virtualIp }) => virtualIp !== undefined)) {
      refuse(tier, {
        code: "conflicting-setting",
        what: `'cache.warm' has '${text}', and certificates are for virtual IPs`,
        allowed: "one certificate on every address: a node without the address cannot ask itself by HTTPS",
        fix: "one certificate for all names, without 'virtualIp'",
      });
    }
  }
}

function checkDefaultSite(tier: SquidGeoProxyTier, name: string): void {
  checkSite(tier, name);
  const served = tier.props.sites.some(
    (site) => site === name || (site.startsWith(".") && `.${name}`.endsWith(site)),
  );
  if (served && !name.startsWith(".")) return;
  refuse(tier, {
    code: "conflicting-setting",
    what: `'defaultSite' is '${name}'`,
    allowed: `one host name of the sites: ${tier.props.sites.join(", ")}`,
    fix: "choose one, or leave it out for the first",
  });
}

function checkLines(tier: SquidGeoProxyTier): void {
  const wrong = tier.props.extraLines?.find((line) => /\p{Cc}/u.test(line.replaceAll("\t", "")));
  if (wrong === undefined) return;
  refuse(tier, {
    code: "bad-text",
    what: JSON.stringify(wrong),
    allowed: "one line each, without control characters",
    fix: "give several lines as several texts",
  });
}

function checkHttps(tier: SquidGeoProxyTier): void {
  const { https, httpPort } = tier.props;
  if (httpPort === false && !https) {
    refuse(tier, {
      code: "no-listener",
      what: "neither HTTP nor HTTPS",
      allowed: "one at least",
      fix: "leave 'httpPort' out, or give 'https'",
    });
  }
  if (https && !https.certificates.length) {
    refuse(tier, {
      code: "tls-without-certificate",
      what: "'https' has no certificate",
      allowed: "one at least, with its chain and its key as PEM",
      fix: "https: { certificates: [{ certificate: Secret.variable(...) }] }",
    });
  }
  for (const { certificate } of https?.certificates ?? []) checkCertificate(tier, certificate);
  if (
    https &&
    https.certificates.length > 1 &&
    https.certificates.some(({ virtualIp }) => virtualIp === undefined)
  ) {
    refuse(tier, {
      code: "one-certificate",
      what: `${https.certificates.length} certificates, and not each for virtual IPs of its own`,
      allowed:
        "one certificate on an address: Squid with OpenSSL does not choose by the name that is asked for",
      fix: "one certificate for all names, or 'virtualIp' at each",
    });
  }
}

function checkPools(tier: SquidGeoProxyTier): void {
  const { sites } = tier.props;
  for (const [name, { hosts }] of Object.entries(tier.poolProps)) {
    const lost = hosts?.find(
      (host) => !isCovered(host, sites) && !sites.some((site) => isCovered(site, [host])),
    );
    if (lost === undefined) continue;
    refuse(tier, {
      code: "conflicting-setting",
      what: `the pool '${name}' is for '${lost}'`,
      allowed: `the tier's sites, and no others: ${sites.join(", ")}`,
      fix: "add it to 'sites', or leave it out",
    });
  }
  const takesAll = Object.entries(tier.poolProps)
    .filter(([, { hosts, paths }]) => !hosts?.length && !paths?.length)
    .map(([name]) => name);
  if (takesAll.length === 1) return;
  refuse(tier, {
    code: "no-default-pool",
    what: takesAll.length
      ? `the pools ${takesAll.join(" and ")} take every request`
      : "no pool takes what is left",
    allowed: "exactly one pool without 'hosts' and 'paths'",
    fix: "say of the others which requests they are for",
  });
}

function checkCarp(tier: SquidGeoProxyTier): void {
  const { siblings } = tier.props;
  if (!siblings || siblings.protocol !== "carp") return;
  if (siblings.acrossRegions) {
    refuse(tier, {
      code: "conflicting-setting",
      what: "'siblings.acrossRegions' with CARP",
      allowed: "an array for each region: an object's node would be a region away for most visitors",
      fix: "leave 'acrossRegions' out",
    });
  }
  const turned = Object.entries(tier.poolProps).find(([, pool]) => pool.selection === "source-address");
  if (turned) {
    refuse(tier, {
      code: "conflicting-setting",
      what: `the pool '${turned[0]}' is chosen from by the visitor's address, and siblings share by CARP`,
      allowed: "one of both: origins are asked by the node that an object belongs to, not by the visitor's",
      fix: 'leave \'selection\' out, or share by "icp" or "htcp"',
    });
  }
}

/** What only the whole shows. */
export function problemsOfTier(tier: SquidGeoProxyTier): Problem[] {
  return [
    ...portProblems(tier),
    ...originProblems(tier),
    ...memoryProblems(tier),
    ...nameProblems(tier),
    ...carpProblems(tier),
  ];
}

function portProblems(tier: SquidGeoProxyTier): Problem[] {
  const taken = new Map<number, string>([[tier.internalPort, "the internal port"]]);
  for (const { name, sshPort } of tier.machines) taken.set(sshPort, `sshd of ${name}`);
  return Object.entries(tier.publicPorts).flatMap(([name, port]) => {
    const other = taken.get(port);
    taken.set(port, name);
    if (other === undefined) return [];
    return [
      {
        code: "listener-clash" as const,
        what: `${name} and ${other} both want port ${port}`,
        allowed: "a port each",
        fix: "change one of them",
      },
    ];
  });
}

function originProblems(tier: SquidGeoProxyTier): Problem[] {
  const proxies = new Map<string, string>([
    ...["127.0.0.1", "::1", "localhost"].map((own): [string, string] => [
      canonicalIp(own),
      "each proxy itself",
    ]),
    // a domain with a dot in front may have origins below it
    ...[...tier.props.sites, tier.defaultSite].map((site): [string, string] => [
      site,
      "a site of the tier's own",
    ]),
    ...Object.values(tier.regions).flatMap(({ addresses, machines }) => [
      ...addresses.map((address): [string, string] => [canonicalIp(address), "the tier's own address"]),
      ...machines.map(({ privateAddress, name }): [string, string] => [canonicalIp(privateAddress), name]),
    ]),
  ]);
  return tier.pools.flatMap((pool) =>
    pool.target.servers.flatMap(({ name, address, port }) => {
      const proxy = isToken(address) && !proxies.has(address) ? undefined : proxies.get(canonicalIp(address));
      if (proxy === undefined || ![...Object.values(tier.publicPorts), tier.internalPort].includes(port))
        return [];
      return [
        {
          code: "origin-is-a-proxy" as const,
          what: `the origin '${name}' of '${pool.name}' is ${proxy}, ${address}`,
          allowed: "servers that answer by themselves: a proxy that asks itself goes round until it gives up",
          fix: "name the application servers",
        },
      ];
    }),
  );
}

function memoryProblems(tier: SquidGeoProxyTier): Problem[] {
  const { memoryMiB } = tier.store;
  if (memoryMiB === undefined) return [];
  return tier.machines.flatMap(({ name, aws }) => {
    const type = aws?.instanceType;
    const memory = type === undefined || isToken(type) ? undefined : memoryGiBOf(type);
    if (memory === undefined || memoryMiB <= memory * 1024) return [];
    return [
      {
        code: "cache-too-large" as const,
        what: `a cache of ${memoryMiB} MiB of memory on ${name}, a ${type} with ${memory} GiB`,
        allowed: "what the machine has: half of it is a good measure",
        fix: "leave 'cache.memoryMiB' out, or take a larger type",
      },
    ];
  });
}

function carpProblems(tier: SquidGeoProxyTier): Problem[] {
  if (tier.siblings.protocol !== "carp") return [];
  return Object.values(tier.regions)
    .filter(({ machines }) => machines.length < 3)
    .map(({ name, machines }) => ({
      code: "array-too-small" as const,
      what: `${machines.length} nodes in '${name}' that share by CARP`,
      allowed: "three at least: of a pair, each node keeps everything and asks the other one",
      fix: 'protocol: "icp"',
    }));
}

/** Names of peers are words of squid.conf, and stand for one each. */
function nameProblems(tier: SquidGeoProxyTier): Problem[] {
  const seen = new Set(tier.machines.map(({ name }) => `sibling-${name}`));
  return tier.pools.flatMap((pool) =>
    pool.target.servers.flatMap(({ name }): Problem[] => {
      const peer = `${pool.name}-${name}`;
      const twice = seen.has(peer);
      seen.add(peer);
      if (!/^[A-Za-z0-9_.-]{1,60}$/.test(name)) {
        return [
          {
            code: "bad-name",
            what: `origin '${name}'`,
            allowed: "letters, digits, dot, dash and underscore: a word of squid.conf",
            fix: "choose such a name",
          },
        ];
      }
      if (!twice) return [];
      return [
        {
          code: "duplicate-name",
          what: `two peers are called '${peer}'`,
          allowed: "names of pools and origins that together stand for one origin",
          fix: "rename the pool or the origin",
        },
      ];
    }),
  );
}

/** What works, but not as well as its author may think. */
export function warnOfTier(tier: SquidGeoProxyTier): void {
  const { siblings } = tier.props;
  if (siblings && siblings.acrossRegions && Object.keys(tier.regions).length > 1) {
    warn(tier, {
      code: "far-siblings",
      what: "'siblings.acrossRegions' is true",
      allowed:
        "siblings that answer within some milliseconds: every request that no cache has waits for all of them",
      fix: "leave it out, unless the regions are near each other",
    });
  }
}
