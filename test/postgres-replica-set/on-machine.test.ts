import { spawnSync } from "node:child_process";
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** When a member may leave, restart and wait (lib/postgres-replica-set/on-machine), against stand-ins for Patroni and systemd. */
const PROGRAMS = join(__dirname, "../../lib/postgres-replica-set/on-machine");
let directory: string;

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "postgres-"));
  cpSync(PROGRAMS, directory, { recursive: true });
  const node = readFileSync(join(PROGRAMS, "node.py"), "utf8");
  writeFileSync(
    join(directory, "node.py"),
    node
      .replace('"/etc/patroni/cdktf-ha"', JSON.stringify(directory))
      .replace('"/run/cdktf-ha-dissolve"', JSON.stringify(join(directory, "dissolve"))),
  );
  // JSON is YAML
  writeFileSync(join(directory, "yaml.py"), "import json\nsafe_load = json.loads\n");
  const data = join(directory, "postgresql/15/cdktf-ha");
  mkdirSync(data, { recursive: true });
  writeFileSync(join(data, "PG_VERSION"), "15\n");
  writeFileSync(
    join(directory, "facts.json"),
    JSON.stringify({
      scope: "db",
      name: "db-1",
      address: "127.0.0.1",
      members: { "db-1": "127.0.0.1", "db-2": "127.0.0.2", "db-3": "127.0.0.3" },
      dataDirectory: data,
      loopWait: 5,
      cloneWithin: 60,
      hugePages: false,
      overcommit: "untouched",
    }),
  );
});
afterEach(() => rmSync(directory, { recursive: true }));

/** What the program prints; time passes a minute with each sleep. */
function python(program: string): string[] {
  const prelude = `
import json, os, sys, threading, time, http.server
import member, node, settings, switchover
from node import DATA, Refused
clock = [0]
time.monotonic = lambda: clock[0]
def sleep(seconds):
    clock[0] += max(1, seconds)
time.sleep = sleep
done = []
def run(*command, **more):
    done.append(" ".join(command))
    class Done: returncode, stdout, stderr = 0, "", ""
    return Done
def patch(**names):
    for module in (member, node, settings, switchover):
        for name, value in names.items():
            if hasattr(module, name): setattr(module, name, value)
patch(run=run, note=lambda text: None)
# Patroni of others: each address with what it says
def serve(**answers):
    class Patroni(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            status, body = answers.get(self.path.strip("/"), (503, {}))
            self.send_response(status)
            self.end_headers()
            self.wfile.write(json.dumps(body).encode())
        def log_message(self, *words): pass
    server = http.server.HTTPServer(("127.0.0.2", 0), Patroni)
    node.REST_PORT = server.server_address[1]
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server
def told(call, *arguments):
    try:
        print("ok", call(*arguments))
    except Refused as refused:
        print("refused:", refused)
`;
  const { status, stdout, stderr } = spawnSync("python3", ["-B", "-c", `${prelude}\n${program}`], {
    cwd: directory,
    encoding: "utf8",
    timeout: 60_000,
  });
  expect({ status, stderr }).toEqual({ status: 0, stderr: "" });
  return stdout.trim().split("\n");
}

test("a member leaves when another one leads", () => {
  const [what, kept, ...commands] = python(`
serve(leader=(200, {}))
patch(is_active=lambda: True, leads=lambda: False)
told(member.leave)
print(os.path.exists(DATA))
print(*done, sep="\\n")`);
  expect([what, kept]).toEqual(["ok None", "False"]);
  expect(commands).toEqual(["systemctl disable --quiet --now patroni.service"]);
});

test.each([
  ["runs", "True"],
  ["is dead", "False"],
])("a member whose Patroni %s stays where nobody else leads, and so does its data", (_, active) => {
  const [what, kept, ...commands] = python(`
serve(replica=(200, {}))
patch(is_active=lambda: ${active}, leads=lambda: False)
told(member.leave)
print(os.path.exists(DATA))
print(*done, sep="\\n")`);
  expect(what).toContain("refused: no other member leads, and the data may be nowhere else");
  expect(kept).toBe("True");
  expect(commands).toEqual([]);
});

test("of several that leave at once the last one finds nobody after its stop, and starts again", () => {
  const [what, kept, ...commands] = python(`
answers = [True] + [False] * 100
patch(is_active=lambda: True, leads=lambda: False, another_leads=lambda others: answers.pop(0))
told(member.leave)
print(os.path.exists(DATA))
print(*done, sep="\\n")`);
  expect(what).toContain("refused: no other member leads");
  expect(kept).toBe("True");
  expect(commands.map((command) => command.split(" ")[1])).toEqual(["disable", "enable"]);
});

test("the whole set goes: for a quarter of an hour after it was said", () => {
  const program = `
open(node.DISSOLVES, "w").close()
os.utime(node.DISSOLVES, (time.time() - AGE, time.time() - AGE))
serve()
patch(is_active=lambda: False)
told(member.leave)
print(os.path.exists(DATA))`;
  expect(python(program.replaceAll("AGE", "600"))).toEqual(["ok None", "True"]);
  expect(python(program.replaceAll("AGE", "960"))[0]).toContain("refused");
});

test("whoever has data waits for others that say themselves that nothing runs there, while nobody leads", () => {
  const program = (waits: string, leader: string, third: string): string => `
serve()
member.remember(${waits})
patch(own_state=lambda: {"state": "running"}, members=lambda: [{"name": "db-1", "role": ${leader}, "state": "running"}])
node.FACTS["members"]["db-3"] = ${third}
told(member.waits_for_others)`;
  expect(python(program("waits=True", '"replica"', '"127.0.0.3"'))).toEqual(["ok True"]);
  expect(python(program("waits=True", '"replica"', '"127.0.0.2"'))).toEqual(["ok False"]); // all are there
  expect(python(program("waits=True", '"leader"', '"127.0.0.3"'))).toEqual(["ok False"]);
  expect(python(program("", '"replica"', '"127.0.0.3"'))).toEqual(["ok False"]);
});

test("a set begins with a member that never leads: it waits for the next one, and the other ones do not", () => {
  const start = (tags: string): string[] =>
    python(`
serve()
patch(own_state=lambda: {"state": "stopped"}, members=lambda: [], tags=lambda: ${tags})
if os.path.exists(os.path.join(DATA, "PG_VERSION")): os.remove(os.path.join(DATA, "PG_VERSION"))
node.FACTS["members"]["db-3"] = "127.0.0.3"
told(member.start)`);
  expect(start('{"nofailover": True}')).toEqual(["ok None"]);
  expect(start("{}")).toEqual(["refused: the server is 'stopped' after 60 s, and neither leads nor follows"]);
});

describe("a server that runs already", () => {
  /** Its machine, with what `pg_lsclusters` and the server say. */
  const server = (row: string, ...answers: string[]): string => `
import takeover
old = os.path.join(os.path.dirname(DATA), "main")
takeover.CLUSTER, takeover.VERSION, takeover.CONF = "main", "15", os.path.join(os.path.dirname(DATA), "conf")
os.makedirs(takeover.CONF, exist_ok=True)
os.rename(DATA, old)
open(os.path.join(old, "postgresql.auto.conf"), "w").close()
answers = ${JSON.stringify(answers)}
def server(*command, **more):
    done.append(" ".join(command[:1] if command[0] != "systemctl" else command))
    class Done: returncode, stderr = 0, ""
    Done.stdout = f"${row}" if command[0] == "pg_lsclusters" else answers.pop(0) if "psql" in command else ""
    return Done
takeover.run = server
takeover.note = lambda text: None
takeover.member_password = lambda: "secret"
takeover.write = lambda path, text, owner=None: open(path, "w").write(text)
takeover.another_leads = lambda addresses: False
`;
  const ONLINE = "15 main 5432 online postgres {old} log";

  test.each([
    ["another cluster's name", "15 archive 5432 online postgres {old} log", [], "there is: 15/archive"],
    ["another version", "14 main 5432 online postgres {old} log", [], "there is: 14/main"],
    ["somebody else's", "15 main 5432 online joe {old} log", [], "belongs to 'joe'"],
    ["one that is down", "15 main 5432 down postgres {old} log", [], "it has to run"],
    ["a replica", ONLINE, ["t"], "follows another server"],
    ["one with tablespaces", ONLINE, ["f", "2"], "has tablespaces of its own"],
  ])("is refused, and stays as it is: %s", (_, row, answers, words) => {
    const [what, there, ...commands] = python(`${server(row, ...answers)}
told(takeover.check)
print(os.path.exists(old) and not os.path.exists(DATA))
print(*done, sep="\\n")`);
    expect(what).toContain(words);
    expect(there).toBe("True");
    expect(commands.filter((command) => command.startsWith("systemctl"))).toEqual([]);
  });

  test("is refused where the set lives on other machines", () => {
    const [what] = python(`${server(ONLINE, "f", "0")}
takeover.another_leads = lambda addresses: addresses == ["127.0.0.2", "127.0.0.3"]
patch(members=lambda: [])
told(takeover.check)`);
    expect(what).toContain("the set lives already, on other machines");
  });

  test("gives its data by its name only, and has it back where it does not become a member", () => {
    expect(
      python(`${server(ONLINE, "f", "0", "on")}
told(takeover.check)
told(takeover.take_over)
print(os.path.exists(old), sorted(os.listdir(DATA)), takeover.is_handed_over(), takeover.is_due())
takeover.give_back()
print(os.path.exists(DATA), "postgresql.auto.conf" in os.listdir(old), takeover.is_handed_over(), takeover.is_due())
print([command for command in done if command.startswith("systemctl")])`),
    ).toEqual([
      "ok None",
      "ok None",
      "False ['PG_VERSION', 'postgresql.auto.conf.before', 'postgresql.conf'] True False",
      "False True False True",
      "['systemctl disable --quiet --now postgresql@15-main.service', 'systemctl enable --quiet --now postgresql@15-main.service']",
    ]);
  });

  test("the data of another major version is no member's", () => {
    const [what] = python(`
data = os.path.join(os.path.dirname(os.path.dirname(DATA)), "14", "cdktf-ha")
os.makedirs(data)
open(os.path.join(data, "PG_VERSION"), "w").close()
told(member.check_access)`);
    expect(what).toContain("this member's data is of another major version");
  });
});

test("an answer that does not come does not make a member the only one", () => {
  const lines = python(`
patch(members=lambda: [])
told(node.is_alone)
node.members = lambda: [{"name": "db-1"}]
told(node.is_alone)
node.members = lambda: [{"name": "db-1"}, {"name": "db-2"}]
told(node.is_alone)`);
  expect(lines).toEqual(["refused: Patroni does not tell who the members are", "ok True", "ok False"]);
});

test("a member that never leads is nobody to hand over to, and who is never waited for is not missed", () => {
  const lines = python(`
never = {"nofailover": True, "nosync": True}
found = [{"name": "db-1", "role": "leader", "state": "running"},
         {"name": "db-2", "role": "replica", "state": "streaming", "tags": never}]
patch(members=lambda: found, settings=lambda: {"synchronous_mode": True})
told(node.is_alone)
told(lambda: node.lacks_synchronous(found))
told(switchover.switch_over)
patch(is_active=lambda: True, leads=lambda: True)
told(member.leave)
found.append({"name": "db-3", "role": "replica", "state": "streaming"})
told(node.is_alone)
told(lambda: node.lacks_synchronous(found))
found[2]["role"] = "sync_standby"
told(lambda: node.lacks_synchronous(found))`);
  expect(lines.map((line) => line.split(":").slice(0, 2).join(":").slice(0, 60))).toEqual([
    "ok True",
    "ok False",
    "refused: no other member could lead",
    "refused: this member leads, and no other one runs that could",
    "ok False",
    "ok True",
    "ok False",
  ]);
});

test("a delayed member is well with what it has, and while it waits for its hour; not where it lacks the log", () => {
  const lines = python(`
yaml = '{"tags": {"noloadbalance": true, "apply_delay": "2h"}}'
open("50-member.yml", "w").write(yaml)
found = [{"name": "db-2", "role": "leader", "state": "running", "host": "127.0.0.2"}]
answers = {"pg_settings": ["7200000"], "wal_receiver": ["1"], "pg_stat_activity": []}
patch(sql=lambda text: next(answer for name, answer in answers.items() if name in text), members=lambda: found,
      own_state=lambda: {"xlog": {"received_location": 1000, "replayed_location": 0}})
server = serve(patroni=(200, {"xlog": {"location": 100 << 20}}))
told(member.check_following)
server.shutdown(); server = serve(patroni=(200, {"xlog": {"location": 1 << 20}}))
told(member.check_following)
server.shutdown()
told(member.check_following)
answers["wal_receiver"] = []
told(member.check_following)
answers["pg_stat_activity"] = ["1"]
told(member.check_following)
answers["pg_settings"] = ["0"]
told(member.check_following)`);
  expect(lines).toEqual([
    "refused: this member lacks 104856600 bytes of its primary's log, more than 16 MB",
    "ok None",
    "refused: this member lacks an unknown number of bytes of its primary's log, more than 16 MB",
    "refused: this member does not follow anybody",
    "ok None",
    "refused: this member applies what it has after ['0'] ms, not yet after 7200000",
  ]);
});

test("a cluster of Debian's own is empty when it holds no database, table or tablespace of anybody's", () => {
  const lines = python(`
def cluster(*paths):
    root = os.path.join(os.getcwd(), "main%d" % len(os.listdir()))
    for path in ("base/1/1259", "base/5/2619_fsm", "pg_tblspc/", *paths):
        os.makedirs(os.path.join(root, os.path.dirname(path)), exist_ok=True)
        if not path.endswith("/"): open(os.path.join(root, path), "w").close()
    return member.holds_data(root)
print(cluster(), cluster("base/16390/112"), cluster("base/5/16384"), cluster("base/5/16384_fsm"), cluster("pg_tblspc/16400/"))`);
  expect(lines).toEqual(["False True True True True"]);
});

/** etcd's settings, and members that wait for a restart; a restart of the one called `stubborn` fails. */
const patroni = (current: string, wanted: string, waiting: string): string => `
state, waiting, restarted = ${current}, ${waiting}, []
def merge(old, patch):
    for key, value in patch.items():
        if value is None: old.pop(key, None)
        elif isinstance(value, dict) and isinstance(old.get(key), dict): merge(old[key], value)
        else: old[key] = value
names = {address: name for name, address in node.FACTS["members"].items()}
def rest(path, method="GET", body=None, address="127.0.0.1", seconds=10):
    if path == "/config" and method == "PATCH":
        merge(state, body)
        return 200, state
    if path == "/patroni": return 200, {"pending_restart": names[address] in waiting}
    if path == "/restart":
        if names[address] == stubborn: return 503, "does not start"
        restarted.append(names[address])
        waiting.remove(names[address])
        return 200, ""
    raise AssertionError(path)
roles = {"db-1": "replica", "db-2": "leader", "db-3": "sync_standby"}
patch(rest=rest, settings=lambda: json.loads(json.dumps(state)), wanted=lambda: ${wanted},
      members=lambda: [{"name": name, "role": role, "state": "running"} for name, role in roles.items()])
stubborn = None`;
const of = (connections: number): string =>
  `{"ttl": 20, "postgresql": {"use_slots": True, "parameters": {"max_connections": ${connections}}}}`;

test("restarts that were cut off go on, also where etcd has everything already", () => {
  const lines = python(`${patroni(of(120), of(120), '["db-2", "db-3"]')}
told(settings.apply)
print(restarted)`);
  expect(lines).toEqual(["ok None", "['db-3', 'db-2']"]);
});

test("fewer connections restart the primary first", () => {
  const lines = python(`${patroni(of(120), of(80), '["db-1", "db-2", "db-3"]')}
told(settings.apply)
print(restarted, state["postgresql"]["parameters"])`);
  expect(lines).toEqual(["ok None", "['db-2', 'db-1', 'db-3'] {'max_connections': 80}"]);
});

test("fewer connections: a delayed member takes them when it hears of them, and nobody waits for that", () => {
  const lines = python(`${patroni(of(120), of(80), '["db-1", "db-2", "db-3"]')}
late = lambda: [{"name": name, "role": role, "state": "running", "tags": {"apply_delay": "1h"} if name == "db-1" else {}}
                for name, role in roles.items()]
def restart(name):
    restarted.append(name)
    if name != "db-1": waiting.remove(name)
patch(members=late, restart=restart)
told(settings.apply)
print(restarted)`);
  expect(lines).toEqual(["ok None", "['db-2', 'db-1', 'db-3']"]);
});

test("a member starts with the certificate it has where it cannot make a new one, and not without one", () => {
  const lines = python(`
import certificates
certificates.TLS = {"certificate": os.path.join(os.path.dirname(DATA), "member.pem"), "authority": "a", "alternatives": []}
def run(*command, **more): raise Refused("the authority could not sign")
certificates.run, certificates.note = run, print
told(certificates.take_care)
open(certificates.TLS["certificate"], "w").close()
told(certificates.take_care)`);
  expect(lines).toEqual([
    "refused: the authority could not sign",
    "no new certificate: the authority could not sign",
    "ok None",
  ]);
});

test("what the set shows etcd is checked: its name, its authority, its key", () => {
  const lines = python(`
import certificates, subprocess
def openssl(*words): subprocess.run(("openssl", *words), cwd=node.ETC, check=True, capture_output=True)
def read(name):
    with open(os.path.join(node.ETC, name)) as file: return file.read()
def issue(name, authority="trusted"):
    for ca in ("trusted", "other"):
        if not os.path.exists(os.path.join(node.ETC, f"{ca}.pem")):
            openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=ca", "-keyout", f"{ca}.key", "-out", f"{ca}.pem")
    openssl("req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", f"/CN={name}", "-keyout", "own.key", "-out", "request.pem")
    openssl("x509", "-req", "-in", "request.pem", "-days", "2", "-CA", f"{authority}.pem", "-CAkey", f"{authority}.key", "-set_serial", "7", "-out", "own.pem")
    with open(os.path.join(node.ETC, "etcd.pem"), "w") as file: file.write(read("own.pem") + read("own.key"))
certificates.ETCD = {"certificate": os.path.join(node.ETC, "etcd.pem"), "trusted": os.path.join(node.ETC, "trusted.pem")}
issue("db")
told(certificates.check)
issue("archive")
told(certificates.check)
issue("db", "other")
told(certificates.check)
issue("db")
with open(os.path.join(node.ETC, "etcd.pem"), "w") as file: file.write(read("own.pem") + read("other.key"))
told(certificates.check)`);
  expect([lines[0], lines[1]!, lines.at(-1)]).toEqual([
    "ok None",
    "refused: the certificate for etcd is in the name of 'archive', and the set is 'db'",
    "refused: the key of the certificate for etcd is not its certificate's",
  ]);
  expect(lines[2]).toContain("refused: the certificate for etcd is of no authority that etcd trusts");
});

test("fewer connections than Patroni's own number restart the primary first, and more of them last", () => {
  const none = '{"ttl": 20, "postgresql": {"use_slots": True, "parameters": {}}}';
  const order = (current: string, wanted: string): string[] =>
    python(`${patroni(current, wanted, '["db-1", "db-2", "db-3"]')}
told(settings.apply)
print(restarted)`);
  expect(order(none, of(80))).toEqual(["ok None", "['db-2', 'db-1', 'db-3']"]);
  expect(order(of(200), none)).toEqual(["ok None", "['db-2', 'db-1', 'db-3']"]);
  expect(order(none, of(200))).toEqual(["ok None", "['db-1', 'db-3', 'db-2']"]);
});

test("a change to smaller values that was cut off: the replicas once more, when the primary has them", () => {
  const lines = python(`${patroni(of(80), of(80), '["db-1", "db-2", "db-3"]')}
def restart_takes(name):
    restarted.append(name)
    if name == "db-2" or "db-2" in restarted: waiting.remove(name)
patch(restart=restart_takes)
told(settings.apply)
print(restarted)`);
  expect(lines).toEqual(["ok None", "['db-1', 'db-3', 'db-2', 'db-1', 'db-3']"]);
});

test("settings with which a member does not start are taken back", () => {
  const added = of(9000)
    .replace('"ttl": 20', '"ttl": 30, "failsafe_mode": True')
    .replace("}}}", ', "wal_level": "logical"}}}');
  const lines = python(`${patroni(of(120), added, '["db-1", "db-2", "db-3"]')}
stubborn = "db-1"
told(settings.apply)
print(state == ${of(120)}, restarted)`);
  expect(lines).toEqual(["refused: db-1 does not restart with the new settings: does not start", "True []"]);
});

test("a restart that a member still waits for is told", () => {
  const lines = python(`${patroni(of(120), of(120), '["db-3"]')}
calls = []
def pending(name):
    calls.append(name)
    return name == "db-3"
patch(pending=pending)
waiting = ["db-3", "db-3"]
told(settings.apply)`);
  expect(lines).toEqual(["refused: db-3 still waits for a restart"]);
});

test("backups that leave the code take their command for restores back; another key of Patroni's stays", () => {
  expect(
    python(`
old = {"ttl": 20, "postgresql": {"use_slots": True, "pg_hba": ["x"], "recovery_conf": {"restore_command": "get"}, "parameters": {}}}
new = {"ttl": 20, "postgresql": {"use_slots": True, "parameters": {}}}
print(json.dumps(settings.difference(old, new)[0]))
old["postgresql"]["recovery_conf"] = None
print(json.dumps(settings.difference(old, new)[0]))
`),
  ).toEqual(['{"postgresql": {"recovery_conf": null}}', "{}"]);
});

describe("a segment of the log", () => {
  const away = (): string => join(directory, "store-away");
  /** Status of the program, where pgBackRest ends like this. */
  function archive(words: string, pgbackrest: string, archives: boolean | "unknown" = true): number | null {
    const text = readFileSync(join(PROGRAMS, "archive.sh"), "utf8")
      .replace("/etc/patroni/cdktf-ha", directory)
      .replace("/var/run/postgresql/cdktf-ha-store-away", away())
      .replace("seconds=20", "seconds=1");
    writeFileSync(join(directory, "archive"), text);
    const facts = archives === "unknown" ? {} : { archives };
    writeFileSync(join(directory, "facts.json"), JSON.stringify(facts, undefined, 2));
    writeFileSync(
      join(directory, "pgbackrest"),
      `#!/bin/bash\necho "$@" >>${directory}/asked\n${pgbackrest}\n`,
      {
        mode: 0o755,
      },
    );
    const { status } = spawnSync("bash", [join(directory, "archive"), ...words.split(" ")], {
      env: { ...process.env, PATH: `${directory}:${process.env.PATH}` },
    });
    return status;
  }
  const asked = (): number => readFileSync(join(directory, "asked"), "utf8").trim().split("\n").length;

  test("is stored, or waits; a server never ends for it", () => {
    expect(archive("push db pg_wal/1", "exit 0")).toBe(0);
    expect(archive("get db 1 pg_wal/1", "exit 1")).toBe(1);
    expect(archive("get db 1 pg_wal/1", "exit 126")).toBe(1);
    expect(archive("get db 1 pg_wal/1", "kill -9 $$")).toBe(1);
    expect(archive("push db pg_wal/1", "exit 1", false)).toBe(0);
    expect(asked()).toBe(4);
    // facts that cannot be read switch nothing off
    expect(archive("push db pg_wal/1", "exit 1", "unknown")).toBe(1);
    expect(asked()).toBe(5);
  });

  test("a store that does not answer is asked once in a minute", () => {
    expect(archive("push db pg_wal/1", "sleep 30")).toBe(1);
    expect(archive("get db 1 pg_wal/1", "exit 0")).toBe(1);
    expect(asked()).toBe(1);
    const past = new Date(Date.now() - 61_000);
    utimesSync(away(), past, past);
    expect(archive("push db pg_wal/1", "exit 0")).toBe(0);
    expect(existsSync(away())).toBe(false);
  });
});

describe("a pooler that was paused", () => {
  /** By the seconds at which somebody looks: is a pause to end? `holds`: whoever paused has its connection still. */
  const over = (looks: [number, { holds?: boolean; waits?: boolean }][]): boolean[] => {
    const said = python(`
import pooler
guard = pooler.Guard()
for at, held, waits in ${JSON.stringify(looks.map(([at, { holds = false, waits = false }]) => [at, holds ? 1 : 0, waits ? 1 : 0]))}:
    print(guard.is_over(bool(held), bool(waits), at))
`);
    return said.map((word) => word === "True");
  };
  const holds = { holds: true };
  const waits = { waits: true };

  test("goes on when whoever paused it has gone, and only then", () => {
    expect(
      over([
        [0, {}],
        [1, holds],
        [2, holds],
        [3, {}],
        [4, {}],
      ]),
    ).toEqual([false, false, false, true, false]);
  });

  test("goes on after half a minute, whoever is still there", () => {
    expect(
      over([
        [1, holds],
        [30, holds],
        [32, holds],
        [33, holds],
      ]),
    ).toEqual([false, false, true, false]);
  });

  test("goes on where whoever paused it was gone before anybody looked", () => {
    expect(
      over([
        [1, waits],
        [2, waits],
        [7, waits],
      ]),
    ).toEqual([true, false, true]);
    expect(over([[1, { holds: true, waits: true }]])).toEqual([false]);
  });

  test("a transaction that does not end holds nothing up for longer than ten seconds", () => {
    expect(
      python(`
import pooler
class Console:
    def __init__(self, busy): self.busy, self.asked = busy, []
    def ask(self, statement):
        self.asked.append(statement)
        if statement == "PAUSE" and self.busy: threading.Event().wait()
        return []
pooler.PAUSE_WITHIN = 2
import time as real
pooler.note = lambda text: None
quick, busy = Console(False), Console(True)
class Clock:
    monotonic = staticmethod(lambda: __import__("_strptime") and __import__("datetime").datetime.now().timestamp())
    sleep = staticmethod(lambda seconds: None)
pooler.time = Clock
print(sorted(pooler.pause({"db-1": ("127.0.0.1", quick), "db-2": ("127.0.0.2", busy)})), quick.asked[-1], busy.asked[-1])
sys.stdout.flush(); os._exit(0)
`),
    ).toEqual(["['db-2'] PAUSE PAUSE"]);
  });

  test("passwords are written as PgBouncer reads them", () => {
    expect(python(`import pooler\nprint(pooler.quoted('a "b" \\\\ c'))`)).toEqual(['"a ""b"" \\ c"']);
  });
});

const upstream = '{"host": "127.0.0.2,127.0.0.3", "port": 5432}';
const followed = `{"ttl": 20, "standby_cluster": ${upstream}, "postgresql": {"parameters": {}}}`;
const alone = '{"ttl": 20, "synchronous_mode": True, "postgresql": {"parameters": {}}}';

test("a set that follows becomes a primary when the other one is silent, and nothing takes that back", () => {
  const promote = (alive: string): string[] =>
    python(`${patroni(followed, alone, "[]")}
promoted = []
patch(listens=lambda host, port=None: host in ${alive}, await_promotion=lambda: promoted.append(True))
def restarts(*of): raise Refused("a member does not restart")
patch(restart_in_turn=restarts)
told(settings.apply)
print(promoted, sorted(state))`);
  const [refused, kept] = promote('["127.0.0.3"]');
  expect(refused).toContain("refused: 127.0.0.3 of the set that this one follows still answers at port 5432");
  expect(kept).toBe("[] ['postgresql', 'standby_cluster', 'ttl']");
  const [failed, leads] = promote("[]");
  expect(failed).toBe("refused: a member does not restart");
  expect(leads).toMatch(/^\[True\] (?!.*standby_cluster)/);
});

test("who is just being promoted is told nothing that it would have to write", () => {
  const said = python(`
import schema, subprocess
schema.model = lambda: {"databases": [], "roles": []}
node.leads = schema.leads = lambda: True
recovering, tried = ["t", "t", "f"], []
node.sql = lambda statement: [recovering[0]]
schema.is_done = lambda text: bool(tried)
class Done: returncode, stderr = 0, ""
def run(command, **more):
    if "runuser" in command: tried.append(recovering[0])
    return Done
subprocess.run = run
pause = time.sleep
def sleep(seconds):
    recovering.pop(0)
    pause(seconds)
time.sleep = sleep
sys.modules["render"] = type("render", (), {"tags": staticmethod(dict)})
schema.main()
print(tried)
`);
  expect(said.at(-1)).toBe("['f']");
});

test("a set that leads never follows, and one that follows may follow at other addresses", () => {
  const lines = python(`${patroni(alone, followed, "[]")}
told(settings.apply)
state = ${followed.replace("127.0.0.3", "127.0.0.4")}
told(settings.apply)
print(state["standby_cluster"]["host"])`);
  expect(lines).toEqual([
    "refused: this set lives as a primary, and does not become another one's standby",
    "ok None",
    "127.0.0.2,127.0.0.3",
  ]);
});
