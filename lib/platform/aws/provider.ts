import { Aspects, TerraformDataSource, TerraformResource, type TerraformProvider } from "cdktf";
import type { IConstruct } from "constructs";

/** What AWS makes below the construct is made by this provider: in its region, in its account. */
export function madeBy(scope: IConstruct, provider: TerraformProvider | undefined): void {
  if (!provider) return;
  Aspects.of(scope).add({
    visit: (node) => {
      const isOurs =
        TerraformResource.isTerraformResource(node) || TerraformDataSource.isTerraformDataSource(node);
      if (isOurs && node.terraformResourceType.startsWith("aws_")) node.provider ??= provider;
    },
  });
}
