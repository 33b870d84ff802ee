// Question: what Explore is asked, which is its URL.

import { durationCondition, iso } from "./format";
import { lengthOf, momentOf } from "./time_range";

export const METRICS = ["rate", "errors", "p50", "p95"] as const;
export type Metric = (typeof METRICS)[number];

/** A part of the heatmap. */
export interface Rectangle {
  from: number;
  to: number;
  low: number;
  /** null: without an end, the overflow too. */
  high: number | null;
}

export interface Question {
  filter: string;
  /** As in the commands: 1h, or ISO 8601; empty: from the first record on. */
  since: string;
  until: string;
  /** What it is compared with: "same" (the period before), "1d", "7d", or "none". */
  before: string;
  by: string;
  sort: string;
  metric: Metric | "";
  rectangle: Rectangle | null;
  /** Filters of two groups that are compared; an empty second one is the rest. */
  these: string;
  others: string;
}

export const DEFAULTS: Question = {
  filter: "",
  since: "1h",
  until: "",
  before: "same",
  by: "route",
  sort: "total",
  metric: "",
  rectangle: null,
  these: "",
  others: "",
};

const TEXTS = ["filter", "until", "before", "by", "sort", "these", "others"] as const;

export function questionOf(search: URLSearchParams): Question {
  const question = { ...DEFAULTS };
  for (const name of TEXTS) question[name] = search.get(name) ?? DEFAULTS[name];
  const since = search.get("since");
  question.since = since === null ? DEFAULTS.since : since === "all" ? "" : since;
  const metric = search.get("metric");
  question.metric = METRICS.find((each) => each === metric) ?? "";
  const [from, to, low] = ["from", "to", "low"].map((name) => Number.parseFloat(search.get(name) ?? ""));
  if (from !== undefined && to !== undefined && low !== undefined && from < to && low >= 0) {
    const high = Number.parseFloat(search.get("high") ?? "");
    question.rectangle = { from, to, low, high: Number.isNaN(high) ? null : high };
  }
  return question;
}

export function searchOf(question: Question): string {
  const search = new URLSearchParams();
  for (const name of TEXTS) if (question[name] !== DEFAULTS[name]) search.set(name, question[name]);
  if (question.since !== DEFAULTS.since) search.set("since", question.since || "all");
  if (question.metric) search.set("metric", question.metric);
  if (question.rectangle) {
    const { from, to, low, high } = question.rectangle;
    search.set("from", String(from));
    search.set("to", String(to));
    search.set("low", String(low));
    if (high !== null) search.set("high", String(high));
  }
  const text = search.toString();
  return text && `?${text}`;
}

/** The filter that a rectangle is, but for its times. */
export function rectangleFilter({ low, high }: Rectangle): string {
  return `duration>=${durationCondition(low)}${high === null ? "" : ` duration<${durationCondition(high)}`}`;
}

/** What goes with every question to the server. */
export function scope(question: Question): { filter: string; since: string; until: string } {
  return { filter: question.filter, since: question.since, until: question.until };
}

/** How much earlier the period is that this one is compared with, in ms; null if there is none. */
export function offsetMs(question: Question): number | null {
  if (question.before === "none" || !question.since) return null;
  if (question.before !== "same") return lengthOf(question.before);
  const begin = momentOf(question.since);
  const end = question.until ? momentOf(question.until) : Date.now();
  if (begin === null || end === null || end <= begin) return null;
  // A relative time has passed a little since the URL was made: a whole second is a duration that can be written.
  return Math.max(1000, Math.round((end - begin) / 1000) * 1000);
}

/** The same question, about the period before. */
export function scopeBefore(question: Question, begin: number, end: number, offset: number) {
  return { filter: question.filter, since: iso(begin - offset), until: iso(end - offset) };
}
