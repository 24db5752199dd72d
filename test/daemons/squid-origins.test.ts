import { spawn, spawnSync } from "node:child_process";
import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { once } from "node:events";
import { get } from "node:http";
import { createServer, type Server } from "node:https";
import { createServer as createSocket, type AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Servers, ServerTls } from "../../lib";
import { Template } from "../../lib/testing";
import { newTier } from "../squid-geo-proxy-tier/tiers";
import { program, root, testWithNeeds } from "../support/needs";
import { newStack } from "../support/stack";
import { until } from "./support/corosync-pair";

/** A real Squid, with the lines that a tier gives it for its origins, before an origin that is encrypted. */
const withSquid = testWithNeeds([program("squid"), program("openssl"), root]);
const NAME = "origin.example.com";
const directory = mkdtempSync(join(tmpdir(), "cdktf-ha-squid-"));
const at = (name: string): string => join(directory, name);
let origin: Server | undefined;

beforeAll(async () => {
  if (withSquid !== test) return;
  // Squid gives up root, and reads the authority before; what it writes is its user's
  chmodSync(directory, 0o777);
  const made = spawnSync(
    "bash",
    [
      "-euc",
      `cd '${directory}'
request="req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes"
openssl $request -x509 -keyout authority.key -out authority.pem -days 2 -subj /CN=authority
openssl $request -keyout key.pem -out request.pem -subj /CN=origin
openssl x509 -req -in request.pem -CA authority.pem -CAkey authority.key -CAcreateserial -days 2 -out origin.pem -extfile <(echo subjectAltName=DNS:${NAME},IP:127.0.0.1)`,
    ],
    { encoding: "utf8" },
  );
  if (made.status !== 0) throw new Error(made.stderr);
  const [key, cert] = [readFileSync(at("key.pem")), readFileSync(at("origin.pem"))];
  origin = createServer({ key, cert }, (_, answer) => answer.end("here\n")).listen(0, "127.0.0.1");
  await once(origin, "listening");
});
afterAll(() => {
  origin?.close();
  rmSync(directory, { recursive: true });
});

async function freePort(): Promise<number> {
  const socket = createSocket().listen(0, "127.0.0.1");
  await once(socket, "listening");
  const { port } = socket.address() as AddressInfo;
  await new Promise((resolve) => socket.close(resolve));
  return port;
}

const statusOf = (port: number): Promise<number> =>
  new Promise((resolve, reject) => {
    get({ host: "127.0.0.1", port, agent: false }, (answer) => resolve(answer.resume().statusCode!)).on(
      "error",
      reject,
    );
  });

/** What a visitor gets where the origin's certificate has to be of this name. */
async function answerFor(tls: ServerTls): Promise<number> {
  const stack = newStack();
  const to = Servers.at({ origin: `127.0.0.1:${(origin!.address() as AddressInfo).port}` });
  newTier(stack, { origins: { all: { to, tls } } });
  const conf = Template.synth(stack).file("front-uk-1", "/etc/squid/squid.conf");
  const peer = /^cache_peer .* originserver .*$/m.exec(conf)![0];
  const port = await freePort();
  writeFileSync(
    at("squid.conf"),
    `http_port 127.0.0.1:${port} accel defaultsite=www.example.com no-vhost
${peer.replace(/\/etc\/squid\/tls\/[\w-]+\.pem/, at("authority.pem"))}
http_access allow all
never_direct allow all
pid_filename ${at("pid")}
access_log none
cache_log ${at("log")}
coredump_dir ${directory}
visible_hostname test
`,
  );
  const squid = spawn("squid", ["-N", "-f", at("squid.conf")], { stdio: "ignore" });
  const ended = new Promise((resolve) => squid.once("close", resolve));
  try {
    await until(
      () => spawnSync("bash", ["-c", `exec 3<>/dev/tcp/127.0.0.1/${port}`], { stdio: "ignore" }).status === 0,
      "Squid does not listen",
    );
    return await statusOf(port);
  } finally {
    squid.kill("SIGKILL");
    await ended;
  }
}

withSquid.each([
  ["answers", "of that name", ServerTls.verified({ serverName: NAME, authority: "PEM" })],
  ["fails", "of another name", ServerTls.verified({ serverName: "other.example.com", authority: "PEM" })],
  ["fails", "of an authority that nobody trusts", ServerTls.verified({ serverName: NAME })],
  ["answers", "of whoever", ServerTls.unverified()],
])("it %s where the origin, an address, has to show a certificate %s", async (what, _, tls) => {
  expect((await answerFor(tls)) === 200 ? "answers" : "fails").toBe(what);
});
