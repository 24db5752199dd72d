import {
  Peer,
  Secret,
  ServiceTier,
  SplashPage,
  SquidGeoProxyTier,
  VirtualIp,
  type Service,
  type SquidGeoProxyTierProps,
} from "cdktf-ha-clusters";
import type { TerraformStack } from "cdktf";
import type { Lab } from "../../../machines/lab";
import { ADDRESSES, OPERATOR, rackOf, VIP } from "./site";

export const SITE = "www.site.example";
/** Where lines of the access log come, in datagrams. */
export const LOG_PORT = 5140;
export const SPLASH = "<html><body>Back soon, 100% sure</body></html>\n";

/**
 * A web server that says what it saw of each request. Below /static/ answers stay fresh for five minutes, below /vary/ too, for each
 * encoding; below /short/ for a second; /down says that it cannot.
 */
export const originService: Service = {
  name: "origin",
  describe: () => ({
    packages: [{ name: "nginx-light" }],
    files: [
      {
        path: "/etc/nginx/sites-enabled/origin",
        text: `log_format seen '$request_method $request_uri "$http_user_agent" length=$http_content_length encoding=$http_transfer_encoding';
underscores_in_headers on;
server {
  listen 8080;
  access_log /var/log/nginx/seen.log seen;
  default_type application/json;
  set $answer '{"server":"$hostname","for":"$http_x_forwarded_for","proto":"$http_x_forwarded_proto","frontEnd":"$http_front_end_https","forwarded":"$http_forwarded","host":"$http_host","claims":"$http_x_real_ip$http_x_forwarded_host$http_x_original_url$http_x_http_method_override$http_proxy"}';
  location /static/ { add_header Cache-Control max-age=300; return 200 $answer; }
  location /short/ { add_header Cache-Control max-age=1; add_header Last-Modified "Mon, 01 Jan 2024 00:00:00 GMT"; return 200 $answer; }
  location /vary/ { add_header Cache-Control max-age=300; add_header Vary Accept-Encoding; return 200 $answer; }
  location /down { return 503 "not now"; }
  location / { add_header Cache-Control no-store; return 200 $answer; }
}
`,
      },
    ],
    absent: ["/etc/nginx/sites-enabled/default"],
    units: ["nginx.service"],
    checker: "nginx -t",
    hooks: { check: "nginx -t -q", healthy: "exec 3<>/dev/tcp/127.0.0.1/8080" },
  }),
};

/** Two pages that are there, and one that is not. */
const WARM = [`http://${SITE}/static/warm`, `https://${SITE}/static/warm`, `http://${SITE}/down`];

export interface SquidSiteProps {
  readonly origins?: readonly string[];
  readonly tier?: Partial<SquidGeoProxyTierProps>;
  /** Path that every origin must answer. Default: a connection is enough. */
  readonly checkPath?: string;
  /** Count up for another certificate. */
  readonly version?: string;
}

/** One region: a pair with an address, and its origins. */
export function squidSite(lab: Lab, props: SquidSiteProps = {}): (stack: TerraformStack) => void {
  return (stack) => {
    const rack = rackOf(stack, lab);
    const web = new ServiceTier(stack, "web", {
      platform: rack,
      nodes: props.origins ?? ["web-1", "web-2"],
      port: 8080,
      services: [originService],
    });
    new SquidGeoProxyTier(stack, "front", {
      regions: { uk: { platform: rack, nodes: ["lb-1", "lb-2"], virtualIp: VirtualIp.layer2(`${VIP}/24`) } },
      sites: [".site.example"],
      defaultSite: SITE,
      origins: { origins: { to: web, checkPath: props.checkPath } },
      clients: [Peer.cidr(OPERATOR), Peer.cidr(ADDRESSES.client)],
      https: {
        certificates: [{ certificate: Secret.variable(stack, "certificate", { version: props.version }) }],
      },
      cache: { memoryMiB: 32, disk: { sizeMiB: 128 }, collapsedForwarding: true, warm: WARM },
      metrics: { interval: 5 },
      splashPage: SplashPage.html(SPLASH),
      purgers: [Peer.cidr(OPERATOR)],
      monitoring: [Peer.cidr(ADDRESSES.client)],
      logCollector: { address: OPERATOR, port: LOG_PORT },
      openFiles: 4096,
      extraLines: [
        // by collapsing, Squid 5.7 loses one variant of a page by the other
        "acl varied urlpath_regex ^/vary/",
        "collapsed_forwarding_access deny varied",
        // in milliseconds: a Squid just started waits 5 for its sibling and then asks the origin, which a busy computer exceeds
        "icp_query_timeout 2000",
      ],
      ...props.tier,
    });
  };
}
