import { InvalidInput, Secret } from "../../lib";
import { makeBundle } from "../../lib/push/bundle";
import type { ServiceDescription } from "../../lib/push/service";

const where = { machine: "lb-1", service: "web", address: "10.0.0.1", owner: "stack/rack" };
const bundle = (description: ServiceDescription) => makeBundle("stack/web", where, description);
const file = (text: string, more = {}) => ({ path: "/etc/web/a", text, ...more });

/** The problem's code, or nothing. */
function codeOf(description: ServiceDescription): string | undefined {
  try {
    bundle(description);
    return undefined;
  } catch (error) {
    if (error instanceof InvalidInput) return error.code;
    throw error;
  }
}

test("one changed file changes the trigger of that file alone", () => {
  const before = bundle({ files: [file("one"), { path: "/etc/web/b", text: "same" }] }).triggers;
  const after = bundle({ files: [file("two"), { path: "/etc/web/b", text: "same" }] }).triggers;
  const changed = Object.keys(after).filter((key) => after[key] !== before[key]);
  expect(changed).toEqual(["/etc/web/a"]);
});

test("where the machine stands does not trigger anything", () => {
  const one = makeBundle("p", where, { files: [file("x")] });
  const two = makeBundle(
    "p",
    { ...where, owner: "other", defer: true, address: "10.0.0.2" },
    { files: [file("x")] },
  );
  expect(two.triggers).toEqual(one.triggers);
});

test("the mark is in no content", () => {
  const { mark, contents } = bundle({ files: [file("#:0123456789abcdef01234567: end\n")] });
  for (const lines of Object.values(contents)) expect(lines.join("\n")).not.toContain(mark);
});

test("text that Terraform would normalize travels as base64", () => {
  const decomposed = "a\u0308"; // ä as two characters
  const { contents, lines } = bundle({ files: [file(decomposed)] });
  expect(Buffer.from(contents["/etc/web/a"]![0]!, "base64").toString()).toBe(decomposed);
  expect(lines.some((line) => typeof line === "string" && line.endsWith("file 0 base64"))).toBe(true);
});

test.each([
  ["NUL", { files: [file("a\0b")] }, "bad-text"],
  ["half a surrogate pair", { files: [file("\ud800")] }, "bad-text"],
  ["a relative path", { files: [{ path: "etc/web", text: "" }] }, "bad-path"],
  ["a path with ..", { files: [{ path: "/etc/../web", text: "" }] }, "bad-path"],
  ["a path with a newline", { files: [{ path: "/etc/we\nb", text: "" }] }, "bad-path"],
  ["a path with an expression", { files: [{ path: "/etc/${x}", text: "" }] }, "bad-path"],
  ["a directory as a file", { files: [{ path: "/etc/web/", text: "" }] }, "bad-path"],
  ["a mode in words", { files: [file("", { mode: "rw" })] }, "bad-path"],
  ["a secret nobody gave", { files: [file("@@HA:secret:nobody@@")] }, "unknown-secret"],
  [
    "a secret for everybody's eyes",
    { files: [file(Secret.file("/a").placeholder, { mode: "0644" })], secrets: [Secret.file("/a")] },
    "bad-path",
  ],
] as const)("%s is refused", (_, description, code) => expect(codeOf(description)).toBe(code));

test("a file with a secret is closed to others unless it says otherwise", () => {
  const secret = Secret.file("/etc/ssl/private/a.pem");
  const { contents } = bundle({ files: [file(secret.placeholder)], secrets: [secret] });
  expect(contents.manifest).toContain("filled\t0\t0640\troot\troot\treload\t/etc/web/a");
});

test("sysctls are a file of their own, in the order given", () => {
  const { contents } = bundle({
    files: [],
    sysctls: { "net.ipv4.ip_nonlocal_bind": 1, "net.core.somaxconn": 4096 },
  });
  expect(contents["/etc/sysctl.d/60-cdktf-ha-web.conf"]).toEqual([
    "net.ipv4.ip_nonlocal_bind = 1",
    "net.core.somaxconn = 4096",
    "",
  ]);
});
