import type { Machine, Service, ServiceFile } from "cdktf-ha-clusters";
import type { KeyPair } from "./certificates";

/** What the echo service saw of a request. */
export interface Seen {
  readonly server: string;
  /** Which of its ports. */
  readonly port: string;
  readonly host: string;
  readonly path: string;
  readonly for: string;
  readonly proto: string;
  readonly forwardedHost: string;
  readonly forwardedPort: string;
  readonly forwarded: string;
}

const SEEN: Record<keyof Seen, string> = {
  server: "$hostname",
  port: "$server_port",
  host: "$http_host",
  path: "$request_uri",
  for: "$http_x_forwarded_for",
  proto: "$http_x_forwarded_proto",
  forwardedHost: "$http_x_forwarded_host",
  forwardedPort: "$http_x_forwarded_port",
  forwarded: "$http_forwarded",
};

/** A web server that says what it saw of each request: plain at some ports, with certificates at others. */
export function echoService(
  ports: readonly number[],
  tls: (machine: Machine) => Record<number, KeyPair> = () => ({}),
): Service {
  const server = (listen: string, more = ""): string =>
    `server {\n  listen ${listen};\n${more}  default_type application/json;\n` +
    `  add_header X-Powered-By nginx always;\n  return 200 '${JSON.stringify(SEEN)}';\n}\n`;
  return {
    name: "echo",
    describe: (machine) => {
      const pairs = Object.entries(tls(machine));
      const file = (port: string): string => `/etc/nginx/tls/${port}.pem`;
      const keys = pairs.map(([port, { bundle }]): ServiceFile => ({
        path: file(port),
        text: bundle,
        mode: "0600",
      }));
      const plain = ports.map((port) => server(String(port)));
      const secured = pairs.map(([port]) =>
        server(`${port} ssl`, `  ssl_certificate ${file(port)};\n  ssl_certificate_key ${file(port)};\n`),
      );
      return {
        packages: [{ name: "nginx-light" }],
        files: [...keys, { path: "/etc/nginx/sites-enabled/echo", text: [...plain, ...secured].join("") }],
        absent: ["/etc/nginx/sites-enabled/default"],
        units: ["nginx.service"],
        checker: "nginx -t",
        hooks: { check: "nginx -t -q", healthy: `exec 3<>/dev/tcp/127.0.0.1/${ports[0]}` },
      };
    },
  };
}

/** What the echo service answered. */
export function seen({ body }: { readonly body: string }): Seen {
  return JSON.parse(body) as Seen;
}
