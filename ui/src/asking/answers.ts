// What the endpoints answer: docs/page.md, section "Endpoints". Times and durations are in milliseconds, shares from 0 to 1.

export interface Basis {
  exact: boolean;
  seen: number;
  of: number;
  text: string;
  complete: boolean;
  seconds: number;
}

export interface Answer {
  basis: Basis;
  begin_ms?: number;
  end_ms?: number;
}

export interface TimeRow {
  time_ms: number;
  requests: number;
  rate_per_s: number;
  errors: number;
  p50_ms: number | null;
  p95_ms: number | null;
  p99_ms: number | null;
}

export interface Release {
  time_ms: number;
  release: string;
}

export interface OverTime extends Answer {
  step_ms: number;
  groups: { group: string | null; rows: TimeRow[] }[];
  releases: Release[];
}

export interface Heatmap extends Answer {
  step_ms: number;
  times_ms: number[];
  /** One more than there are rows. */
  bounds_ms: number[];
  /** By column of time, then by row. */
  counts: number[][];
  errors: number[][];
  /** By column: slower than the last bound. Empty if there is nothing. */
  overflow: number[];
  /** Where it ends. */
  overflow_ms?: number | null;
  releases: Release[];
}

export interface TopRow {
  group: string | null;
  requests: number;
  rate_per_s: number;
  error_share: number;
  p50_ms: number | null;
  p95_ms: number | null;
  p99_ms: number | null;
  max_ms: number | null;
  total_ms: number;
  spark: number[];
  before: Omit<TopRow, "before" | "spark" | "group"> | null;
  condition?: string | null;
}

export interface Top extends Answer {
  everything?: TopRow;
  groups?: number;
  rows: TopRow[];
}

export interface TopValue {
  value: string | null;
  share: number;
  count: number;
  condition?: string | null;
}

export interface ValuesRow {
  name: string;
  type: string | null;
  present_share: number;
  distinct: number;
  top: TopValue[];
}

export interface Values extends Answer {
  rows: ValuesRow[];
}

export interface Difference {
  name: string;
  value: string | null;
  /** The filter that selects it; null if none can. */
  condition: string | null;
  these_share: number;
  others_share: number;
  difference: number;
  low: number;
  high: number;
  /** False if it may be chance. */
  is_clear?: boolean;
}

export interface Compared extends Answer {
  these: number;
  others: number;
  rows: Difference[];
}

export interface StoredRecord {
  id: string;
  request_id: string;
  time: string;
  time_ns: number | bigint;
  stored_at: string;
  duration_ns: number | bigint;
  method: string;
  path: string;
  route: string | null;
  status: number | null;
  outcome: string;
  error: string | null;
  service: string;
  release: string;
  host: string;
  variables: Record<string, unknown>;
  attributes: Record<string, unknown>;
}

export interface Records {
  basis?: Basis;
  records: StoredRecord[];
  next: string | number | null;
  /** The place behind which newer ones come. */
  newest?: string | number | null;
}

export interface Neighbours {
  user?: string | null;
  host?: string | null;
  worker?: string | null;
}

export interface OneRecord {
  record: StoredRecord;
  children: StoredRecord[];
  related: StoredRecord[];
  previous: Neighbours;
  next: Neighbours;
}

export interface Seen {
  name?: string;
  value: string | null;
  first_seen_ms: number;
  last_seen_ms: number | null;
  count: number;
  condition?: string | null;
}

export interface New extends Answer {
  errors: Seen[];
  values: Seen[];
}

export interface Names {
  names?: { name: string; type: string | null; present_share?: number }[];
  values?: { value: string | null; count?: number; condition?: string | null }[];
}
