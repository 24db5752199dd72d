import { Token, type IResolvable, type IResolveContext } from "cdktf";

/**
 * A value that is asked for at synth, when every rule, right and file is known. What cdktf's own `Lazy.anyValue` is, but for
 * the stack trace that one takes at its birth: an error here names its construct, and the traces of all tokens together
 * take most of the time of a large synth.
 */
export function atSynth(produce: (context: IResolveContext) => unknown): IResolvable {
  return new AtSynth(produce);
}

class AtSynth implements IResolvable {
  readonly creationStack: string[] = [];

  constructor(private readonly produce: (context: IResolveContext) => unknown) {}

  resolve(context: IResolveContext): unknown {
    return this.produce(context);
  }

  toString(): string {
    return Token.asString(this);
  }
}
