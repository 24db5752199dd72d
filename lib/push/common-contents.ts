import { TerraformStack } from "cdktf";
import type { Construct } from "constructs";
import type { Bundle } from "./bundle";
import type { Push } from "./push";

/** Lines from which on a text is worth it: a shorter one is read better beside what uses it. */
const WORTH_IT = 10;

const ofStacks = new WeakMap<TerraformStack, CommonContents>();

/**
 * What several pushes of a stack have in common (the programs of a cluster's nodes, and whatever of their configuration is the
 * same) stands in the synthesized JSON once, at the first of them: half of the JSON, and a third of Terraform's time for a plan.
 */
export class CommonContents {
  readonly pushes: Push[] = [];
  private readonly asked = new Map<Push, Set<string>>();
  private readonly holders = new Map<string, Push>();

  /** Of the stack's pushes. */
  static of(scope: Construct): CommonContents {
    const stack = TerraformStack.of(scope);
    let found = ofStacks.get(stack);
    if (!found) ofStacks.set(stack, (found = new CommonContents()));
    return found;
  }

  /** The next question begins a pass over the stack. */
  forget(): void {
    this.asked.clear();
  }

  /**
   * To be told of every question that a pass over the stack puts to a push. Each comes once, in whatever order: the first one,
   * and one that comes again, begin a pass, for which all of them are described as of now.
   */
  note(push: Push, question: string): void {
    if (!this.asked.size || this.asked.get(push)?.has(question)) this.begin();
    this.asked.set(push, (this.asked.get(push) ?? new Set()).add(question));
  }

  private begin(): void {
    this.asked.clear();
    this.holders.clear();
    for (const push of this.pushes) {
      const { contents, triggers } = push.renew();
      for (const [key, lines] of Object.entries(contents)) {
        const name = nameOf(triggers, key);
        if (name !== undefined && lines.length >= WORTH_IT && !this.holders.has(name)) {
          this.holders.set(name, push);
        }
      }
    }
  }

  /** The push whose local holds this content of a push's bundle. */
  holder(push: Push, { triggers }: Bundle, key: string): Push {
    return this.holders.get(nameOf(triggers, key) ?? "") ?? push;
  }
}

/** What is the same has the same name. None for what Terraform fills in: one machine's values must not wait for another's. */
function nameOf(triggers: Bundle["triggers"], key: string): string | undefined {
  const trigger = triggers[key];
  return typeof trigger === "string" ? `${key} ${trigger}` : undefined;
}
