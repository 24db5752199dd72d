import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

interface Policy {
  readonly Statement: readonly {
    readonly Sid: string;
    readonly Action: string[];
    readonly Resource: string;
  }[];
}
const root = join(__dirname, "../..");
const policy = (name: string): Policy => JSON.parse(readFileSync(join(root, "docs", name), "utf8")) as Policy;

test("the boundary of machines is what the library gives to machines, all of it and nothing else", () => {
  const sources = readdirSync(join(root, "lib"), { recursive: true, encoding: "utf8" }).filter((path) =>
    path.endsWith(".ts"),
  );
  const actions = sources
    .map((path) => readFileSync(join(root, "lib", path), "utf8"))
    .flatMap((text) => [...text.matchAll(/"((?:ec2|kms|s3|secretsmanager|ssm):[A-Z]\w+)"/g)])
    .map(([, action]) => action!)
    .filter((action) => action !== "kms:ViaService"); // a condition
  const [boundary] = policy("machines-boundary.json").Statement;
  expect(boundary!.Action).toEqual([...new Set(actions)].sort());
});

test("who deploys gives rights to bounded roles alone, and changes what is everybody's nowhere", () => {
  const statements = policy("deployer-policy.json").Statement;
  const holding = (action: string): object[] => statements.filter(({ Action }) => Action.includes(action));
  for (const action of ["iam:CreateRole", "iam:PutRolePolicy"]) {
    expect(holding(action)).toEqual([
      expect.objectContaining({
        Condition: { StringEquals: { "iam:PermissionsBoundary": "arn:aws:iam::ACCOUNT:policy/BOUNDARY" } },
      }),
    ]);
  }
  const unbounded = statements
    .filter((statement) => statement.Resource === "*" && !("Condition" in statement))
    .flatMap(({ Action }) => Action);
  // a health check that is made is nobody's yet, and Route 53 knows no condition for it
  const harmless = /^(ec2:(Describe|Get)|route53:CreateHealthCheck$)/;
  expect(unbounded.filter((action) => !harmless.test(action))).toEqual([]);
});
