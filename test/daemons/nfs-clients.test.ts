import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { renderNftables } from "../../lib/firewall/nftables";
import { program, root, testWithNeeds } from "../support/needs";

/** The agent that tells clients, with a client that has the project's own kind of firewall, two servers, and an address that moves between them. */
const directory = mkdtempSync(join(tmpdir(), "cdktf-ha-nfs-clients-"));
afterAll(() => rmSync(directory, { recursive: true }));
const AGENT = join(__dirname, "../../lib/drbd-nfs-pair/on-machine/nfs-clients.sh");
const withNetwork = testWithNeeds([
  program("unshare"),
  program("nft"),
  program("ss"),
  program("/usr/libexec/heartbeat/tickle_tcp"),
  root,
]);

const SERVER = `require("net").createServer((socket) => socket.on("error", () => {})).listen({ port: 2049, host: process.argv[1] }, () => console.log("listens"))`;
/** Says nothing itself: what it hears comes from the other side. */
const CLIENT = `require("net").connect(2049, process.argv[1])
  .on("connect", () => console.log("connected")).on("error", ({ code }) => console.log(code))`;
const firewall = (address: string): string =>
  renderNftables({
    inbound: [],
    localhostOnly: [],
    moving: [{ address, port: 2049, purpose: "files has moved" }],
  });

/** What the script prints: `agent NODE ACTION`, `is FILE WORD` waits for a word, `move` takes the address from a to b. */
function run(address: string, script: string): string[] {
  const view = join(directory, "view");
  for (const [name, text] of Object.entries({ SERVER, CLIENT, FIREWALL: firewall(address) }))
    writeFileSync(join(directory, name), text);
  const six = address.includes(":");
  const nodad = six ? "nodad" : "";
  const prepared = `set -u
mkdir -p ${view} && mount -t tmpfs tmpfs ${view} && mount -t tmpfs tmpfs /run && mkdir /run/netns && cd ${view}
ip link add lan type bridge && ip link set lan up
ip address add ${six ? "fd00:99::31/64" : "10.99.0.31/24"} dev lan ${nodad}
for node in a b; do
  ip netns add $node
  ip link add lan-$node type veth peer name eth0 netns $node && ip link set lan-$node master lan up
  ip -n $node link set eth0 up
done
ip -n a address add ${address}/${six ? 64 : 24} dev eth0 ${nodad}
nft --file ${directory}/FIREWALL
mkdir a b state
printf '#!/bin/sh\\necho "$@" >>${view}/notified\\n' >sm-notify && printf '#!/bin/sh\\n' >logger && chmod +x sm-notify logger
export PATH=${view}:$PATH OCF_RESKEY_ip=${address} OCF_RESKEY_state=${view}/state
agent() { ip netns exec $1 unshare --mount bash -c "mount --bind $1 /run; bash '${AGENT}' $2"; echo "$1 $2 $?"; }
is() { for _ in {1..40}; do grep -s "$2" "$1" && return; sleep 0.25; done; echo "no $2"; }
move() {
  ip -n a address del ${address}/${six ? 64 : 24} dev eth0
  ip -n b address add ${address}/${six ? 64 : 24} dev eth0 ${nodad}
  ip neighbour flush dev lan
}
ip netns exec a '${process.execPath}' -e "$(cat ${directory}/SERVER)" ${six ? "::" : "0.0.0.0"} >server &
is server listens
'${process.execPath}' -e "$(cat ${directory}/CLIENT)" ${address} >client &
is client connected
${script}
`;
  const { stdout, stderr } = spawnSync(
    "unshare",
    ["--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "bash", "-c", prepared],
    { encoding: "utf8", timeout: 60_000 },
  );
  expect(stderr).toBe("");
  return stdout.trim().split("\n").slice(2);
}

const LIFE =
  "agent a monitor; agent a start; agent a monitor; is state/connections ':2049 '; agent a stop; agent a monitor; move";
const lived = (connection: RegExp) => [
  "a monitor 7",
  "a start 0",
  "a monitor 0",
  expect.stringMatching(connection) as string,
  "a stop 0",
  "a monitor 7",
];

withNetwork("who had a connection learns at once that the other node knows nothing of it", () => {
  expect(
    run("10.99.0.90", `${LIFE}; sleep 2; cat client; agent b start; is client ECONN; agent b monitor`),
  ).toEqual([
    ...lived(/^10\.99\.0\.90:2049 10\.99\.0\.31:\d+$/),
    "connected",
    "b start 0",
    "ECONNRESET",
    "b monitor 0",
  ]);
});

withNetwork("it runs with an address of version 6 as well", () => {
  expect(run("fd00:99::90", `${LIFE}; agent b start; agent b monitor`)).toEqual([
    ...lived(/^fd00:99::90:2049 fd00:99::31:\d+$/),
    "b start 0",
    "b monitor 0",
  ]);
});

withNetwork("where it cannot note anybody, or knows nobody, it runs all the same", () => {
  expect(
    run("10.99.0.90", "rmdir state; agent a start; agent a monitor; sleep 1; agent a monitor; ls"),
  ).toEqual(expect.arrayContaining(["a start 0", "a monitor 0"]));
});

withNetwork("clients of version 3 are told by the address, once for each start of the server", () => {
  const hosts = "mount -t tmpfs tmpfs /etc && printf '10.99.0.80 cdktf-ha-nfs\\n127.0.1.1 a' >/etc/hosts";
  const anew = "mkdir -p a/cdktf-ha-nfs && touch a/cdktf-ha-nfs/started-anew";
  expect(
    run(
      "10.99.0.90",
      `${hosts}; agent a start; ls notified 2>/dev/null || echo nobody
${anew}; agent a start; is notified . | sed "s#$PWD##"; agent a stop; agent a start; sleep 1; wc --lines <notified; cat /etc/hosts`,
    ),
  ).toEqual([
    "a start 0",
    "nobody",
    "a start 0",
    "-f -v cdktf-ha-nfs -P /state/notify",
    "a stop 0",
    "a start 0",
    "1",
    "127.0.1.1 a",
    "10.99.0.90 cdktf-ha-nfs",
  ]);
});

withNetwork("room is kept for eight starts, and for telling clients one is used", () => {
  const full = "dd if=/dev/zero of=state/files bs=1M 2>/dev/null";
  // it is done in the background
  const pieces = (number: number): string =>
    `for _ in {1..40}; do (($(find state/room -type f -size +0 | wc --lines) == ${number})) && echo ${number} && break; sleep 0.25; done`;
  expect(
    run(
      "10.99.0.90",
      `mount -t tmpfs -o size=30m volume state && mkdir state/room; agent a start; agent a monitor; ${pieces(8)}; ${full}
mount -t tmpfs tmpfs /etc && touch /etc/hosts; mkdir a/cdktf-ha-nfs && touch a/cdktf-ha-nfs/started-anew; agent a start; is notified notify >/dev/null; ${pieces(7)}
agent a monitor; sleep 1; ${pieces(7)}; echo new >state/note; rm state/files; agent a monitor; ${pieces(8)}`,
    ),
  ).toEqual(["a start 0", "a monitor 0", "8", "a start 0", "7", "a monitor 0", "7", "a monitor 0", "8"]);
});
