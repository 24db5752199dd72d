import { join } from "node:path";
import { exampleNames, synthesizeExample } from "../../demo/examples";
import { installed } from "../../machines/aws/cloud";
import { run } from "../../machines/run";
import { mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { report } from "../machines/support/haproxy";

/** What checkov says of the examples on AWS. Each suppression has its reason, and one that nothing needs any more fails. */
const SUPPRESSED: Record<string, { readonly resources: RegExp; readonly reason: string }> = {
  CKV_AWS_135: {
    resources: /_instance_/,
    reason:
      "every instance type of the current generation is EBS-optimized by itself; the attribute only matters for types of before 2017, some of which refuse it",
  },
  CKV_AWS_189: {
    resources: /^(ring_cassandra|metadata_pg)-\d_data_/,
    reason:
      "encrypted by the account's own key; a key that the user manages is 'kmsKeyArn' of the platform, with its costs and its policy",
  },
  CKV_AWS_126: {
    resources: /_instance_/,
    reason:
      "metrics by the minute cost extra and no failover here depends on them: keepalived and HAProxy find failures in less than 2 s",
  },
  CKV_AWS_260: {
    resources: /^lb_from-0-0-0-0-0-tcp-80_/,
    reason: "the example's declared public port, which redirects to HTTPS",
  },
  CKV2_AWS_41: {
    resources: /^(web|etcd)_/,
    reason:
      "an instance that asks for nothing at AWS has no role: no rights are less than those of an empty role",
  },
  CKV2_AWS_23: {
    resources: /^dns_a-/,
    reason: "the example's records lead to proxies on hosts that exist; each has a health check of its own",
  },
  CKV2_AWS_19: {
    resources: /_elastic-address_/,
    reason:
      "the address belongs to whichever node is alive: keepalived associates it, and an association by Terraform would take it back at the next apply",
  },
};

interface Report {
  readonly summary: { readonly passed: number; readonly failed: number };
  readonly results: {
    readonly failed_checks: readonly {
      readonly check_id: string;
      readonly check_name: string;
      readonly resource: string;
    }[];
  };
}

test("checkov has nothing to say of the examples on AWS that has no written answer", async () => {
  const checkov = await installed("--checkov");
  const root = join(__dirname, "../..");
  const directory = mkdtempSync(join(tmpdir(), "checkov-"));
  const unanswered: string[] = [];
  const used = new Set<string>();
  let passed = 0;
  for (const example of exampleNames(root)) {
    for (const [name, stack] of Object.entries(synthesizeExample(root, example))) {
      if (!Object.keys(stack.resource ?? {}).some((type) => type.startsWith("aws_"))) continue;
      const file = join(directory, `${example}-${name}.tf.json`);
      writeFileSync(file, JSON.stringify(stack, null, 2));
      const options = ["--framework", "terraform_json", "--skip-download", "--output", "json"];
      const { stdout } = await run(checkov, ["--file", file, ...options], {
        allowFailure: true,
        timeoutSeconds: 300,
      });
      const { summary, results } = JSON.parse(stdout) as Report;
      passed += summary.passed;
      for (const { check_id, check_name, resource } of results.failed_checks) {
        const bare = resource.replace(/^(resource|aws_\w+)\./, "");
        if (SUPPRESSED[check_id]?.resources.test(bare)) used.add(check_id);
        else unanswered.push(`${example}: ${check_id} ${check_name}: ${resource}`);
      }
    }
  }
  report(
    "checkov",
    `${passed} checks passed, ${used.size} kinds of finding answered, ${unanswered.length} not`,
  );
  expect(unanswered).toEqual([]);
  expect(Object.keys(SUPPRESSED).filter((id) => !used.has(id))).toEqual([]);
  expect(passed).toBeGreaterThan(100);
}, 1_800_000);

test("checkov has nothing to say of the example's workflows", async () => {
  const checkov = await installed("--checkov");
  const options = ["--directory", ".", "--framework", "github_actions", "gitlab_ci"];
  const { stdout } = await run(checkov, [...options, "--skip-download", "--output", "json"], {
    cwd: join(__dirname, "../../examples/load-balancer-aws"),
    allowFailure: true,
    timeoutSeconds: 300,
  });
  const reports = JSON.parse(stdout) as (Report & { readonly check_type: string })[];
  const passed = Object.fromEntries(
    reports.map(({ check_type, summary }) => [check_type, summary.passed > 0]),
  );
  expect(passed).toEqual({ github_actions: true, gitlab_ci: true });
  expect(reports.flatMap(({ results }) => results.failed_checks)).toEqual([]);
});
