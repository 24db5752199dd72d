import { Token } from "cdktf";
import { CassandraInstallation, MetricsAgent } from "../../lib";

const sha256 = "0".repeat(64);

test("what only Terraform knows is passed on", () => {
  const url = `https://${Token.asString({ resolve: () => "mirror" })}/cassandra`;
  expect(CassandraInstallation.apt("5.0.6", { mirror: url, keys: url, suite: url }).source).toEqual([
    url,
    url,
  ]);
  expect(CassandraInstallation.archive("5.0.6", url, { sha256 }).source).toEqual([url, sha256]);
  expect(() => MetricsAgent.download(url, { sha256 })).not.toThrow();
});

test.each<[string, (url: string) => unknown]>([
  ["a mirror", (mirror) => CassandraInstallation.apt("5.0.6", { mirror })],
  ["keys", (keys) => CassandraInstallation.apt("5.0.6", { keys })],
  ["an archive", (source) => CassandraInstallation.archive("5.0.6", source, { sha256 })],
  ["a metrics agent", (source) => MetricsAgent.download(source, { sha256 })],
])("a login in the URL of %s is refused and not shown", (_, build) => {
  let words = "";
  try {
    build("https://joe:sword/f@ish@apt.example.net/cassandra");
  } catch (error) {
    words = (error as Error).message;
  }
  expect(words).toContain("https://...@apt.example.net/cassandra");
  expect(words).toContain("without a login");
  expect(words).not.toMatch(/joe|sword|ish@/);
});
