import type { Cloud } from "../../../machines/aws/cloud";

type OneOrMore = string | readonly string[];
interface Statement {
  readonly Action: OneOrMore;
  readonly Resource: OneOrMore;
}

/** A machine's role against the log of calls: what it called for without a right, and rights that it did not need. */
export async function rightsOf(
  cloud: Cloud,
  RoleName: string,
): Promise<{ readonly stray: readonly string[]; readonly unused: readonly string[] }> {
  const { PolicyDocument } = await cloud.call<{ PolicyDocument: { Statement: Statement[] | Statement } }>(
    "iam",
    "get_role_policy",
    { RoleName, PolicyName: "cdktf-ha" },
  );
  const allowed = [PolicyDocument.Statement]
    .flat()
    .flatMap(({ Action, Resource }) =>
      [Action].flat().flatMap((action) => [Resource].flat().map((resource) => `${action} ${resource}`)),
    );
  const called = cloud
    .callsOf(new RegExp(`^${RoleName}/i-`))
    .flatMap(({ action, resources }) => resources.map((resource) => `${action} ${resource}`));
  // a secret's ARN ends in six characters that nobody knows before: ??????
  const matches = (pattern: string, call: string): boolean =>
    new RegExp(`^${pattern.replace(/[.*+^${}()|[\]\\]/g, "\\$&").replaceAll("?", ".")}$`).test(call);
  return {
    stray: [...new Set(called.filter((call) => !allowed.some((pattern) => matches(pattern, call))))],
    unused: allowed.filter((pattern) => !called.some((call) => matches(pattern, call))),
  };
}
