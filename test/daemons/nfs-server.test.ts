import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { program, root, testWithNeeds } from "../support/needs";

/** The agent for the NFS server, with processes that are only called as its daemons are, and a systemctl that starts and ends them. */
const directory = mkdtempSync(join(tmpdir(), "cdktf-ha-nfs-server-"));
afterAll(() => rmSync(directory, { recursive: true }));
const inNamespaces = testWithNeeds([
  program("unshare"),
  program("pgrep"),
  program("setpriv"),
  program("rpc.statd"), // whose package makes the user
  root,
]);
const AGENT = join(__dirname, "../../lib/drbd-nfs-pair/on-machine/nfs-server.sh");

const SYSTEMCTL = `#!/bin/bash
echo "$1" >>calls
[[ ! -e broken ]] || { echo "it is broken"; exit 1; }
case $1 in
  start)
    df --output=avail --block-size=M state | tail -n 1 | tr -d ' ' >room-at-start
    case $2 in
      nfsdcld.service) daemons=nfsdcld ;;
      rpc-statd.service) daemons=rpc.statd ;;
      *) daemons="nfsd rpc.mountd nfsdcld\${VERSION_3:+ rpc.statd}" ;;
    esac
    for daemon in $daemons; do
      "./$daemon" 60 >/dev/null 2>&1 &
      until [[ $(</proc/$!/comm) == "$daemon" ]]; do sleep 0.01; done # it is called bash at first
    done
    ;;
  stop)
    pkill -KILL --exact 'nfsd|rpc.mountd|nfsdcld'
    [[ $* != *rpc-statd.service* ]] || pkill -KILL --exact rpc.statd
    while pgrep --exact 'nfsd|rpc.mountd|nfsdcld' >/dev/null; do sleep 0.02; done
    ;;
esac
exit 0
`;

/** What the script prints, with the agent as the command `agent`, where nobody else's processes and mounts are. */
function run(script: string): string[] {
  const view = join(directory, "view");
  writeFileSync(join(directory, "systemctl"), SYSTEMCTL, { mode: 0o755 });
  const prepared = `set -u
mkdir -p ${view} && mount -t tmpfs tmpfs ${view} && cd ${view}
mount -t tmpfs tmpfs /var/lib && mkdir /var/lib/nfs && mount -t tmpfs tmpfs /run
mkdir state && mount -t tmpfs -o size=16m volume state
printf '#!/bin/bash\\n[[ $*:\${VERSION_3:-} != "--get nfsd vers3:yes" ]] || echo y\\n' >nfsconf && chmod +x nfsconf
for daemon in nfsd rpc.mountd nfsdcld rpc.statd; do cp /bin/sleep $daemon; done
printf '%s\n' '#!/bin/bash' 'while [[ -e hangs ]]; do sleep 0.1; done; [[ ! -e fails ]] || { echo "dd: $(<fails)" >&2; exit 1; }' 'exec /bin/dd "\${@/oflag=direct/oflag=sync}"' >dd && chmod +x dd
printf '%s\n' '#!/bin/bash' 'exec /bin/sed "\${@/#\\/proc\\/drbd/drbd-state}"' >sed && chmod +x sed
cp ${directory}/systemctl . && touch calls && printf '#!/bin/sh\\n' >logger && chmod +x logger
export PATH=${view}:$PATH OCF_RESKEY_state=${view}/state
killed() { pkill -KILL --exact "$1"; while pgrep --exact "$1" >/dev/null; do sleep 0.02; done; }
agent() { bash '${AGENT}' "$1"; echo "$1 $?"; }
${script}`;
  const { stdout, stderr } = spawnSync(
    "unshare",
    ["--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "bash", "-c", prepared],
    { encoding: "utf8", timeout: 60_000 },
  );
  expect(stderr.replace(/^ocf-exit-reason:.*\n/gm, "")).toBe("");
  return stdout.trim().split("\n");
}

inNamespaces(
  "what it knows of its clients is on the volume from start to stop, and it is started once",
  () => {
    expect(
      run(`agent monitor; agent start; agent monitor; agent start; echo here >/var/lib/nfs/known; agent stop
agent monitor; agent stop; cat state/known; ls /var/lib/nfs; echo $(cat calls); stat --format %a state/nfsdcld`),
    ).toEqual([
      "monitor 7",
      "start 0",
      "monitor 0",
      "start 0",
      "stop 0",
      "monitor 7",
      "stop 0",
      "here",
      "start stop stop",
      "700",
    ]);
  },
);

inNamespaces.each(["nfsd", "rpc.mountd"])(
  "without %s it has failed, and what is left is stopped before it starts again",
  (daemon) => {
    expect(
      run(`agent start; killed ${daemon}; agent monitor; agent stop; agent monitor; agent start; agent monitor
mountpoint -q /var/lib/nfs && umount /var/lib/nfs && ! mountpoint -q /var/lib/nfs && echo "bound once"`),
    ).toEqual(["start 0", "monitor 1", "stop 0", "monitor 7", "start 0", "monitor 0", "bound once"]);
  },
);

inNamespaces("whoever remembers its clients is started again while it serves", () => {
  expect(
    run(`agent start; killed nfsdcld; agent monitor; pgrep --exact nfsdcld || echo none
OCF_RESKEY_CRM_meta_interval=20000 agent monitor; pgrep --exact --count nfsdcld; echo $(cat calls)`),
  ).toEqual(["start 0", "monitor 0", "none", "monitor 0", "1", "start start"]);
});

inNamespaces("what only the package has left running is no server", () => {
  expect(
    run("systemctl start nfsdcld.service; agent monitor; agent start; agent monitor; echo $(cat calls)"),
  ).toEqual(["monitor 7", "start 0", "monitor 0", "start stop start"]);
});

inNamespaces(
  "a server that the package has started is none of ours: it is stopped, and started with its state",
  () => {
    expect(
      run("systemctl start nfs-server.service; agent monitor; agent start; agent monitor; echo $(cat calls)"),
    ).toEqual(["monitor 1", "start 0", "monitor 0", "start stop start"]);
  },
);

inNamespaces("a unit that does not start or stop is a failure", () => {
  expect(
    run("touch broken; agent start; rm broken; agent start; touch broken; agent stop; agent monitor"),
  ).toEqual(["start 1", "start 0", "stop 1", "monitor 0"]);
});

inNamespaces("of version 3 it keeps who has locks as well, whatever statd's number is on this node", () => {
  expect(
    run(`export VERSION_3=yes; umask 077; chmod 700 state; chmod 711 .; systemctl start rpc-statd.service; agent start; pgrep --exact --count rpc.statd; stat --format '%U:%G %n' state state/{,notify/}{sm,sm.bak}; setpriv --reuid=statd --regid=nogroup --clear-groups touch state/{,notify/}{sm,sm.bak}/new && rm state/{,notify/}{sm,sm.bak}/new
rm /run/cdktf-ha-nfs/started-anew; echo known >state/sm/client; agent start; ls state/sm /run/cdktf-ha-nfs; agent monitor; killed rpc.statd; agent monitor; pgrep --exact rpc.statd || echo none
OCF_RESKEY_CRM_meta_interval=20000 agent monitor; pgrep --exact --count rpc.statd
agent stop; pgrep --exact rpc.statd || echo none; chown --recursive root state; agent start; stat --format %U state/sm
ls state/sm state/notify/sm /run/cdktf-ha-nfs`),
  ).toEqual([
    "start 0",
    "1",
    "root:root state",
    "statd:nogroup state/sm",
    "statd:nogroup state/sm.bak",
    "statd:nogroup state/notify/sm",
    "statd:nogroup state/notify/sm.bak",
    // started once, it has the same clients
    "start 0",
    "/run/cdktf-ha-nfs:",
    "etab",
    "rmtab",
    "",
    "state/sm:",
    "client",
    "monitor 0",
    "monitor 0",
    "none",
    "monitor 0",
    "1",
    "stop 0",
    "none",
    "start 0",
    "statd",
    // started anew, they are to be told
    "/run/cdktf-ha-nfs:",
    "etab",
    "rmtab",
    "started-anew",
    "",
    "state/notify/sm:",
    "client",
    "",
    "state/sm:",
  ]);
});

inNamespaces(
  "on a volume that clients have filled there is room for what it has to note as it starts",
  () => {
    expect(
      run(`agent start; for number in {1..3}; do fallocate --length 1MiB state/room/$number; done; touch state/room/0
dd if=/dev/zero of=state/files bs=1M 2>/dev/null; (echo new >state/note) 2>/dev/null || echo full
agent stop; agent start; cat room-at-start; find state/room -size +0 -type f | wc --lines`),
    ).toEqual(["start 0", "full", "stop 0", "start 0", "1M", "2"]);
  },
);

/**
 * `looks`: a monitor that looks at the volume, and what it says; `since N M`: the write under way began N seconds ago, and the disk did something M
 * seconds ago; `ended`: no write is under way; `drbd DISKS FLAG`: what DRBD says of both copies, and whether it holds writes, beside another
 * device that it holds.
 */
const LOOKS = `looks() { OCF_CHECK_LEVEL=10 OCF_RESKEY_write_within=20 bash '${AGENT}' monitor 2>&1; echo "looks $?"; }
since() {
  local up
  read -r up _ </proc/uptime; up=\${up%.*}
  echo $((up - $1)) $((up - $2)) "$(cut --delimiter ' ' --fields 3 /run/cdktf-ha-nfs/writing)" >/run/cdktf-ha-nfs/writing
}
ended() { flock --timeout 20 /run/cdktf-ha-nfs/writing true || echo "has not ended"; }
drbd() {
  printf '%s\\n' 'version: 8.4.11 (api:1/proto:86-101)' " 0: cs:\${state:-Connected} ro:Primary/Secondary ds:$1 \${protocol-C} $2-----" \
    "    ns:8 nr:0 dw:$3 dr:900 al:2 bm:0 lo:0 pe:0 ua:0 ap:0 ep:1 wo:f oos:0" \\
    " 1: cs:WFConnection ro:Primary/Unknown ds:UpToDate/DUnknown C s-----" "    ns:8 nr:0 dw:$RANDOM dr:900 al:2 bm:0 lo:0 pe:0 ua:0 ap:0 ep:1 wo:f oos:0" >drbd-state
}
`;

inNamespaces(
  "a write to the volume that does not end is a failure after a while, and nobody waits for it",
  () => {
    expect(
      run(`${LOOKS}agent start; stat --format '%s' state/writable; looks; ended; looks; ended; stat --format '%s' state/writable
touch hangs; looks; looks; since 10 10; looks; since 20 20; looks; agent monitor; rm hangs; ended; looks`),
    ).toEqual([
      "start 0",
      "4096",
      "looks 0",
      "looks 0",
      "4096",
      "looks 0",
      "looks 0",
      "looks 0",
      expect.stringMatching(/^ocf-exit-reason:no write to the volume has ended for 2[0-9] s$/),
      "looks 1",
      "monitor 0",
      "looks 0",
    ]);
  },
);

inNamespaces.each([
  ["the other node has a good copy", "drbd UpToDate/UpToDate r 5", [1, 1]],
  ["the other node's copy is behind: nobody could take over", "drbd UpToDate/Inconsistent r 5", [0, 1]],
  ["the other node is away", "state=WFConnection drbd UpToDate/DUnknown r 5", [0, 1]],
  ["DRBD holds writes itself", "state=WFConnection drbd UpToDate/DUnknown s 5", [0, 0]],
  [
    "DRBD holds them, and waits for nobody",
    "state=StandAlone protocol=' ' drbd UpToDate/DUnknown s 5",
    [0, 0],
  ],
  ["the disk has done something since", "drbd UpToDate/UpToDate r 6", [0, 1]],
])("a write has not ended for long, and then for five times as long: %s", (_, says, failed) => {
  const script = `agent start; drbd UpToDate/UpToDate r 5; touch hangs; looks; looks; since 21 21; ${says}; looks; since 101 1; looks; rm hangs; ended`;
  const looks = run(`${LOOKS}${script}`).filter((line) => line.startsWith("looks"));
  expect(looks).toEqual(["looks 0", "looks 0", ...failed.map((code) => `looks ${code}`)]);
});

inNamespaces.each(["Input/output error", "Read-only file system", "Structure needs cleaning"])(
  "a volume that has failed (%s) is told at the second time, unless it is well again",
  (words) => {
    const refused = `ocf-exit-reason:the volume takes no writes: dd: ${words}`;
    expect(
      run(`${LOOKS}agent start; echo '${words}' >fails; looks; ended; looks; ended; looks; ended; agent monitor; rm fails
looks; ended; looks; ended; echo '${words}' >fails; looks; ended; looks; ended; rm fails; looks`),
    ).toEqual([
      "start 0",
      "looks 0",
      "looks 0",
      refused,
      "looks 1",
      "monitor 0",
      refused,
      "looks 1",
      "looks 0",
      "looks 0",
      "looks 0",
      refused,
      "looks 1",
    ]);
  },
);

inNamespaces("a volume that is full has not failed", () => {
  expect(
    run(
      `${LOOKS}agent start; dd if=/dev/zero of=state/files bs=1M 2>/dev/null; looks; ended; rm state/writable; dd if=/dev/zero of=state/more bs=4k 2>/dev/null; looks; ended; looks; ended; stat --format '%s' state/writable`,
    ),
  ).toEqual(["start 0", "looks 0", "looks 0", "looks 0", "0"]);
});

inNamespaces.each(["nfsd", "rpc.mountd"])("without %s it is the other monitor that has failed", (daemon) => {
  expect(run(`${LOOKS}agent start; killed ${daemon}; looks; agent monitor; agent stop; looks`)).toEqual([
    "start 0",
    "looks 0",
    "monitor 1",
    "stop 0",
    "looks 0",
  ]);
});
