// Numbers, durations and times as people read them. Times are UTC, as in the commands.

export const MINUTE_MS = 60_000;
export const HOUR_MS = 3_600_000;
export const DAY_MS = 86_400_000;

const UNITS: [number, string][] = [
  [DAY_MS, "d"],
  [HOUR_MS, "h"],
  [MINUTE_MS, "min"],
  [1000, "s"],
  [1, "ms"],
  [0.001, "µs"],
  [0.000001, "ns"],
];

/** Three digits and a unit: 6.01 ms. */
export function duration(ms: number | null | undefined): string {
  if (ms === null || ms === undefined) return "–";
  if (ms === 0) return "0 ms";
  const [size, unit] = UNITS.find(([each]) => Math.abs(ms) >= each) ?? [0.000001, "ns"];
  return `${digits(ms / size)} ${unit}`;
}

/** A duration as a filter has it: 12.5ms. */
export function durationCondition(ms: number): string {
  return `${Number(ms.toPrecision(6))}ms`;
}

export function count(number: number | null | undefined): string {
  if (number === null || number === undefined) return "–";
  return Math.round(number).toLocaleString("en");
}

export function share(part: number | null | undefined): string {
  if (part === null || part === undefined) return "–";
  const percent = part * 100;
  if (percent === 0 || percent === 100) return `${percent}%`;
  return percent < 0.1 ? "<0.1%" : percent > 99.9 ? ">99.9%" : `${digits(percent)}%`;
}

/** The difference of two shares, in percentage points. */
export function points(difference: number): string {
  const rounded = Math.round(difference * 1000) / 10;
  return `${rounded > 0 ? "+" : rounded < 0 ? "−" : "±"}${Math.abs(rounded)}`;
}

export function rate(perSecond: number | null | undefined): string {
  if (perSecond === null || perSecond === undefined) return "–";
  if (perSecond >= 1 || perSecond === 0) return `${digits(perSecond)}/s`;
  return perSecond * 60 >= 1 ? `${digits(perSecond * 60)}/min` : `${digits(perSecond * 3600)}/h`;
}

/** How much more than before: +12%. */
export function change(now: number | null | undefined, before: number | null | undefined): string {
  if (now === null || now === undefined || before === null || before === undefined || before === 0) return "";
  const percent = Math.round((now / before - 1) * 100);
  return percent > 900
    ? `×${digits(now / before)}`
    : `${percent > 0 ? "+" : percent < 0 ? "−" : "±"}${Math.abs(percent)}%`;
}

/** 11-30 07:52:12 */
export function moment(ms: number, smallest: "minute" | "second" | "ms" = "second"): string {
  const date = new Date(ms);
  if (Number.isNaN(date.getTime())) return "–";
  const text = date.toISOString();
  return `${text.slice(5, 10)} ${text.slice(11, smallest === "minute" ? 16 : smallest === "second" ? 19 : 23)}`;
}

export function iso(ms: number): string {
  return new Date(ms).toISOString().replace(/\.000Z$/, "Z");
}

/** 3 min ago */
export function ago(ms: number): string {
  const passed = Date.now() - ms;
  return passed < 1000 ? "just now" : `${duration(passed).replace(/\.\d+/, "")} ago`;
}

export function bytes(size: number): string {
  const [unit, name] = (
    [
      [2 ** 30, "GiB"],
      [2 ** 20, "MiB"],
      [1024, "KiB"],
    ] as const
  ).find(([each]) => size >= each) ?? [1, "B"];
  return `${digits(size / unit)} ${name}`;
}

export function cut(text: string, most: number): string {
  return text.length > most ? `${text.slice(0, most - 1)}…` : text;
}

function digits(number: number): string {
  const size = Math.abs(number);
  return size >= 100
    ? Math.round(number).toLocaleString("en")
    : number.toFixed(size >= 10 ? 1 : 2).replace(/\.?0+$/, "");
}
