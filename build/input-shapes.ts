import { writeFileSync } from "node:fs";
import { join, relative } from "node:path";
import ts from "typescript";
import type { Shape, Shapes, Thing } from "../lib/input/shape";

/**
 * `npm run shapes`: reads from the types of what `lib/index.ts` exports which settings there are and of what kind, and writes
 * it to lib/input/shapes.ts, where plain JavaScript's input is compared with it. A test compares the file with the types.
 */
const ROOT = join(__dirname, "..");

export function shapesOfLibrary(): Shapes {
  const { config } = ts.readConfigFile(join(ROOT, "tsconfig.json"), (path) => ts.sys.readFile(path));
  const { options } = ts.parseJsonConfigFileContent(config, ts.sys, ROOT);
  const index = join(ROOT, "lib/index.ts");
  const program = ts.createProgram([index], { ...options, types: ["node"], noEmit: true });
  const checker = program.getTypeChecker();
  const own = (node: ts.Node): boolean =>
    !relative(join(ROOT, "lib"), node.getSourceFile().fileName).startsWith("..");

  const implemented = new Set(
    program
      .getSourceFiles()
      .filter(own)
      .flatMap(({ statements }) => statements.filter(ts.isClassDeclaration))
      .flatMap(({ heritageClauses = [] }) => [...heritageClauses])
      .flatMap(({ types }) =>
        types.map(({ expression }) => checker.getTypeAtLocation(expression).getSymbol()?.name),
      ),
  );
  const things: Record<string, Thing> = {};
  const calls: Record<string, Record<string, Shape>> = {};

  for (const exported of checker.getExportsOfModule(
    checker.getSymbolAtLocation(program.getSourceFile(index)!)!,
  )) {
    if (exported.declarations?.some(ts.isTypeOnlyExportDeclaration)) continue;
    const symbol = exported.flags & ts.SymbolFlags.Alias ? checker.getAliasedSymbol(exported) : exported;
    const { name } = exported;
    if (symbol.flags & ts.SymbolFlags.Class) {
      const itself = checker.getTypeOfSymbol(symbol);
      for (const signature of itself.getConstructSignatures()) {
        const props = signature.getParameters().find((parameter) => parameter.name === "props");
        const of = signature.declaration;
        if (props && of && isPublic(of)) shapeOf(checker.getTypeOfSymbol(props));
      }
      addCalls(`${name}.`, itself, symbol);
      addCalls(`${name}#`, checker.getDeclaredTypeOfSymbol(symbol), symbol);
    } else if (symbol.flags & ts.SymbolFlags.Variable) {
      addCalls(`${name}.`, checker.getTypeOfSymbol(symbol));
    }
  }
  return { calls: sorted(calls), things: sorted(things) };

  /** The methods that are written there, with their parameters. */
  function addCalls(prefix: string, type: ts.Type, owner?: ts.Symbol): void {
    for (const method of checker.getPropertiesOfType(type)) {
      const declaration = method.valueDeclaration;
      if (!declaration || !ts.isMethodDeclaration(declaration) || !own(declaration)) continue;
      if (!isPublic(declaration) || ts.getCombinedModifierFlags(declaration) & ts.ModifierFlags.Abstract)
        continue;
      if (owner && !owner.declarations!.includes(declaration.parent)) continue;
      const parameters = declaration.parameters.map((parameter): [string, Shape] => {
        const kind = checker.getTypeAtLocation(parameter);
        const text = ts.isIdentifier(parameter.name) ? parameter.name.text : "props";
        if (parameter.dotDotDotToken) return [`...${text}`, elementsOf(kind)];
        const optional = parameter.questionToken ?? parameter.initializer;
        return [optional || isOptional(kind) ? `${text}?` : text, shapeOf(kind)];
      });
      const shapes = parameters.map(([, shape]) => shape);
      // what takes a construct, or nothing but one certain class, is for the library's own parts, which TypeScript has looked at
      const forItself =
        owner &&
        !isStatic(declaration) &&
        shapes.some((shape) => shape[0] === "is" && (shapes.length === 1 || shape[1] === "Construct"));
      if (!forItself && shapes.some((shape) => shape !== "anything")) {
        calls[`${prefix}${method.name}`] = Object.fromEntries(parameters);
      }
    }
  }

  function shapeOf(type: ts.Type): Shape {
    if (type.isUnion()) return unionOf(type.types);
    if (type.isStringLiteral() || type.isNumberLiteral()) return ["word", type.value];
    const { flags } = type;
    if (flags & ts.TypeFlags.BooleanLiteral) return ["word", checker.typeToString(type) === "true"];
    if (flags & ts.TypeFlags.StringLike) return "text";
    if (flags & ts.TypeFlags.NumberLike) return "number";
    if (flags & ts.TypeFlags.BooleanLike) return "flag";
    if (!(flags & ts.TypeFlags.Object)) return type.isIntersection() ? inline(type) : "anything";
    if (type.getCallSignatures().length) return "function";
    if (checker.isArrayType(type)) return ["list", elementsOf(type)];
    const entries = checker.getIndexTypeOfType(type, ts.IndexKind.String);
    if (entries) return seen(type, () => ["record", shapeOf(entries)]);
    const symbol = type.aliasSymbol ?? type.getSymbol();
    if (!symbol || symbol.name.startsWith("__") || type.aliasTypeArguments) return inline(type);
    things[symbol.name] ??= seen<Thing>(type, () => thingOf(type), {});
    return ["is", symbol.name];
  }

  /** Only so that a type that speaks of itself comes to an end. */
  function seen<T>(type: ts.Type, look: () => T, again = "anything" as T): T {
    if (open.has(type)) return again;
    open.add(type);
    try {
      return look();
    } finally {
      open.delete(type);
    }
  }

  function unionOf(types: readonly ts.Type[]): Shape {
    const some = types.filter(({ flags }) => !(flags & (ts.TypeFlags.Undefined | ts.TypeFlags.Void)));
    const shapes = some.map(shapeOf);
    const words = shapes.map((shape) => JSON.stringify(shape));
    const both = words.includes('["word",true]') && words.includes('["word",false]');
    const kept = both
      ? ["flag" as const, ...shapes.filter((shape) => typeof shape[1] !== "boolean")]
      : shapes;
    if (kept.length === 1 || kept.includes("anything")) return kept.length === 1 ? kept[0]! : "anything";
    // the compiler has an order of its own, by which type it has met first
    return ["or", ...kept.sort((a, b) => (JSON.stringify(a) < JSON.stringify(b) ? -1 : 1))];
  }

  function elementsOf(type: ts.Type): Shape {
    const elements = checker.getIndexTypeOfType(type, ts.IndexKind.Number);
    return elements ? seen(type, () => shapeOf(elements)) : "anything";
  }

  function inline(type: ts.Type): Shape {
    return ["settings", settingsOf(type)];
  }

  /** Of what has methods, or is or has a class, only what it must have is known: anybody may make a further one. */
  function thingOf(type: ts.Type): Thing {
    const properties = checker
      .getPropertiesOfType(type)
      .filter((property) => isPublic(property.valueDeclaration));
    const behaves =
      type.isClass() ||
      implemented.has(type.getSymbol()!.name) ||
      properties.some(({ flags }) => flags & ts.SymbolFlags.Method);
    if (!behaves) return { settings: settingsOf(type) };
    // a member that is declared elsewhere may be missing in another version of that package
    const must = properties.filter(
      (property) =>
        property.declarations!.some(own) &&
        !isOptional(checker.getTypeOfSymbol(property)) &&
        !isQuestion(property),
    );
    return { members: must.map(({ name }) => name).sort() };
  }

  function settingsOf(type: ts.Type): Record<string, Shape> {
    return Object.fromEntries(
      checker.getPropertiesOfType(type).map((property): [string, Shape] => {
        const kind = checker.getTypeOfSymbol(property);
        return [
          isQuestion(property) || isOptional(kind) ? `${property.name}?` : property.name,
          shapeOf(kind),
        ];
      }),
    );
  }
}

const open = new Set<ts.Type>();

function isQuestion(property: ts.Symbol): boolean {
  return (property.flags & ts.SymbolFlags.Optional) !== 0;
}

function isOptional(type: ts.Type): boolean {
  return type.isUnion() && type.types.some(({ flags }) => flags & ts.TypeFlags.Undefined);
}

function isStatic(declaration: ts.Declaration): boolean {
  return (ts.getCombinedModifierFlags(declaration) & ts.ModifierFlags.Static) !== 0;
}

function isPublic(declaration: ts.Declaration | undefined): boolean {
  if (!declaration) return true;
  const flags = ts.getCombinedModifierFlags(declaration);
  return !(flags & (ts.ModifierFlags.Private | ts.ModifierFlags.Protected));
}

function sorted<T>(record: Record<string, T>): Record<string, T> {
  return Object.fromEntries(Object.entries(record).sort(([a], [b]) => (a < b ? -1 : 1)));
}

if (require.main === module) {
  writeFileSync(
    join(ROOT, "lib/input/shapes.ts"),
    `import type { Shapes } from "./shape";

/** Written by \`npm run shapes\` from the types: which settings there are, and of what kind. */
export const SHAPES: Shapes = ${JSON.stringify(shapesOfLibrary())};
`,
  );
}
