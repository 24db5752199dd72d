import { AwsProvider } from "@cdktf/provider-aws/lib/provider";
import type { TerraformStack } from "cdktf";
import {
  AwsPlatform,
  HaproxyKeepalivedPair,
  HealthCheck,
  MachineImage,
  Peer,
  ServiceTier,
  VirtualIp,
  type Service,
} from "../lib";

export const PAGE = "<h1>a page</h1>\n".repeat(20);
export const SITE = "server {\n  listen 8080 default_server;\n  root /var/www/site;\n}\n";

const site: Service = {
  name: "site",
  describe: () => ({
    packages: [{ name: "nginx-light" }],
    files: [
      { path: "/var/www/site/index.html", text: PAGE },
      { path: "/etc/nginx/sites-enabled/site", text: SITE },
    ],
    units: ["nginx.service"],
    checker: "nginx -t",
    hooks: { check: "nginx -t -q", healthy: "exec 3<>/dev/tcp/127.0.0.1/8080" },
  }),
};

/** Clusters of four machines: a pair of load balancers with an elastic address, and two servers. */
export function build(stack: TerraformStack, machines: number): void {
  new AwsProvider(stack, "provider", { region: "eu-west-1" });
  const platform = new AwsPlatform(stack, "aws", {
    vpcId: "vpc-1",
    subnets: { a: "subnet-a", b: "subnet-b" },
    image: MachineImage.id("ami-0123456789abcdef0", { user: "admin" }),
    ssh: { keyName: "key", agent: true },
    admins: [Peer.cidr("10.0.0.0/24")],
  });
  for (let cluster = 0; cluster < machines / 4; cluster++) {
    const web = new ServiceTier(stack, `web-${cluster}`, {
      platform,
      nodes: [`web-${cluster}-1`, `web-${cluster}-2`],
      port: 8080,
      services: [site],
    });
    const lb = new HaproxyKeepalivedPair(stack, `lb-${cluster}`, {
      platform,
      virtualIp: VirtualIp.elastic(),
    });
    lb.balance("site", { port: 80, to: web, check: HealthCheck.http("/"), clients: [Peer.anyone()] });
  }
}
