import { AwsProvider } from "@cdktf/provider-aws/lib/provider";
import { App, S3Backend, TerraformOutput, TerraformStack } from "cdktf";
import type { Construct } from "constructs";
import {
  AwsPlatform,
  HaproxyKeepalivedPair,
  HealthCheck,
  MachineImage,
  Peer,
  Secret,
  ServiceTier,
  Tls,
  VirtualIp,
  type Machine,
  type Service,
} from "cdktf-ha-clusters";

const site: Service = {
  name: "site",
  describe: (machine: Machine) => ({
    packages: [{ name: "nginx-light" }],
    files: [
      { path: "/var/www/site/index.html", text: `Hello from ${machine.name}\n`, onChange: "none" },
      {
        path: "/etc/nginx/sites-enabled/site",
        text: "server {\n  listen 8080 default_server;\n  root /var/www/site;\n}\n",
      },
    ],
    absent: ["/etc/nginx/sites-enabled/default"],
    units: ["nginx.service"],
    checker: "nginx -t",
    hooks: { check: "nginx -t -q", healthy: "exec 3<>/dev/tcp/127.0.0.1/8080" },
  }),
};

/** The same pair on EC2, in two zones, with a public address that follows whichever node is alive. */
class LoadBalancer extends TerraformStack {
  constructor(scope: Construct, id: string) {
    super(scope, id);
    new AwsProvider(this, "aws", { region: "eu-west-1" });
    new S3Backend(this, {
      bucket: "example-terraform-state",
      key: "load-balancer.tfstate",
      region: "eu-west-1",
      encrypt: true,
    });
    // A lock beside the state, from Terraform 1.10 on; before, `dynamodbTable` of the backend.
    this.addOverride("terraform.backend.s3.use_lockfile", true);

    const aws = new AwsPlatform(this, "platform", {
      vpcId: "vpc-0123456789abcdef0",
      subnets: {
        a: { id: "subnet-0aaaaaaaaaaaaaaaa", cidr: "10.1.0.0/24" },
        b: { id: "subnet-0bbbbbbbbbbbbbbbb", cidr: "10.1.1.0/24" },
      },
      image: MachineImage.debian12(),
      instanceType: "t3.small",
      ssh: { keyName: "operations", agent: true, bastion: "bastion.example.net" },
      admins: [Peer.cidr("10.1.0.10")], // the bastion, as the instances see it
      permissionsBoundary: "arn:aws:iam::123456789012:policy/load-balancer-machines",
      tags: { Service: "site" },
    });

    const web = new ServiceTier(this, "web", {
      platform: aws,
      nodes: ["web-1", "web-2"],
      port: 8080,
      services: [site],
    });

    const lb = new HaproxyKeepalivedPair(this, "lb", { platform: aws, virtualIp: VirtualIp.elastic() });
    lb.balance("site", {
      port: 443,
      redirectFromPort: 80,
      // read on the machines, with the rights of their instance profiles: Terraform never sees it
      tls: Tls.certificate(Secret.awsSecretsManager("site/tls")),
      to: web,
      check: HealthCheck.http("/"),
      clients: [Peer.anyone()],
    });

    new TerraformOutput(this, "address", { value: lb.address });
  }
}

const app = new App();
new LoadBalancer(app, "load-balancer");
app.synth();
