import { join } from "node:path";
import {
  Peer,
  Port,
  RefreshRule,
  Secret,
  Servers,
  ServerTls,
  ServiceTier,
  SplashPage,
  VirtualIp,
} from "../../lib";
import { Template } from "../../lib/testing";
import { newRack, newStack } from "../support/stack";
import { apps, newTier, regionHosts } from "./tiers";

const CONF = "/etc/squid/squid.conf";
const linesOf = (text: string, ...words: string[]): string[] =>
  text.split("\n").filter((line) => words.some((word) => line.startsWith(word)));

test("ports: the world, siblings, administrators; origins let the proxies in and nobody else", () => {
  const stack = newStack();
  const web = new ServiceTier(stack, "web", {
    platform: newRack(stack),
    nodes: ["web-1", "web-2"],
    port: 8080,
    services: [],
  });
  const admin = Peer.cidr("10.0.0.5");
  const tier = newTier(stack, {
    origins: web,
    https: { certificates: [{ certificate: Secret.file("/a.pem") }] },
    purgers: [admin],
  });
  const template = Template.synth(stack).hasNoErrors();
  const uk = tier.regions.uk!;
  template.hasPort(uk, Port.tcp(80)).onlyFrom(Peer.anyone());
  template.hasPort(uk, Port.tcp(443)).onlyFrom(Peer.anyone());
  template.hasPort(uk, Port.tcp(3128)).onlyFrom(uk, admin);
  template.hasPort(uk, Port.udp(3130)).onlyFrom(uk);
  template.hasPort(uk, Port.udp(4827)).toNobody();
  template.hasPort(uk, Port.vrrp()).onlyFrom(uk);
  template.hasPort(web, Port.tcp(8080)).onlyFrom(uk);
});

test("regions: each has siblings of its own, across regions only by choice", () => {
  const build = (acrossRegions: boolean): [Template, ReturnType<typeof newTier>] => {
    const stack = newStack();
    const tier = newTier(stack, {
      regions: {
        uk: { platform: regionHosts(stack, "uk", 1), virtualIp: VirtualIp.layer2("10.1.0.90/24") },
        us: { platform: regionHosts(stack, "us", 2), virtualIp: VirtualIp.layer2("10.2.0.90/24") },
      },
      siblings: { protocol: "htcp", acrossRegions },
    });
    return [Template.synth(stack).hasNoErrors(), tier];
  };
  const [alone, tier] = build(false);
  expect(linesOf(alone.file("front-us-1", CONF), "acl siblings")).toEqual(["acl siblings src 10.2.0.12"]);
  alone.hasPort(tier.regions.us!, Port.udp(4827)).onlyFrom(tier.regions.us!);
  const [across, both] = build(true);
  expect(linesOf(across.file("front-us-1", CONF), "acl siblings")).toEqual([
    "acl siblings src 10.1.0.11 10.1.0.12 10.2.0.12",
  ]);
  across.hasPort(both.regions.us!, Port.udp(4827)).onlyFrom(both.regions.us!, both.regions.uk!);
});

test("full mesh, and on every node the guard against loops", () => {
  const stack = newStack();
  const nodes = ["front-uk-1", "front-uk-2", "front-uk-3"];
  newTier(stack, { regions: { uk: { platform: regionHosts(stack, "uk", 1), nodes } } });
  const template = Template.synth(stack).hasNoErrors();
  for (const node of nodes) {
    const text = template.file(node, CONF);
    const others = nodes.filter((other) => other !== node);
    for (const other of others) {
      expect(text).toMatch(new RegExp(`^cache_peer \\S+ sibling 3128 3130 .* name=sibling-${other}$`, "m"));
      expect(text).toContain(`cache_peer_access sibling-${other} deny siblings\n`);
    }
    expect(linesOf(text, "cache_peer ").filter((line) => line.includes(" sibling "))).toHaveLength(2);
    expect(text).toContain("miss_access deny siblings\nmiss_access allow all\n");
    expect(text).toContain(`unique_hostname ${node}\n`);
  }
});

test("CARP: every node in its own array, no datagrams, and each asks whether the others are there", () => {
  const stack = newStack();
  const nodes = ["front-uk-1", "front-uk-2", "front-uk-3"];
  const tier = newTier(stack, {
    regions: { uk: { platform: regionHosts(stack, "uk", 1), nodes } },
    siblings: { protocol: "carp" },
  });
  const template = Template.synth(stack).hasNoErrors();
  template.hasPort(tier.regions.uk!, Port.tcp(3128)).onlyFrom(tier.regions.uk!);
  template.hasPort(tier.regions.uk!, Port.udp(3130)).toNobody();
  for (const node of nodes) {
    const text = template.file(node, CONF);
    const members = linesOf(text, "cache_peer ").filter((line) => line.includes(" carp "));
    // the share of each is told by the names: the same everywhere
    expect(members.map((line) => line.split("name=")[1])).toEqual(nodes.map((name) => `sibling-${name}`));
    expect(members.filter((line) => !line.includes("proxy-only"))).toEqual([
      expect.stringContaining(`name=sibling-${node}`),
    ]);
    for (const other of nodes)
      expect(text).toContain(`cache_peer_access sibling-${other} deny internal_port\n`);
    expect(text).not.toContain("miss_access deny");
  }
  expect(template.file("front-uk-1", "/etc/squid/cdktf-ha-origins")).toContain(
    ":siblings 10.1.0.11 3128 - -\n:siblings 10.1.0.12 3128 - -\n:siblings 10.1.0.13 3128 - -\n",
  );
});

test("siblings switched off: no port, no peer", () => {
  const stack = newStack();
  const tier = newTier(stack, { siblings: false });
  const template = Template.synth(stack).hasNoErrors();
  const text = template.file("front-uk-1", CONF);
  expect(text).not.toContain("sibling");
  expect(text).toContain("icp_port 0\nhtcp_port 0\n");
  template.hasPort(tier.regions.uk!, Port.tcp(3128)).toNobody();
});

test("never an open proxy: what is no site is refused before anything is allowed, and everything else at the end", () => {
  const stack = newStack();
  newTier(stack, { managers: [Peer.cidr("10.0.0.5")], purgers: [Peer.cidr("10.0.0.6")] });
  const rules = linesOf(Template.synth(stack).file("front-uk-1", CONF), "http_access");
  const beforeSites = rules.slice(0, rules.indexOf("http_access deny !sites"));
  expect(beforeSites.filter((rule) => rule.startsWith("http_access allow"))).toEqual([
    "http_access allow manager internal_port localhost",
    "http_access allow manager internal_port managers",
  ]);
  expect(rules.at(-1)).toBe("http_access deny all");
});

test("pools: the first that fits, and the default takes what none of them takes", () => {
  const stack = newStack();
  newTier(stack, {
    origins: {
      api: { to: Servers.at({ a: "10.9.0.1:80" }), hosts: ["api.movember.com"], paths: ["/v1"] },
      files: { to: Servers.at({ f: "10.9.0.2:80" }), paths: ["/files/", "/a.b"] },
      rest: { to: apps() },
    },
  });
  const text = Template.synth(stack).hasNoErrors().file("front-uk-1", CONF);
  expect(
    linesOf(text, "cache_peer_access api-", "cache_peer_access files-", "cache_peer_access rest-app-1"),
  ).toEqual([
    "cache_peer_access api-a allow api_hosts api_paths",
    "cache_peer_access api-a deny all",
    "cache_peer_access files-f deny api_hosts api_paths",
    "cache_peer_access files-f allow files_paths",
    "cache_peer_access files-f deny all",
    "cache_peer_access rest-app-1 deny api_hosts api_paths",
    "cache_peer_access rest-app-1 deny files_paths",
    "cache_peer_access rest-app-1 allow all",
  ]);
  expect(text).toContain(String.raw`acl api_paths urlpath_regex ^/v1(/|\?|$)`);
  expect(text).toContain(String.raw`acl files_paths urlpath_regex ^/files/ ^/a\.b(/|\?|$)`);
});

test("what the code of an origin says: shares, standby, time limits, TLS", () => {
  const stack = newStack();
  newTier(stack, {
    origins: {
      all: {
        to: apps(),
        settings: { "app-1": { weight: 3 }, "app-2": { standby: true } },
        selection: "source-address",
        connectTimeout: 1,
        connectFailLimit: 4,
        tls: ServerTls.unverified(),
      },
    },
  });
  const [one, two] = linesOf(Template.synth(stack).file("front-uk-1", CONF), "cache_peer 10.9.");
  expect(one).toContain(" sourcehash weight=3 login=PASS connect-timeout=1 connect-fail-limit=4 tls ");
  expect(one).toContain("sslflags=DONT_VERIFY_PEER,DONT_VERIFY_DOMAIN");
  expect(two).not.toMatch(/sourcehash|round-robin|weight/);
});

test("what each node asks its origins", () => {
  const stack = newStack();
  newTier(stack, {
    defaultSite: "www.movember.com",
    origins: {
      api: {
        to: Servers.at({ a: "10.9.0.1:80", b: "api.example.net:80" }),
        paths: ["/api"],
        checkPath: "/up",
      },
      rest: { to: apps() },
    },
  });
  expect(Template.synth(stack).hasNoErrors().file("front-uk-1", "/etc/squid/cdktf-ha-origins")).toBe(
    "api 10.9.0.1 80 www.movember.com /up\n" +
      "rest 10.9.0.66 8080 www.movember.com -\nrest 10.9.0.67 8080 www.movember.com -\n",
  );
});

test("rules of freshness, in the author's order", () => {
  const stack = newStack();
  newTier(stack, {
    cache: {
      refresh: [
        RefreshRule.files(["css"], { minimumMinutes: 5, overrideExpire: true, ignoreReload: true }),
        RefreshRule.everything({ staleIfErrorMinutes: 30 }),
      ],
    },
  });
  expect(linesOf(Template.synth(stack).file("front-uk-1", CONF), "refresh_pattern")).toEqual([
    String.raw`refresh_pattern -i \.(css)(\?|$) 5 20% 4320 override-expire ignore-reload`,
    "refresh_pattern . 0 20% 4320 max-stale=1800",
  ]);
});

test("what Squid reads only at its start is pushed as a restart, and the rest as a reload", () => {
  const manifest = (props: Parameters<typeof newTier>[1]): Record<string, string> => {
    const stack = newStack();
    newTier(stack, props);
    const text = JSON.stringify(Template.synth(stack).json.locals);
    return { text };
  };
  expect(manifest({}).text).toContain("restart\\t/etc/squid/cdktf-ha-store.conf");
  expect(manifest({}).text).toContain("reload\\t/etc/squid/squid.conf");
  const stores = [{}, { workers: 2 }, { memoryMiB: 64 }].map((cache) => {
    const stack = newStack();
    newTier(stack, { cache });
    const template = Template.synth(stack);
    return [template.file("front-uk-1", "/etc/squid/cdktf-ha-store.conf"), template.file("front-uk-1", CONF)];
  });
  expect(new Set(stores.map(([store]) => store)).size).toBe(3);
  // where siblings' answers come to each of the workers is what both hold
  const own = (conf: string): string => conf.replace(/^if .*\nicp_port .*\nendif\n/m, "");
  expect(new Set(stores.map(([, conf]) => own(conf!))).size).toBe(1);
});

test("the splash page: images inlined, percent signs kept from Squid", () => {
  const page = SplashPage.file(join(__dirname, "splash.html"));
  expect(page.html).toContain('<img src="data:image/gif;base64,R0lGODlh');
  expect(page.html).toContain('<link rel="stylesheet" href="data:text/css;base64,');
  expect(page.html).toContain('href="https://status.example.net/"');
  expect(page.html).toContain('href="#top"');
  expect(page.html).toContain("100% sure");
  expect(page.template).toContain("100%% sure");
});

test("a certificate's file is for root and Squid's own user only; its text is nowhere in the JSON", () => {
  const stack = newStack();
  newTier(stack, { https: { certificates: [{ certificate: Secret.variable(stack, "pem") }] } });
  const template = Template.synth(stack).hasNoErrors();
  expect(template.file("front-uk-1", "/etc/squid/tls/site-1.pem")).toMatch(/^@@HA:secret:/);
  expect(JSON.stringify(template.json.locals)).toContain(
    "0640\\troot\\tproxy\\treload\\t/etc/squid/tls/site-1.pem",
  );
});

test("topology", () => {
  const tier = newTier(newStack());
  expect(tier.topology()).toMatchObject({
    kind: "SquidGeoProxyTier",
    members: [
      { name: "front-uk-1", zone: "rack-1", roles: ["proxy of uk"] },
      { name: "front-uk-2", zone: "rack-2", roles: ["proxy of uk"] },
    ],
    addresses: [{ group: "uk/main", address: "10.1.0.90" }],
    needs: [{ name: "origins", members: ["app-1", "app-2"], atLeast: 1 }],
    survives: { failures: 1, of: "node" },
  });
  expect(tier.topology().timers.map(({ seconds }) => seconds)).toEqual([0.62, 4, 20]);
});
