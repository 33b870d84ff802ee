// Times as people type them: 15m, 2h (that long ago), or ISO 8601, in UTC unless it names its zone.

const LENGTH = /^(\d+(?:\.\d+)?)\s*(us|µs|ms|s|m|h|d|w)$/;
const MS: Record<string, number> = {
  us: 0.001,
  µs: 0.001,
  ms: 1,
  s: 1000,
  m: 60_000,
  h: 3_600_000,
  d: 86_400_000,
  w: 604_800_000,
};

export const PRESETS: [string, string][] = [
  ["15m", "last 15 minutes"],
  ["1h", "last hour"],
  ["3h", "last 3 hours"],
  ["6h", "last 6 hours"],
  ["1d", "last day"],
  ["7d", "last 7 days"],
  ["", "everything"],
];

export function lengthOf(text: string): number | null {
  const match = LENGTH.exec(text.trim());
  return match ? Number(match[1]) * (MS[match[2] as string] as number) : null;
}

export function momentOf(text: string): number | null {
  const length = lengthOf(text);
  if (length !== null) return Date.now() - length;
  const hasZone = /(Z|[+-]\d\d:?\d\d)$/.test(text);
  const ms = Date.parse(hasZone || !text.includes("T") ? text : `${text}Z`);
  return Number.isNaN(ms) ? null : ms;
}
