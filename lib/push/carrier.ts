import { TerraformProvider, TerraformResource, TerraformStack, type IResolvable } from "cdktf";
import { atSynth } from "../platform/at-synth";
import { NullProvider } from "@cdktf/provider-null/lib/provider";
import { Resource as NullResource } from "@cdktf/provider-null/lib/resource";
import type { Construct } from "constructs";
import { refuse } from "../problem";
import type { Connection } from "../platform/ssh-access";

/** Which Terraform resource carries a push. The plan reads the same with both. */
export enum Carrier {
  /** Of the null provider: what everybody knows. The default. */
  NULL_RESOURCE = "null_resource",
  /** Built into Terraform 1.4 and later: needs no provider, so no registry. */
  TERRAFORM_DATA = "terraform_data",
}

/** Key in `cdktf.json`'s `context`, or in `CDKTF_CONTEXT_JSON`, that chooses the carrier where the code does not. */
export const CARRIER_CONTEXT = "cdktf-ha-clusters:carrier";

/** A provisioner in the spelling of Terraform's JSON. */
export type Provisioner = Readonly<Record<string, Readonly<Record<string, unknown>>>>;

export interface Carried {
  readonly connection: Connection;
  /** Asked at synth. A change of any of them runs the provisioners again. */
  readonly triggers: () => Readonly<Record<string, string>>;
  /** Asked at synth. */
  readonly provisioners: () => readonly Provisioner[];
  readonly replaceTriggeredBy?: readonly TerraformResource[];
}

/** The only place that makes resources with provisioners. */
export function carry(scope: Construct, id: string, carrier: Carrier, carried: Carried): TerraformResource {
  // Not in a synth's first pass, which looks for values of other stacks: a push shows its own beside these.
  const atLast = (produce: () => unknown): IResolvable =>
    atSynth(({ preparing }) => (preparing ? undefined : produce()));
  const triggers = atLast(carried.triggers);
  let resource: TerraformResource;
  if (carrier === Carrier.NULL_RESOURCE) {
    needNullProvider(scope);
    resource = new NullResource(scope, id, { triggers: triggers as never });
  } else {
    // cdktf's own class for it runs `terraform version` at synth, for each resource: a tenth of a second a push.
    resource = new TerraformResource(scope, id, { terraformResourceType: "terraform_data" });
    resource.addOverride("triggers_replace", triggers);
  }
  // By override: cdktf's provisioner types have neither `when` nor a connection of tokens, and these are lazy.
  resource.addOverride("connection", carried.connection);
  resource.addOverride(
    "provisioner",
    atLast(() => [...carried.provisioners()]),
  );
  if (carried.replaceTriggeredBy?.length) {
    resource.addOverride(
      "lifecycle.replace_triggered_by",
      carried.replaceTriggeredBy.map((other) => `${other.terraformResourceType}.${other.friendlyUniqueId}`),
    );
  }
  return resource;
}

export function carrierOf(scope: Construct, chosen?: Carrier): Carrier {
  const carrier: unknown = chosen ?? scope.node.tryGetContext(CARRIER_CONTEXT) ?? Carrier.NULL_RESOURCE;
  if (carrier === Carrier.NULL_RESOURCE || carrier === Carrier.TERRAFORM_DATA) return carrier;
  return refuse(scope, {
    code: "conflicting-setting",
    what: `the context value '${CARRIER_CONTEXT}' is '${String(carrier)}'`,
    allowed: Object.values(Carrier).join(" or "),
    fix: "correct it in cdktf.json or CDKTF_CONTEXT_JSON",
  });
}

/** A stack has one null provider: the user's own if there is one already. */
function needNullProvider(scope: Construct): void {
  const stack = TerraformStack.of(scope);
  const id = "cdktf-ha-null-provider";
  if (stack.node.tryFindChild(id)) return;
  const isNull = (provider: unknown): boolean =>
    TerraformProvider.isTerraformProvider(provider) && provider.terraformResourceType === "null";
  if (!stack.node.findAll().some(isNull)) new NullProvider(stack, id);
}
