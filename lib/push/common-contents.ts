import { TerraformStack } from "cdktf";
import type { Construct } from "constructs";
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
        const trigger = triggers[key];
        // none that Terraform fills in: one machine's values must not wait for another's
        if (typeof trigger !== "string" || lines.length < WORTH_IT) continue;
        const name = nameOf(key, trigger);
        if (!this.holders.has(name)) this.holders.set(name, push);
      }
    }
  }

  /** The push whose local holds this content of a push. */
  holder(push: Push, key: string, trigger: string): Push {
    return this.holders.get(nameOf(key, trigger)) ?? push;
  }
}

/** What is the same has the same name. */
function nameOf(key: string, trigger: string): string {
  return `${key} ${trigger}`;
}
