/** GiB of the small types, which do not double with their size. */
const SMALL: Readonly<Record<string, number>> = { nano: 0.5, micro: 1, small: 2, medium: 4 };
/** GiB for each virtual core, by the letter of the family. */
const PER_CORE: Readonly<Record<string, number>> = { c: 2, m: 4, t: 4, r: 8, x: 16, i: 8 };

/** Memory of an EC2 instance type in GiB, by Amazon's naming; nothing for a family that does not follow it. Pure. */
export function memoryGiBOf(instanceType: string): number | undefined {
  const [, family, generation, size] = /^([a-z]+?)(\d+)[a-z]*\.([a-z0-9]+)$/.exec(instanceType) ?? [];
  if (family === undefined || generation === undefined || size === undefined) return undefined;
  const perCore = PER_CORE[family];
  if (perCore === undefined) return undefined;
  if (size in SMALL) return family === "t" ? SMALL[size] : size === "medium" ? perCore : undefined;
  if (size === "large") return perCore * 2;
  const times = /^(\d*)xlarge$/.exec(size)?.[1];
  return times === undefined ? undefined : perCore * 4 * Number(times || 1);
}
