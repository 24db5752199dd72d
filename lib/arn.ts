import type { IConstruct } from "constructs";
import { isToken, refuse } from "./problem";

/** Refuses what is no ARN of a KMS key: an alias may stand for another key tomorrow. */
export function checkKeyArn(scope: IConstruct | string, name: string, arn: string | undefined): void {
  if (arn === undefined || isToken(arn) || /^arn:aws[a-z-]*:kms:[a-z0-9-]+:\d{12}:key\/./.test(arn)) return;
  refuse(scope, {
    code: "bad-arn",
    what: `'${name}' is '${arn}'`,
    allowed:
      "the ARN of a key: arn:aws:kms:REGION:ACCOUNT:key/...; a policy does not know aliases, and Terraform would replace a volume that has one",
    fix: "`aws kms describe-key --key-id alias/...` tells it",
  });
}

/** Refuses what is no ARN of an IAM policy. */
export function checkPolicyArn(scope: IConstruct | string, name: string, arn: string | undefined): void {
  if (arn === undefined || isToken(arn) || /^arn:aws[a-z-]*:iam::(\d{12}|aws):policy\/./.test(arn)) return;
  refuse(scope, {
    code: "bad-arn",
    what: `'${name}' is '${arn}'`,
    allowed: "the ARN of a policy: arn:aws:iam::ACCOUNT:policy/NAME",
    fix: "`aws iam list-policies --scope Local` tells it",
  });
}
