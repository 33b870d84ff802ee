// JSON whose whole numbers beyond 2^53 stay what they are: as bigint, where the browser tells their digits.

interface Source {
  source?: string;
}

type RawJson = { rawJSON?: (text: string) => unknown };

export function parseExact(text: string): unknown {
  return JSON.parse(text, ((_name: string, value: unknown, context?: Source) => {
    const isWhole = typeof value === "number" && Number.isInteger(value) && !Number.isSafeInteger(value);
    return isWhole && context?.source && /^-?\d+$/.test(context.source) ? BigInt(context.source) : value;
  }) as Parameters<typeof JSON.parse>[1]);
}

export function exactText(value: unknown, indent = 0): string {
  const raw = (JSON as RawJson).rawJSON;
  return JSON.stringify(
    value,
    (_name, each) => (typeof each === "bigint" ? (raw ? raw(each.toString()) : Number(each)) : each),
    indent,
  );
}
