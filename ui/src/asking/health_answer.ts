// What api/health answers.

import type { Fact } from "../pages/facts";

export interface Ring {
  file: string;
  is_living: boolean;
  records: number;
  bytes: number;
  oldest_ms: number | null;
  in_flight: number;
  complaint: string;
}

export interface Spool {
  chest: string;
  records: number;
  bytes: number;
  oldest_ms: number | null;
  dead_letters: number;
  letters: { id: string; refused_ms: number; reason: string; method: string; path: string }[];
  why: string;
  is_orphan: boolean;
  complaint: string;
}

export interface ServiceHealth {
  service: string;
  directory: string;
  needs_care: boolean;
  oldest_ms: number | null;
  rings: Ring[];
  spools: Spool[];
  set_aside: string[];
}

export interface Health {
  store: { error: string | null; name?: string; newest_ms?: number | null; lag_ms?: number | null };
  services: ServiceHealth[];
  recorder: Fact;
  /** What all processes of the recorder have counted; null without metrics. */
  counts: Record<string, number> | null;
  errors: string[];
}
