import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** How many of a machine's huge pages are the server's (on-machine/huge_pages.py), with files in the kernel's place. */
const PROGRAMS = join(__dirname, "../../lib/postgres-replica-set/on-machine");
let directory: string;

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "huge-pages-"));
  writeFileSync(
    join(directory, "node.py"),
    "DATA, FACTS, told = '', {}, []\nnote = told.append\npostgresql_conf = run = None\nclass Refused(Exception): pass\n",
  );
});
afterEach(() => rmSync(directory, { recursive: true }));

/** What the program prints: `pages(100)` wants so many, `kernel(n)` has somebody else set them, `most` is what the kernel can give. */
function python(program: string): string[] {
  const prelude = `
import os, sys
sys.path[:0] = [${JSON.stringify(directory)}, ${JSON.stringify(PROGRAMS)}]
import huge_pages as h, node
h.KERNEL, h.STATE = ${JSON.stringify(directory)}, ${JSON.stringify(join(directory, "state"))}
most, wanted = [10**6], [0]
write = h.tell
def tell(name, value):
    write(name, min(int(value), most[0]) if name == "nr_hugepages" else value)
h.tell = tell
def kernel(number): write("nr_hugepages", number)
def pages(number):
    h.needed = lambda parameters: number
    h.reserve({})
    print(h.total())
kernel(0)
`;
  const { stdout, stderr } = spawnSync("python3", ["-B", "-c", prelude + program], { encoding: "utf8" });
  expect(stderr).toBe("");
  return stdout.trim().split("\n");
}

test("as many as are wanted, more, fewer, and none when it is over; what others have stays", () => {
  expect(python("pages(100); pages(100); pages(150); pages(80); h.release(); print(h.total())")).toEqual([
    "100",
    "100",
    "150",
    "80",
    "0",
  ]);
  expect(python("kernel(30); pages(100); kernel(150); pages(50); h.release(); print(h.total())")).toEqual([
    "130",
    "100",
    "50",
  ]);
  expect(python("h.release(); kernel(7); h.release(); print(h.total())")).toEqual(["7"]);
});

test("where there are not enough none is kept, and somebody is told; later there may be", () => {
  expect(
    python("kernel(10); most[0] = 60; pages(100); print(node.told[0]); most[0] = 200; pages(100)"),
  ).toEqual([
    "10",
    "no huge pages: 100 are needed, and 50 could be had; right after a boot there are more",
    "110",
  ]);
});

test("whoever is killed before the kernel was told, or in the middle of it, takes nothing of others' and leaves nothing behind", () => {
  const killed = `
def killed(half, wanted):
    if os.fork() == 0:
        def tell_half(name, value):
            write(name, (h.total() + int(value)) // 2 if half else h.total())
            os._exit(0)
        h.tell = tell_half
        pages(wanted)
    os.wait()
    print("killed at", h.total())
kernel(20)
killed(True, 100); pages(100)
killed(False, 50); pages(50)
killed(True, 30); h.release(); print(h.total())`;
  expect(python(killed)).toEqual(["killed at 70", "120", "killed at 120", "70", "killed at 60", "20"]);
  const terminated = `
def tell_half(name, value):
    write(name, int(value) // 2)
    h.tell = tell
    sys.exit("no time")
kernel(20)
h.tell = tell_half
try: pages(100)
except SystemExit: print(h.total())
`;
  expect(python(terminated)).toEqual(["20"]);
  expect(python("kernel(5); open(h.STATE, 'w').write('[1'); pages(10)")).toEqual(["15"]);
});
